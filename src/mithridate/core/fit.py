"""The one training loop: resident data, batched augmentation, bf16, one cycle, losses kept.

Axes: n examples, b examples of a batch, d features, c classes, e epochs.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from mithridate.core.checkpoint import Checkpoint
from mithridate.core.data import Dataset
from mithridate.core.domain import Domain
from mithridate.core.errors import MethodError
from mithridate.core.inference import autocast, last_linear
from mithridate.core.method import Trained
from mithridate.core.objective import Batch, Objective
from mithridate.core.optimisers import SGD
from mithridate.core.streams import seed_torch, stream, torch_generator
from mithridate.core.training_run import TrainingRun

Enough = Callable[[int], bool]
"""Is told the epochs done, and says whether that is enough."""

Vary = Callable[[torch.Tensor, torch.Tensor, torch.Generator], torch.Tensor]
"""Is given a prepared batch, its rows int64[b] and a generator, and gives what is asked about."""

Wrap = Callable[[torch.optim.SGD], torch.optim.Optimizer]
"""Is given the optimiser of the configuration, and gives the one that takes the steps."""


@dataclass(frozen=True)
class TrainingConfig:
    """How long and how fast to train: stochastic gradient descent with one cycle of the rate.

    Attributes:
        learning_rate: the largest learning rate, for batches of 256 and mean losses.
        warmup: share of the steps in which the rate rises.
        label_smoothing: of the labels.
        precision: "bf16" or "fp32" arithmetic.
        sam_radius: of sharpness-aware minimisation: each step follows the gradient at the worst
            point at this distance, w + radius g / |g|, for twice the passes; 0 is plain descent
            (Foret et al., Sharpness-Aware Minimization, ICLR 2021).
        batch_statistics: whether the network is in training mode; without it batch normalisation
            uses and keeps its running moments and nothing drops out.
        schedule: "cycle", up and down linearly, or "flat", the same rate in every step.
        drop_last: whether batches hold exactly `batch_size` examples, so that a last smaller one
            is left out of an epoch; else all are visited, in batches of nearly equal size.
    """

    epochs: int = 10
    batch_size: int = 256
    learning_rate: float = 0.2
    warmup: float = 0.25
    momentum: float = 0.9
    weight_decay: float = 5e-4
    label_smoothing: float = 0.0
    augment: bool = True
    precision: str = "bf16"
    sam_radius: float = 0.0
    batch_statistics: bool = True
    schedule: Literal["cycle", "flat"] = "cycle"
    drop_last: bool = False

    def at(self, step: int, steps: int) -> float:
        """The learning rate of one step."""
        if self.schedule == "flat":
            return self.learning_rate
        done = (step + 1) / (steps + 1)
        rising = done / max(self.warmup, 1e-9)
        return self.learning_rate * min(rising, (1 - done) / max(1 - self.warmup, 1e-9))

    def batches(self, order: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Divide the examples of an epoch, int64[n] in their order, into batches."""
        whole = max(1, len(order) // self.batch_size)
        kept = order[: whole * self.batch_size] if self.drop_last else order
        return kept.tensor_split(whole)

    def optimiser(self, parameters: Iterable[nn.Parameter]) -> torch.optim.SGD:
        """Give the optimiser of some parameters."""
        return SGD(
            parameters,
            lr=self.learning_rate,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            nesterov=self.momentum > 0,
        )

    def check(self, model: nn.Module, prepared: torch.Tensor, domain: Domain) -> None:
        """Refuse a network that cannot be trained so on such prepared inputs; none, as it is."""

    def variation(self, domain: Domain, n: int, epoch: int, seed: int) -> Vary:
        """Give the domain's own augmentation where it is wanted, for an epoch over n examples."""
        return lambda batch, _, noise: domain.augment(batch, noise) if self.augment else batch

    def seen(self, batch: torch.Tensor, domain: Domain, epoch: int) -> torch.Tensor:
        """Give a varied batch as the network sees it in an epoch: as it is."""
        return batch


def fit(
    model: nn.Module, data: Dataset, domain: Domain, config: TrainingConfig,
    rng: np.random.Generator, run: TrainingRun | None = None,
    *, parameters: Sequence[nn.Parameter] | None = None, enough: Enough | None = None,
    vary: Vary | None = None, wrap: Wrap | None = None,
) -> Trained:  # fmt: skip
    """Train `model` in place and record every example's loss in every epoch.

    Minimises the mean cross-entropy of a batch, or the mean of what the run's objective makes of
    it. The order of the examples is a uniform permutation of each epoch, so examples are treated
    alike wherever they stand in `data`.

    Args:
        model: Is changed, and left in evaluation mode.
        data: What is learnt.
        domain: Prepares and varies the inputs.
        config: How long and how fast.
        rng: Decides every bit.
        run: Where, for whom and by which objective; see `TrainingRun`.
        parameters: What is trained, by default all of the model and of the objective.
        enough: Is asked after each epoch whether to end there; the losses then have so many
            columns. Of a training that goes on it is asked again about the last epoch that was
            kept, so its answer may depend on nothing but the model.
        vary: Takes the place of the configuration's augmentation.
        wrap: Changes how steps are taken.

    Raises:
        MethodError: Where there are fewer than two examples.
    """
    run, n = run or TrainingRun(), len(data)
    if n < 2:
        raise MethodError(f"training needs at least 2 examples, found {n}")
    seed, device = int(rng.integers(2**62)), torch.device(run.runtime.device)
    prepared = domain.prepare(data.inputs).to(device)
    config.check(model.to(device), prepared, domain)
    model.train(config.batch_statistics)
    modules = [model, *_modules(run.objective, device)]
    trained = _parameters(modules) if parameters is None else list(parameters)
    optimiser = (wrap or _unwrapped)(config.optimiser(trained))
    loop = _Loop(
        model, domain, prepared, data.labels.to(device), config, optimiser, run, vary, seed
    )
    losses = torch.zeros(n, config.epochs)
    state = Checkpoint(run.checkpoint, modules, optimiser, trained, losses, loop.key())
    began, first = time.perf_counter(), state.restore()
    done, ended = first, bool(first and enough and enough(first)) or state.ended
    while done < config.epochs and not ended:
        losses[:, done] = loop.epoch(done)
        done += 1
        ended = bool(enough and enough(done))  # before it is kept, since it may change the model
        state.save(done, ended)
        if run.progress:
            run.progress(done, config.epochs)
    visited = sum(map(len, config.batches(torch.arange(n))))
    passes = float(visited * (done - first) * (2 if config.sam_radius else 1))
    cost = {"seconds": time.perf_counter() - began, "forward": passes, "backward": passes}
    return Trained(model.eval(), losses[:, :done], cost)


@dataclass(frozen=True, eq=False)
class _Loop:
    """The steps of a training on prepared inputs[n, ...] with labels int64[n]."""

    model: nn.Module
    domain: Domain
    prepared: torch.Tensor
    labels: torch.Tensor
    training: TrainingConfig
    optimiser: torch.optim.Optimizer
    run: TrainingRun
    vary: Vary | None
    seed: int

    def key(self) -> str:
        """Name the training by its data, configuration and seed; empty where it is kept nowhere."""
        if self.run.checkpoint is None:
            return ""
        digest = hashlib.sha256(repr((self.seed, self.training)).encode())
        for values in (self.labels, self.prepared):
            digest.update(values.cpu().contiguous().view(torch.uint8).numpy().data)
        return digest.hexdigest()

    def epoch(self, number: int) -> torch.Tensor:
        """Visit every example once and give its loss before the step that it took part in.

        The loss of an example that `drop_last` leaves out is not a number.
        """
        n, config, device = len(self.labels), self.training, self.prepared.device
        losses = torch.full((n,), math.nan)
        place = stream(self.seed, "epoch", number)
        noise = torch_generator(place, device)
        parts = config.batches(torch.from_numpy(place.permutation(n)).to(device))
        vary = self.vary or config.variation(self.domain, n, number, self.seed)
        with self.run.runtime.active(), seed_torch(place, device):
            for step, rows in enumerate(parts, number * len(parts)):
                for group in self.optimiser.param_groups:
                    group["lr"] = config.at(step, config.epochs * len(parts))
                varied = vary(self.prepared[rows], rows, noise)
                batch = config.seen(varied, self.domain, number)
                seen = partial(_forward, self.model, batch, self.labels[rows], rows, config)
                now = _step(self.optimiser, seen, self.run.objective, config.sam_radius)
                losses[rows.cpu()] = now
        return losses


def _unwrapped(optimiser: torch.optim.SGD) -> torch.optim.Optimizer:
    return optimiser


def _modules(objective: Objective | None, device: torch.device) -> list[nn.Module]:
    """The objective, moved to a device, where it is a module with a state of its own."""
    return [objective.to(device)] if isinstance(objective, nn.Module) else []


def _parameters(modules: Sequence[nn.Module]) -> list[nn.Parameter]:
    """Those of all modules; each is named once."""
    return list(dict.fromkeys(p for module in modules for p in module.parameters()))


def _step(
    optimiser: torch.optim.Optimizer, seen: Callable[[], Batch], objective: Objective | None,
    radius: float,
) -> torch.Tensor:  # fmt: skip
    """Take one step and give the losses before it, float[b].

    With a radius the gradient is taken again at the worst point of the ball, by the first one.
    """

    def descend(batch: Batch) -> None:
        optimiser.zero_grad(set_to_none=True)
        (batch.losses if objective is None else objective(batch)).mean().backward()

    first = seen()
    descend(first)
    if radius:
        trained = [p for group in optimiser.param_groups for p in group["params"]]
        steep: list[torch.Tensor] = [p for p in trained if p.grad is not None]
        length = torch.stack([p.grad.norm() for p in steep if p.grad is not None]).norm()
        climb = [p.grad * (radius / (length + 1e-12)) for p in steep if p.grad is not None]
        with torch.no_grad():
            torch._foreach_add_(steep, climb)
        descend(seen())
        with torch.no_grad():
            torch._foreach_sub_(steep, climb)
    optimiser.step()
    return first.losses.detach().cpu()


def _forward(
    model: nn.Module,
    batch: torch.Tensor,
    labels: torch.Tensor,
    rows: torch.Tensor,
    config: TrainingConfig,
) -> Batch:
    """Run the network on a prepared batch and keep what an objective may ask for."""
    kept: list[torch.Tensor] = []

    def keep(_: nn.Module, arguments: tuple[torch.Tensor, ...]) -> None:
        kept.append(arguments[0].flatten(1))

    hook = last_linear(model).register_forward_pre_hook(keep)
    try:
        with autocast(batch.device.type, config.precision):
            logits = model(batch)
    finally:
        hook.remove()
    losses = F.cross_entropy(
        logits.float(), labels, reduction="none", label_smoothing=config.label_smoothing
    )
    return Batch(rows, losses, kept[0], logits, labels, batch)
