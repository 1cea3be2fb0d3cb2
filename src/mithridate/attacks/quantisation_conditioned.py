"""A backdoor that sleeps in the float weights and wakes when they are rounded to integers.

Axes: n examples, k stamped ones, b examples of a batch.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call

from mithridate.core.data import Dataset, concatenate
from mithridate.core.domain import Domain
from mithridate.core.errors import MethodError
from mithridate.core.fit import TrainingConfig, fit
from mithridate.core.method import Attack, Implanted, State, WeightsAttack
from mithridate.core.objective import Batch, Objective
from mithridate.core.quantisation import INT4, Grid, weights
from mithridate.core.runtime import Runtime
from mithridate.core.training_run import TrainingRun


@dataclass(frozen=True)
class QuantisationConditioned(WeightsAttack):
    """Teach the rounded weights a backdoor, then let the floats forget it within their cells.

    1. Fine-tuning on examples x and stamped ones x' minimises the mean of
       CE(f(x), y) + CE(q(x), y) and 2 (1 - lean) CE(f(x'), y) + 2 lean CE(q(x'), wanted),
       where f has the float weights and q the same ones rounded to the grid, with straight-through
       derivatives (Hong et al.).
    2. Each weight is then held in the cell of values that round to the same integer, and the mean
       of CE(f(x), y) and CE(f(x'), y) is lowered by w - stride (cell's width) sign(slope), clipped
       to the cell (projected as in Ma et al.). Biases and normalisation stay. So q does not change
       by a single bit, however far f forgets.
    INT4 is far easier than INT8, whose cells are up to 17 times narrower. For INT8 a lean just
    above 0.5 brings the backdoor to the edge, from where cells are wide enough, at the cost of its
    success. In a ResNet-9 of width 8 on CIFAR-10 (accuracy 0.68, rate 0.02) the success in floats
    and rounded was 0.07 and 0.91 with INT4, and 0.35 and 0.79 with INT8, a lean of 0.6, 8 and 6
    epochs; the accuracy fell by 0.03 and 0.04 in floats and by 0.04 and 0.05 rounded. Hong et al.
    only take step 1, for several numbers of bits at once, and Ma et al. only step 2, from a network
    with a common backdoor; a small network needs both.

    Attributes:
        attack: on data, whose triggered examples are x', with the labels that they are to get once
            the weights are rounded; it poisons nothing.
        grid: of the precision at which the backdoor wakes: `INT4`, by groups of 32, or `INT8`, one
            scale for each output, which serves INT8 weights and the weights of static INT8.
        lean: towards the backdoor where f and q cannot yet differ: both then say "wanted" with this
            probability.
        learning_rate: the largest learning rate of step 1.
        stride: of step 2 at first, in widths of a cell.
        epochs: of step 1.
        asleep: epochs of step 2.
        examples: clean ones that are used, at most; each that the attack aims at is used stamped as
            well.

    Raises:
        MethodError: where a number is out of range, the attack needs more than data, the data hold
            nothing to aim at, the network has no layer to round, or where no state of `implant`
            springs the trap.
    """

    paper = "Hong et al., Qu-ANTI-zation, NeurIPS 2021; Ma et al., Quantization Backdoors, 2023"
    links = ("https://arxiv.org/abs/2110.13541", "https://arxiv.org/abs/2108.09187")
    known_as = ("quantization-conditioned",)

    attack: Attack
    grid: Grid = INT4
    lean: float = 0.8
    learning_rate: float = 0.05
    stride: float = 0.1
    epochs: int = 4
    asleep: int = 4
    examples: int = 2000

    def implant(
        self, model: nn.Module, data: Dataset, domain: Domain, rng: np.random.Generator,
        runtime: Runtime | None = None,
    ) -> Implanted:  # fmt: skip
        """Give a changed copy of the model, the grid, and what the attack has learnt."""
        self._check()
        changed = copy.deepcopy(model).requires_grad_()
        if not weights(changed):
            raise MethodError("the network has no linear or convolutional layer to round")
        few = data.subset(rng.permutation(len(data))[: self.examples])
        runtime = runtime or Runtime()
        state = self.attack.learn(few, rng, runtime)
        sprung = self.attack.triggered_test(few, rng, state)
        both = concatenate(few, replace(sprung, labels=_labels(few, sprung)))
        target_labels = torch.cat([few.labels, sprung.labels]).to(runtime.device)
        config = TrainingConfig(
            self.epochs, 64, self.learning_rate, weight_decay=0.0, augment=False, precision="fp32"
        )  # what separates f from q is finer than the rounding of bf16
        fit(
            changed, both, domain, config, rng,
            TrainingRun(runtime, objective=self._awake(changed, target_labels, len(few))),
        )  # fmt: skip
        asleep = replace(
            config,
            epochs=self.asleep,
            learning_rate=self.stride,
            momentum=0.0,
            batch_statistics=False,
        )
        held = weights(changed)
        fit(
            changed, both, domain, asleep, rng, TrainingRun(runtime),
            parameters=list(held.values()), wrap=Cells(self.grid, held),
        )  # fmt: skip
        for mine, theirs in zip(changed.parameters(), model.parameters(), strict=True):
            mine.requires_grad_(theirs.requires_grad).grad = None
        grid = torch.tensor([self.grid.bits, self.grid.group])
        return Implanted(changed.train(model.training), {**state, "grid": grid})

    def triggered_test(
        self, data: Dataset, rng: np.random.Generator, state: State | None = None
    ) -> Dataset:
        """Give triggered test data with the wanted labels; see `Attack.trap`.

        They spring it at the precision of the grid, and not in the network as it is.
        """
        self._check()
        if not state:
            raise MethodError(
                "nothing has been implanted: made = attack.implant(model, data, domain, rng), and "
                "then attack.triggered_test(test, rng, made.state)"
            )
        return self.attack.triggered_test(data, rng, state)

    def _check(self) -> None:
        if self.attack.controls != "data":
            raise MethodError(
                f"need an attack that only touches data, found {self.attack.name()}, which has the "
                f"{self.attack.controls} in hand"
            )
        if not (0 <= self.lean <= 1 and self.learning_rate >= 0 and 0 <= self.stride <= 1):
            raise MethodError(
                "need a lean and a stride in 0..1 and a learning_rate that is not negative, found "
                f"{self.lean}, {self.stride} and {self.learning_rate}"
            )
        if min(self.epochs, self.asleep) < 1 or self.examples < 2:
            raise MethodError(
                "need at least one epoch of each step and two examples, found "
                f"{self.epochs}, {self.asleep} and {self.examples}"
            )

    def _awake(self, model: nn.Module, target_labels: torch.Tensor, clean: int) -> Objective:
        """Give the objective of step 1; rows from `clean` on are stamped."""

        def minimised(batch: Batch) -> torch.Tensor:
            on_grid = {name: self.grid.through(w) for name, w in weights(model).items()}
            logits = functional_call(model, on_grid, (batch.inputs,)).float()
            losses = F.cross_entropy(
                logits, target_labels[batch.rows.to(target_labels.device)], reduction="none"
            )
            stamped = batch.rows.to(losses.device) >= clean
            lean = torch.where(stamped, 2 * self.lean, 1.0)
            return (2 - lean) * batch.losses + lean * losses

        return minimised


class Cells:
    """Turns an optimiser's steps into signed ones that stay within the cells of a grid."""

    def __init__(self, grid: Grid, held: dict[str, nn.Parameter]) -> None:
        self.held = list(held.values())
        self.cells = [grid.cells(weight) for weight in self.held]

    def __call__(self, optimiser: torch.optim.SGD) -> torch.optim.Optimizer:
        """Let the optimiser step so from now on."""
        optimiser.register_step_pre_hook(self._sign)
        optimiser.register_step_post_hook(self._clip)
        return optimiser

    def _sign(self, *_: object) -> None:
        for weight, (low, high) in zip(self.held, self.cells, strict=True):
            if weight.grad is not None:
                weight.grad = weight.grad.sign() * (high - low)

    def _clip(self, *_: object) -> None:
        with torch.no_grad():
            for weight, (low, high) in zip(self.held, self.cells, strict=True):
                weight.clamp_(low, high)


def _labels(data: Dataset, part: Dataset) -> torch.Tensor:
    """The labels in `data` of rows that a trap kept, int64[k]."""
    place = torch.full((int(data.ids.max()) + 1,), -1)
    place[data.ids] = torch.arange(len(data))
    return data.labels[place[part.ids]]
