"""The one training loop: resident data, batched augmentation, bf16, one cycle, losses kept.

Axes: n examples, b examples of a batch, d features, c classes, e epochs.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from mithridate.core.data import Dataset
from mithridate.core.domain import Domain
from mithridate.core.errors import MethodError
from mithridate.core.method import Trained
from mithridate.core.objective import Batch, Objective
from mithridate.core.runtime import Runtime
from mithridate.core.streams import stream, torch_generator, torch_seeded
from mithridate.core.view import autocast, last_linear
from mithridate.trainers.checkpoint import Checkpoint

Progress = Callable[[int, int], None]
"""Is told the epochs done and the epochs in all."""


@dataclass(frozen=True)
class Recipe:
    """How long and how fast to train: stochastic gradient descent with one cycle of the rate.

    rate: the largest learning rate, for batches of 256 and mean losses; warmup: share of the steps
    in which the rate rises; smoothing: of the labels; precision: "bf16" or "fp32" arithmetic.
    """

    epochs: int = 10
    batch_size: int = 256
    rate: float = 0.2
    warmup: float = 0.25
    momentum: float = 0.9
    decay: float = 5e-4
    smoothing: float = 0.0
    augment: bool = True
    precision: str = "bf16"

    def at(self, step: int, steps: int) -> float:
        """The learning rate of one step: up and down linearly."""
        done = (step + 1) / (steps + 1)
        rising = done / max(self.warmup, 1e-9)
        return self.rate * min(rising, (1 - done) / max(1 - self.warmup, 1e-9))

    def optimiser(self, model: nn.Module) -> torch.optim.SGD:
        """Give the optimiser of a model's parameters."""
        return torch.optim.SGD(
            model.parameters(), lr=self.rate, momentum=self.momentum, weight_decay=self.decay,
            nesterov=self.momentum > 0,
        )  # fmt: skip


def fit(
    model: nn.Module,
    data: Dataset,
    domain: Domain,
    recipe: Recipe,
    rng: np.random.Generator,
    *,
    runtime: Runtime | None = None,
    objective: Objective | None = None,
    progress: Progress | None = None,
    checkpoint: Path | None = None,
) -> Trained:
    """Train `model` in place and record every example's loss in every epoch.

    Minimises the mean cross-entropy of a batch, or the mean of what `objective` makes of it. The
    order of the examples is a uniform permutation of each epoch, so examples are treated alike
    wherever they stand in `data`. With `checkpoint`, a folder, every epoch is saved and a stopped
    training goes on where it was with the same result.
    Raises MethodError where there are fewer than two examples.
    """
    runtime, n = runtime or Runtime(), len(data)
    if n < 2:
        raise MethodError(f"training needs at least 2 examples, found {n}")
    seed, device = int(rng.integers(2**62)), torch.device(runtime.device)
    prepared, labels = domain.prepare(data.inputs).to(device), data.labels.to(device)
    losses = torch.zeros(n, recipe.epochs)
    model.to(device).train()
    optimiser = recipe.optimiser(model)
    state = Checkpoint(checkpoint, model, optimiser, losses, seed)
    began, first = time.perf_counter(), state.restore()
    batches = max(1, n // recipe.batch_size)
    for epoch in range(first, recipe.epochs):
        place = stream(seed, "epoch", epoch)
        noise = torch_generator(place, device)
        order = torch.from_numpy(place.permutation(n)).to(device)
        with runtime.active(), torch_seeded(place, device):
            for number, rows in enumerate(order.tensor_split(batches)):
                for group in optimiser.param_groups:
                    group["lr"] = recipe.at(epoch * batches + number, recipe.epochs * batches)
                batch = prepared[rows]
                if recipe.augment:
                    batch = domain.augment(batch, noise)
                seen = _forward(model, batch, labels[rows], rows, recipe)
                losses[rows.cpu(), epoch] = seen.losses.detach().cpu()
                optimiser.zero_grad(set_to_none=True)
                (seen.losses if objective is None else objective(seen)).mean().backward()
                optimiser.step()
        state.save(epoch + 1)
        if progress:
            progress(epoch + 1, recipe.epochs)
    passes = float(n * (recipe.epochs - first))
    cost = {"seconds": time.perf_counter() - began, "forward": passes, "backward": passes}
    return Trained(model.eval(), losses, cost)


def _forward(
    model: nn.Module, batch: torch.Tensor, labels: torch.Tensor, rows: torch.Tensor, recipe: Recipe
) -> Batch:
    """Run the network on a prepared batch and keep what an objective may ask for."""
    kept: list[torch.Tensor] = []

    def keep(_: nn.Module, arguments: tuple[torch.Tensor, ...]) -> None:
        kept.append(arguments[0].flatten(1))

    hook = last_linear(model).register_forward_pre_hook(keep)
    try:
        with autocast(batch.device.type, recipe.precision):
            logits = model(batch)
    finally:
        hook.remove()
    losses = F.cross_entropy(
        logits.float(), labels, reduction="none", label_smoothing=recipe.smoothing
    )
    return Batch(rows, losses, kept[0], logits)
