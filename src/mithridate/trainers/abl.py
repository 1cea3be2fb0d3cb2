"""Anti-backdoor learning: isolate what is learnt first, learn the rest, unlearn the isolated.

Axes: n examples, b examples of a batch, k isolated examples, e epochs.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal, NamedTuple

import numpy as np
import torch
from torch import nn

from mithridate.core.data import Dataset
from mithridate.core.domain import Domain
from mithridate.core.errors import MethodError
from mithridate.core.fit import TrainingConfig
from mithridate.core.method import Trained, Trainer
from mithridate.core.objective import Batch, Objective
from mithridate.core.training_run import TrainingRun
from mithridate.trainers.stages import Course

Form = Literal["paper", "batch-mean", "flooding"]
"""How the first stage holds losses up: see `holding`."""


@dataclass(frozen=True)
class AntiBackdoorLearning(Trainer):
    """Hold losses at a level, take the lowest for poison, learn the rest and unlearn those.

    Stage 1 minimises mean_i sign(l_i - gamma) l_i without augmentation, which keeps slow examples
    from falling below gamma; then every example is asked once in evaluation mode, and the `share`
    with the lowest losses is isolated. Stage 2 minimises the mean loss of the rest, and at last
    minus the mean loss of the isolated (gradient ascent). The defaults are the authors', who train
    100 epochs. Their ascent has no rule to stop and no check of what was isolated, so it harms the
    model where clean examples are isolated; see `gated_abl.py`. Rates rise and fall in each stage
    where the authors' fall in steps; the one of the ascent falls from twice `ascent_rate`, which is
    thus its mean. Where the share is fewer than two examples, nothing is isolated. The positions
    isolated are kept as `notes["isolated"]`, int64[k].

    Attributes:
        training: of stage 2, whose epochs are those of stages 1 and 2 together.
        warmup: share of them that stage 1 takes, at least one epoch.
        gamma: loss that stage 1 holds examples at, in nats.
        share: of the data that is isolated, 0..1.
        compat: "paper" takes the sign of each example, "batch-mean" that of the mean loss of a
            batch, as the code released does, and "flooding", its default, minimises |mean_i l_i -
            gamma| + gamma.
        batch_size: of stage 1; smaller ones make more of the few steps of a short training.
        ascent_epochs: for how many epochs the isolated are unlearnt.
        ascent_rate: learning rate of the unlearning.

    Raises:
        MethodError: where the warm-up or the share is not in 0..1, or gamma is negative.
    """

    paper = "Li et al., Anti-Backdoor Learning, NeurIPS 2021"
    links = ("https://arxiv.org/abs/2110.11571",)
    known_as = ("abl",)
    space: ClassVar = {"gamma": (0.3, 0.5, 1.0, 1.5)}

    training: TrainingConfig = field(default_factory=TrainingConfig)
    warmup: float = 0.2
    gamma: float = 0.5
    share: float = 0.01
    compat: Literal["paper", "batch-mean", "flooding"] = "paper"
    batch_size: int = 64
    ascent_epochs: int = 4
    ascent_rate: float = 5e-4

    def train(
        self,
        model: nn.Module,
        data: Dataset,
        domain: Domain,
        rng: np.random.Generator,
        run: TrainingRun | None = None,
    ) -> Trained:
        """Train `model` in place; see `Trainer.train`."""
        course = Course(model, data, domain, self.checked(run), self.longest())
        isolated = self.isolate(course, rng)
        course.stage(isolated.rest, self.remaining(), rng)
        if len(isolated.rows):
            course.stage(isolated.rows, self.ascending(), rng, ascend)
        return course.trained({"isolated": isolated.rows})

    def isolate(self, course: Course, rng: np.random.Generator) -> Isolated:
        """Run the first stage and give what it isolates."""
        self._check()
        everything = torch.arange(len(course.data))
        course.stage(everything, self.holding(), rng, hold_at(self.gamma, self.compat))
        losses = course.ask().losses
        ranked = losses.argsort(stable=True)
        few = int(self.share * len(ranked))
        few = few if min(few, len(ranked) - few) > 1 else 0  # a training needs two examples
        return Isolated(ranked[:few], ranked[few:].sort().values, losses)

    def holding(self) -> TrainingConfig:
        """The recipe of the first stage."""
        rate = (
            self.training.learning_rate
            * min(1.0, self.batch_size / self.training.batch_size) ** 0.5
        )
        return replace(
            self.training,
            epochs=self._first(),
            batch_size=self.batch_size,
            learning_rate=rate,
            augment=False,
        )

    def remaining(self) -> TrainingConfig:
        """The recipe of learning the rest."""
        return replace(self.training, epochs=max(1, self.training.epochs - self._first()))

    def ascending(self) -> TrainingConfig:
        """The recipe of unlearning."""
        return replace(
            self.training,
            epochs=self.ascent_epochs,
            learning_rate=2 * self.ascent_rate,
            warmup=0.0,
            augment=False,
        )

    def longest(self) -> int:
        """Count the epochs of all stages, at most."""
        stages = (self.holding(), self.remaining(), self.ascending())
        return sum(stage.epochs for stage in stages)

    def _first(self) -> int:
        return max(1, round(self.warmup * self.training.epochs))

    def _check(self) -> None:
        for name, value in (("warmup", self.warmup), ("share", self.share)):
            if not 0 < value < 1:
                raise MethodError(f"{name} must lie between 0 and 1, found {value}")
        if self.gamma < 0:
            raise MethodError(f"gamma is a loss and must not be negative, found {self.gamma}")


def hold_at(gamma: float, compat: Form) -> Objective:
    """Give the objective that holds losses at gamma, in one of its three forms."""

    def paper(batch: Batch) -> torch.Tensor:
        return (batch.losses.detach() - gamma).sign() * batch.losses

    def batch_mean(batch: Batch) -> torch.Tensor:
        mean = batch.losses.mean()
        return (mean.detach() - gamma).sign() * mean

    def flooding(batch: Batch) -> torch.Tensor:
        return (batch.losses.mean() - gamma).abs() + gamma

    return {"paper": paper, "batch-mean": batch_mean, "flooding": flooding}[compat]


def ascend(batch: Batch) -> torch.Tensor:
    """Minus the losses: what is minimised to unlearn."""
    return -batch.losses


class Isolated(NamedTuple):
    """What the first stage isolates.

    Attributes:
        rows: int64[k], lowest loss first.
        rest: int64[n - k].
        losses: float[n], that decided.
    """

    rows: torch.Tensor
    rest: torch.Tensor
    losses: torch.Tensor
