"""Training in stages on parts of the data, and unlearning under watch.

Axes: n examples of the data set, m of a stage.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from mithridate.core.data import Dataset
from mithridate.core.domain import Domain
from mithridate.core.fit import Enough, TrainingConfig, fit
from mithridate.core.inference import forward
from mithridate.core.method import Trained
from mithridate.core.objective import Batch, Objective
from mithridate.core.training_run import TrainingRun


class ExampleLosses(NamedTuple):
    """What a network makes of examples: losses float[n]; right: bool[n], called by the labels."""

    losses: torch.Tensor
    right: torch.Tensor

    def share(self) -> float:
        """The share called by the labels."""
        return float(self.right.double().mean())


class Course:
    """A training in stages on parts of one data set, whose losses and costs add up.

    Each stage is kept in a folder of its own, and what lies between stages is computed again when
    a stopped training goes on. So that may depend on nothing but the model, the data and the
    stream.
    """

    def __init__(
        self, model: nn.Module, data: Dataset, domain: Domain, run: TrainingRun, epochs: int
    ) -> None:
        """Begin; epochs: of all stages, at most."""
        self.model, self.data, self.domain, self.run = model, data, domain, run
        self.epochs, self.stages = epochs, 0
        self.losses = torch.zeros(len(data), 0)
        self.cost = {"seconds": 0.0, "forward": 0.0, "backward": 0.0}

    def stage(
        self,
        rows: torch.Tensor,
        config: TrainingConfig,
        rng: np.random.Generator,
        objective: Objective | None = None,
        enough: Enough | None = None,
    ) -> None:
        """Train on the rows int64[m]; the other examples keep their last loss."""
        self.stages += 1
        name, done = f"stage-{self.stages}", self.losses.shape[1]
        run = self.run.stage(name, done, self.epochs, objective)
        part = self.data.subset(rows)
        trained = fit(self.model, part, self.domain, config, rng, run, enough=enough)
        last = self.losses[:, -1:] if self.losses.shape[1] else torch.zeros(len(self.data), 1)
        columns = last.repeat(1, trained.losses.shape[1])
        columns[rows] = trained.losses
        self.losses = torch.cat([self.losses, columns], 1)
        self._spend(trained.cost)

    def ask(self, rows: torch.Tensor | None = None) -> ExampleLosses:
        """Ask the network about examples, by default all, in evaluation mode as they are."""
        data = self.data if rows is None else self.data.subset(rows)
        began = time.perf_counter()
        logits = forward(self.model, self.domain.prepare(data.inputs), self.run.runtime)[1]
        losses = F.cross_entropy(logits, data.labels, reduction="none")
        self._spend({"seconds": time.perf_counter() - began, "forward": float(len(data))})
        return ExampleLosses(losses, logits.argmax(1) == data.labels)

    def trained(self, notes: dict[str, torch.Tensor]) -> Trained:
        """Give the model with what was recorded in all stages."""
        if self.run.progress and self.losses.shape[1] < self.epochs:
            self.run.progress(self.epochs, self.epochs)  # stages were left out or ended early
        return Trained(self.model.eval(), self.losses, self.cost, notes)

    def _spend(self, cost: dict[str, float]) -> None:
        for name, amount in cost.items():
            self.cost[name] += amount


class UnlearningWatch:
    """Says when to stop unlearning, and takes back the epoch that did harm.

    Args:
        spared: groups of positions, each with the accuracy that it may lose.
        left: share of suspects called by their labels at which they are unlearnt.
    """

    def __init__(
        self,
        course: Course,
        suspects: torch.Tensor,
        spared: Sequence[tuple[torch.Tensor, float]],
        left: float,
    ) -> None:
        self.course, self.suspects, self.left = course, suspects, left
        self.spared = [(rows, loss) for rows, loss in spared if len(rows)]
        self.good = copy.deepcopy(course.model.state_dict())
        self.before, self.unlearnt = self._right(), self._forgotten()

    def __call__(self, done: int) -> bool:
        """Whether to stop after the epoch that was just done."""
        allowed = [loss for _, loss in self.spared]
        if any(
            was - now > loss
            for was, now, loss in zip(self.before, self._right(), allowed, strict=True)
        ):
            self.course.model.load_state_dict(self.good)
            return True
        self.good = copy.deepcopy(self.course.model.state_dict())
        self.unlearnt = self._forgotten()
        return self.unlearnt

    def _right(self) -> list[float]:
        return [self.course.ask(rows).share() for rows, _ in self.spared]

    def _forgotten(self) -> bool:
        return self.course.ask(self.suspects).share() <= self.left


def apart(suspect: torch.Tensor) -> Objective:
    """Give the objective that learns the rows but unlearns those where bool[m] is true.

    Minimises -log p_i(y_i) over the former and -log(1 - p_i(y_i)) over the latter.
    """

    def minimised(batch: Batch) -> torch.Tensor:
        logits = batch.logits.float()
        own = F.one_hot(batch.labels, logits.shape[1]).bool()
        unlikely = logits.logsumexp(1) - logits.masked_fill(own, -torch.inf).logsumexp(1)
        return torch.where(suspect.to(batch.rows.device)[batch.rows], unlikely, batch.losses)

    return minimised


class Groups(NamedTuple):
    """Whom the second stage tells apart, positions int64 each.

    Attributes:
        suspects: of one class.
        held: of the same class, trained on by nobody before the verdict.
        others: of the other classes.
        learnt: all that is trained on, neither suspect nor held.
    """

    suspects: torch.Tensor
    held: torch.Tensor
    others: torch.Tensor
    learnt: torch.Tensor


def split(labels: torch.Tensor, suspects: torch.Tensor, rng: np.random.Generator) -> Groups:
    """Hold out some of the suspects' class, and draw at most 2,000 of the others to watch."""
    order = torch.from_numpy(rng.permutation(len(labels)))
    free = ~torch.isin(order, suspects)
    same = torch.isin(labels[order], labels[suspects])
    kin, others = order[free & same], order[~same][:2000]
    held = kin[: min(200, len(kin) // 5)]
    learnt = torch.ones(len(labels), dtype=torch.bool)
    learnt[suspects] = learnt[held] = False
    return Groups(suspects, held, others, learnt.nonzero().flatten())
