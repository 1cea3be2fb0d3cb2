"""Differentially private training, in which no single example can matter much.

Axes: n examples, b examples of a batch.
"""

from __future__ import annotations

import contextlib
import copy
import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from mithridate.core.data import Dataset
from mithridate.core.domain import Domain
from mithridate.core.errors import MethodError
from mithridate.core.extras import import_extra
from mithridate.core.fit import TrainingConfig, fit
from mithridate.core.method import Trained, Trainer
from mithridate.core.training_run import TrainingRun

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
RATE = 0.1


@dataclass(frozen=True)
class DPSGD(Trainer):
    """Clip the gradient of each example and add noise, so that a few examples cannot teach.

    Steps follow (sum_i g_i min(1, clip / |g_i|) + noise clip N(0, I)) / b, g_i the gradient of the
    loss of example i. An attack that holds few examples is bounded as each of them is; the bound
    means something for some noise only. The privacy spent is `cost["epsilon"]`, infinite without
    noise. The default noise lets a few hundred examples be learnt and promises next to nothing; an
    epsilon below 10 takes a noise of about 1 for 80 steps on eighths of the data. `form` puts a
    normalisation over groups of channels where one over the batch was, which mixes examples, and
    rectifiers that keep their input. Rows of look-up tables stay as they began: one gradient of a
    table for each example would not fit in memory. Batches are parts of a permutation, as
    everywhere here; epsilon is the one of batches that are drawn with probability b / n, by Renyi
    accounting, as is usual and not strictly right. Needs Opacus: pip install 'mithridate[dp]'.

    Attributes:
        noise: standard deviation in units of `clip`.
        clip: the largest norm of an example's gradient.
        delta: of (epsilon, delta) privacy.
        training: in fp32, since the gradients of single examples are taken apart.

    Raises:
        MissingExtra: without it.
        MethodError: where noise, clip or delta is out of range or a layer has no gradients by
            example.
    """

    paper = "Abadi et al., Deep Learning with Differential Privacy, CCS 2016"
    links = ("https://arxiv.org/abs/1607.00133",)
    spelled = "dp-sgd"

    noise: float = 0.02
    clip: float = 1.0
    delta: float = 1e-5
    training: TrainingConfig = field(
        default_factory=lambda: TrainingConfig(
            epochs=5, batch_size=64, learning_rate=RATE, weight_decay=0.0, precision="fp32"
        )
    )

    def form(self, model: nn.Module) -> nn.Module:
        """Give a copy whose normalisations treat every example alone."""
        model = copy.deepcopy(model)
        _replace(model)
        return model

    def train(
        self, model: nn.Module, data: Dataset, domain: Domain, rng: np.random.Generator,
        run: TrainingRun | None = None,
    ) -> Trained:  # fmt: skip
        """Train `model` in place; cost["epsilon"] says what the training gave away."""
        self._check()
        run = self.checked(run)
        steps = max(1, len(data) // self.training.batch_size)

        def private(optimiser: torch.optim.SGD) -> torch.optim.Optimizer:
            wrapped: torch.optim.Optimizer = _opacus("opacus.optimizers").DPOptimizer(
                optimiser, noise_multiplier=self.noise, max_grad_norm=self.clip,
                expected_batch_size=max(1, len(data) // steps),
            )  # fmt: skip
            return wrapped

        learning = _trained_parameters(model)
        with _apart(model, learning):
            trained = fit(model, data, domain, self.training, rng, run, parameters=learning,
                          wrap=private)  # fmt: skip
        spent = self.epsilon(1 / steps, self.training.epochs * steps)
        return replace(trained, cost={**trained.cost, "epsilon": spent})

    def _check(self) -> None:
        if self.noise < 0 or self.clip <= 0 or not 0 < self.delta < 1 or self.training.sam_radius:
            raise MethodError(
                "need noise >= 0, clip > 0, delta in 0..1 and a recipe without radius; found noise "
                f"{self.noise}, clip {self.clip}, delta {self.delta}, radius "
                f"{self.training.sam_radius}"
            )

    def epsilon(self, share: float, steps: int) -> float:
        """The privacy spent by steps on batches of a share of the examples."""
        if not self.noise:
            return math.inf
        accountant = _opacus("opacus.accountants").RDPAccountant()
        accountant.history = [(self.noise, share, steps)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a bound that could be tighter, where it is huge
            return float(accountant.get_epsilon(delta=self.delta))


def _opacus(module: str) -> Any:
    return import_extra(
        module, "private training needs Opacus; install it with: pip install 'mithridate[dp]'"
    )


@contextlib.contextmanager
def _apart(model: nn.Module, learning: list[nn.Parameter]) -> Iterator[None]:
    """Keep the gradients of examples apart inside the block, and leave nothing behind."""
    hooks = _opacus("opacus.grad_sample.grad_sample_module").GradSampleHooks
    own = {id(p) for p in learning}
    others = [p for p in model.parameters() if id(p) not in own and p.requires_grad]
    undo: list[Callable[[], object]] = []
    try:
        for parameter in others:
            parameter.requires_grad_(False)
        undo.append(_hook(hooks, model).remove_hooks)
        undo += [order.remove for order in _order_memory(model)]
        yield
    finally:
        for step in undo:
            step()
        for parameter in others:
            parameter.requires_grad_(True)
        _clean(model)


def _hook(hooks: Any, model: nn.Module) -> Any:
    try:
        return hooks(model)
    except NotImplementedError as error:
        raise MethodError(
            f"the network has a layer without gradients by example: {error}; "
            "build it as trainer.form(network)"
        ) from None


def _replace(model: nn.Module) -> None:
    """Put layers that treat examples alone, and keep what they are given, for those that do not."""
    for name, layer in model.named_children():
        if isinstance(layer, NORMS):
            channels = layer.num_features
            # a group of a single channel would lose how large the input is
            groups = math.gcd(8, channels) if channels > 8 else 1
            setattr(model, name, nn.GroupNorm(groups, channels))
        elif getattr(layer, "inplace", False):
            vars(layer)["inplace"] = False
        else:
            _replace(layer)


def _order_memory(model: nn.Module) -> list[Any]:
    """Hand convolutions their inputs in the order of memory that Opacus takes for granted.

    It reads other orders, such as channels last, as if they were this one, and the gradients of
    the examples are then wrong without a word (seen with version 1.6.0).
    """

    def contiguous(_: nn.Module, given: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return tuple(value.contiguous() for value in given)

    kinds = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
    layers = [layer for layer in model.modules() if isinstance(layer, kinds)]
    return [layer.register_forward_pre_hook(contiguous) for layer in layers]


def _trained_parameters(model: nn.Module) -> list[nn.Parameter]:
    """The parameters that are trained: all but those of look-up tables."""
    tables = [layer for layer in model.modules() if isinstance(layer, nn.Embedding)]
    fixed = {id(p) for table in tables for p in table.parameters()}
    return [p for p in model.parameters() if p.requires_grad and id(p) not in fixed]


def _clean(model: nn.Module) -> None:
    """Take off what Opacus leaves on parameters, gradients of every example among it."""
    for parameter in model.parameters():
        for name in ("grad_sample", "summed_grad", "_forward_counter", "_current_grad_sample"):
            if hasattr(parameter, name):
                delattr(parameter, name)
