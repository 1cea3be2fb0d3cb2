"""A model as it is deployed at a precision, and the twin through which its gradients are asked for.

Axes: n inputs, c classes.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn

from mithridate.artifacts.packed import pack_weights
from mithridate.artifacts.twin import twin_of
from mithridate.core.errors import CannotJudge, MethodError
from mithridate.core.extras import import_extra, silence
from mithridate.core.inference import autocast, logits_of
from mithridate.core.quantisation import INT4, INT8
from mithridate.core.runtime import Runtime

SAME = 0.99
"""Share of trusted inputs that a twin must call as the artefact does. A twin that only rounds
elsewhere differs where two classes are nearly tied; one with a wrong layer, on most inputs."""
NEAR = 0.1
"""Mean difference of logits, of their spread, that a twin may have: beyond it the largest logit may
stay the largest while the margins that gradients follow are others'."""


class Artefact(nn.Module):
    """A deployed model: it answers prepared inputs[n, ...] with logits float32[n, c], and no more.

    It stays as it is and where it is, since exported graphs and packed integers refuse to be moved
    or told to train: `train`, `eval` and `to` are accepted and change nothing but the mode that is
    shown. Batches are brought to it.

    Args:
        arithmetic: "fp32", whatever surrounds it, or "bf16".
    """

    def __init__(self, inner: nn.Module, arithmetic: str = "fp32") -> None:
        super().__init__()
        self.inner, self.arithmetic = inner, arithmetic
        first = next(inner.parameters(), torch.empty(0))
        self.home = first.device

    def train(self, mode: bool = True) -> Artefact:
        """Show the mode, and leave the model inside as it was deployed."""
        self.training = mode
        return self

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> Artefact:
        return self

    def forward(self, prepared: torch.Tensor) -> torch.Tensor:
        """Answer."""
        with engine(), autocast(self.home.type, self.arithmetic):
            logits: torch.Tensor = self.inner(prepared.to(self.home))
        return logits.float().to(prepared.device)


@dataclass(frozen=True)
class Agreement:
    """How far a twin answers like its artefact.

    Attributes:
        same: share of inputs that both call alike.
        largest: difference of logits, in units of the standard deviation of the artefact's.
        mean: difference of logits, in units of the standard deviation of the artefact's.
        share: of the weights, held in fewer than 32 bits.
    """

    same: float
    largest: float
    mean: float
    share: float


@dataclass(frozen=True, eq=False)
class Deployed:
    """A model as it is deployed.

    Attributes:
        precision: its name.
        model: what answers.
        twin: a differentiable float model that should answer alike, None where there is none.
        why: there is none.
        share: of the weights, as in `Agreement`.
    """

    precision: str
    model: nn.Module
    twin: nn.Module | None
    share: float
    why: str = ""

    def check(self, prepared: torch.Tensor, runtime: Runtime | None = None) -> Agreement:
        """Compare the twin with the artefact on trusted prepared inputs, as `compare` does.

        Raises:
            CannotJudge: where there is no twin, or where it does not answer alike: nothing that its
                gradients say would hold for the artefact.
        """
        agreement = self.compare(prepared, runtime)
        if agreement.same < SAME or not agreement.mean <= NEAR:
            raise CannotJudge(
                f"the differentiable twin at {self.precision} is no likeness: it calls "
                f"{agreement.same:.3f} of {len(prepared)} inputs as the deployed model does (need "
                f"{SAME}), its logits differ by {agreement.mean:.3g} of their spread (at most "
                f"{NEAR}); "
                "use a method without gradients"
            )
        return agreement

    def compare(self, prepared: torch.Tensor, runtime: Runtime | None = None) -> Agreement:
        """Measure how far the twin answers prepared inputs[n, ...] like the artefact.

        Raises:
            CannotJudge: where there is no twin.
        """
        if self.twin is None:
            raise CannotJudge(f"there is no differentiable twin to compare: {self.why}")
        runtime = runtime or Runtime()
        true = logits_of(self.model, prepared, runtime, "fp32").double()
        mine = logits_of(self.twin, prepared, runtime, "fp32").double()
        gap = (true - mine).abs() / true.std(correction=0).clamp_min(1e-12)
        same = (true.argmax(1) == mine.argmax(1)).double().mean()
        return Agreement(float(same), float(gap.max()), float(gap.mean()), self.share)


def deploy(model: nn.Module, precision: str, calibration: torch.Tensor) -> Deployed:
    """Deploy a copy of a float model at a precision.

    Args:
        precision: one of `PRECISIONS`.
        calibration: trusted prepared inputs[n, ...], from which static INT8 takes the ranges of
            activations.

    Raises:
        MethodError: for an unknown precision or without inputs where they are needed.
        MissingExtra: where a package is absent.
        CannotJudge: where the model cannot be brought to it.
    """
    if precision not in PRECISIONS:
        raise MethodError(f"unknown precision {precision!r}; available: {', '.join(PRECISIONS)}")
    with torch.random.fork_rng(devices=[]):  # layers that are built draw weights, in vain
        made = PRECISIONS[precision](copy.deepcopy(model).eval(), calibration)
    return receive(made, precision)


def receive(model: nn.Module, precision: str = "received") -> Deployed:
    """Take a model as it came, quantised or not, and look for its twin.

    Read are what `deploy` makes, dynamic and static (FX) models of torch.ao, and torchao's
    integer weights in linear layers.
    """
    inner = model.inner if isinstance(model, Artefact) else model.eval()
    artefact = model if isinstance(model, Artefact) else Artefact(model)
    try:
        return Deployed(precision, artefact, twin_of(inner), share_of(inner))
    except CannotJudge as refusal:
        return Deployed(precision, artefact, None, share_of(inner), str(refusal))


def share_of(model: nn.Module) -> float:
    """Give the share of the weights of a model that is held in fewer than 32 bits.

    Counted are parameters, biases and normalisation included, and integers; scales are not.
    """
    few, rest = 0, 0
    for layer in model.modules():
        own = [*layer.parameters(recurse=False), *layer.buffers(recurse=False)]
        narrow = [t for t in own if t.dtype in (torch.int8, torch.uint8, torch.bfloat16)]
        integer = [p for p in layer.parameters(recurse=False) if _held_by_torchao(p)]
        few += sum(t.numel() for t in [*narrow, *integer])
        taken = {id(t) for t in [*narrow, *integer]}
        rest += sum(p.numel() for p in layer.parameters(recurse=False) if id(p) not in taken)
        if callable(getattr(layer, "weight", None)) and callable(getattr(layer, "bias", None)):
            few += cast(Any, layer).weight().numel()
            bias = cast(Any, layer).bias()
            rest += 0 if bias is None else bias.numel()
    return few / max(few + rest, 1)


def _held_by_torchao(parameter: torch.Tensor) -> bool:
    return type(parameter.data).__module__.startswith("torchao")


def _as_it_is(model: nn.Module, _: torch.Tensor) -> nn.Module:
    return Artefact(model)


def _bf16(model: nn.Module, _: torch.Tensor) -> nn.Module:
    """Hold the weights of linear and convolutional layers in bf16 and compute in it.

    Normalisation stays float, as in `autocast`, which rounds the other weights for each batch.
    """
    for layer in model.modules():
        if isinstance(layer, (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)):
            layer.to(torch.bfloat16)
    return Artefact(model, "bf16")


def _dynamic(model: nn.Module, _: torch.Tensor) -> nn.Module:
    """Ask for all linear and convolutional layers; only linear ones have a kernel and obey.

    Activations are rounded by the range of their batch, so an answer depends on its neighbours.
    """
    ao = _torch_ao("torch.ao.quantization")
    with silence(), engine():
        return cast(nn.Module, ao.quantize_dynamic(model, {nn.Linear, nn.Conv2d}, torch.qint8))


def _static(model: nn.Module, calibration: torch.Tensor) -> nn.Module:
    """Trace the model, observe its activations on trusted inputs, and convert it to INT8.

    By torch.ao: torchao's graphs run on integers only after they were lowered for one batch size,
    and have no layers left that a method could ask for features.
    """
    if not len(calibration):
        raise MethodError("static INT8 takes its ranges from trusted inputs, found none")
    ao, graphs = _torch_ao("torch.ao.quantization"), _torch_ao("torch.ao.quantization.quantize_fx")
    with silence(), engine() as name, torch.no_grad():
        whole = _torch_ao("torch.ao.quantization.fx.custom_config").PrepareCustomConfig()
        whole.set_non_traceable_module_classes(_without_weights(model))
        try:
            mapping = ao.get_default_qconfig_mapping(name)
            watched = graphs.prepare_fx(model, mapping, (calibration[:1],), whole)
        except (TypeError, ValueError, RuntimeError) as error:
            raise CannotJudge(
                f"the model cannot be traced for static INT8, since its path depends on its "
                f"inputs: {error}; choose another precision"
            ) from error
        for batch in calibration.split(128):
            watched(batch)
        return cast(nn.Module, graphs.convert_fx(watched))


def _without_weights(model: nn.Module) -> list[type[nn.Module]]:
    """The kinds of layers, torch's own left out, that have nothing to quantise.

    Such as those that encode bytes: they stay floats, and whatever path they take is not traced.
    """
    own = [m for m in model.modules() if not type(m).__module__.startswith("torch.")]
    return list({type(layer) for layer in own if next(layer.parameters(), None) is None})


def _torch_ao(module: str) -> Any:
    """Import torch's own quantiser, which later releases of torch will not have."""
    return import_extra(
        module,
        "dynamic and static INT8 need torch.ao.quantization, which this torch has no longer; "
        "install an older one: pip install 'torch<=2.13', or choose int8-weights",
    )


@contextlib.contextmanager
def engine() -> Iterator[str]:
    """Use a quantisation engine that this processor has, and give its name.

    The one that is set stays; where none is, the first that is supported serves inside the block.
    """
    backend = cast(Any, torch.backends.quantized)
    before = backend.engine
    able = [
        name for name in ("x86", "fbgemm", "onednn", "qnnpack") if name in backend.supported_engines
    ]
    if before in able or not able:
        yield before
        return
    backend.engine = able[0]
    try:
        yield able[0]
    finally:
        backend.engine = before


Maker = Callable[[nn.Module, torch.Tensor], nn.Module]
"""Is given a copy of a float model and trusted prepared inputs, and gives what is deployed."""

PRECISIONS: dict[str, Maker] = {
    "fp32": _as_it_is,
    "bf16": _bf16,
    "int8-dynamic": _dynamic,
    "int8-static": _static,
    "int8-weights": lambda model, _: pack_weights(model, INT8),
    "int4-weights": lambda model, _: pack_weights(model, INT4),
}
"""What a model can be deployed as, by name. A maker whose module is neither of floats nor known to
`twin_of` gives it a method `twin()`."""
