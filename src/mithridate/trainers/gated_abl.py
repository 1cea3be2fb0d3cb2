"""Anti-backdoor learning that asks whether what it isolated is a backdoor before it acts.

Axes: n examples, k isolated examples, s suspects, h held out, c classes.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
import torch
from scipy.stats import hypergeom
from torch import nn

from mithridate.core.data import Dataset
from mithridate.core.domain import Domain
from mithridate.core.errors import MethodError
from mithridate.core.fit import TrainingConfig
from mithridate.core.method import Trained
from mithridate.core.training_run import TrainingRun
from mithridate.trainers.abl import AntiBackdoorLearning, Isolated
from mithridate.trainers.stages import Course, Groups, UnlearningWatch, apart, split

MOST = 0.75
"""Share of a class that can be suspect; without the others nothing would learn the class."""


@dataclass(frozen=True)
class GatedAntiBackdoorLearning(AntiBackdoorLearning):
    """Isolate early-learnt examples, and act on them only where they behave like a backdoor.

    Three questions stand between isolation and its use; none needs to know the attack.
    1. Are the isolated of one class? One class must hold more than half of them, and with k_y of
       k isolated where n_y of n are of that class, c P(Hypergeometric(n, n_y, k) >= k_y) <= level.
       An easy class passes too in clean data, so this only says where to look.
    2. Which others were learnt as early? Suspects are the examples of that class with losses below
       the `early` quantile of the other classes, which are clean if one class is attacked, and at
       most three quarters of the class. Isolating 1 % leaves nine tenths of a poison of 10 %; this
       finds most of them. enlarged: whether it is asked; else the isolated of the class are.
    3. Are they ordinary? Everything else is learnt, without `held`, a fifth of what is left of the
       class (at most 200). Then the earliest quarter of the suspects, the purest, is unlearnt:
       -log p(y) over some of what was learnt and -log(1 - p(y)) over them is minimised, until at
       most 2 % of them are called by their labels. Where the accuracy on `held` falls by more than
       `sacrifice` before, or on the other classes by more than `tolerance`, the last good weights
       return and they are ordinary: easy examples take their class along, a trigger does not.
       Otherwise all suspects are unlearnt likewise, down to 5 %.
    "retrain" learns the rest from fresh weights, which never saw the suspects; easy examples would
    be called by their label as often as `held` at least, so Fisher's exact test of that, P <=
    level, also makes them poison; where both ways find them ordinary it trains on with all
    examples. Raw ascent, as the paper has it, moves nothing where a network is sure (its gradient
    is 1 - p) and has no bound afterwards; -log(1 - p) is the reverse. Chosen on BadNets and Blend,
    CIFAR-10 and digits. Notes: "isolated", "suspects", and "removed", empty where no backdoor was
    acted on; int64. Clean-label poison may pass as ordinary, since its labels are right; so may
    poison where half of the suspects are clean, as in one of six draws of BadNets on digits.

    Attributes:
        gamma: 0, ordinary training: held at 0.5, clean examples sink to the level of poison within
            three epochs, and isolation fails.
        ascent_epochs: at most so many.
        level: of the tests in steps 1 and 3, in 0..1.
        early: quantile of the losses of the other classes below which an example was learnt as
            early.
        tolerance: accuracy on the other classes that unlearning may cost, as a share.
        sacrifice: accuracy on the held-out examples of the class that unlearning may cost, as a
            share.
        then: "retrain" learns the rest from fresh weights, "ascend" goes on from stage 1 as the
            paper does.
        enlarged: whether step 2 is taken; else the isolated of the class are the suspects.

    Raises:
        MethodError: as the plain method, and where another share is not in 0..1.
    """

    paper = "after Li et al., Anti-Backdoor Learning, NeurIPS 2021"
    links = ("https://arxiv.org/abs/2110.11571",)
    known_as = ("gated-abl",)
    space: ClassVar = {"gamma": (0.0, 0.5, 1.0), "early": (0.02, 0.05, 0.1)}

    gamma: float = 0.0
    warmup: float = 0.3
    ascent_epochs: int = 20
    ascent_rate: float = 1e-2
    level: float = 0.01
    early: float = 0.05
    tolerance: float = 0.05
    sacrifice: float = 0.25
    then: Literal["ascend", "retrain"] = "retrain"
    enlarged: bool = True

    def train(
        self, model: nn.Module, data: Dataset, domain: Domain, rng: np.random.Generator,
        run: TrainingRun | None = None,
    ) -> Trained:  # fmt: skip
        """Train `model` in place; see `Trainer.train`."""
        fresh = copy.deepcopy(model.state_dict())
        course = Course(model, data, domain, self.checked(run), self.longest())
        isolated = self.isolate(course, rng)
        suspects = self.suspects(isolated, data.labels, len(data.classes))
        groups = split(data.labels, suspects, rng)
        notes = {"isolated": isolated.rows, "suspects": suspects, "removed": suspects[:0]}
        everything = torch.arange(len(data))
        if min(len(groups.suspects), len(groups.held), len(groups.learnt)) < 2:
            course.stage(everything, self.remaining(), rng)
        elif self.then == "ascend":
            course.stage(groups.learnt, self.remaining(), rng)
            if self._unlearnt(course, groups, rng):
                notes["removed"] = suspects
        else:
            model.load_state_dict(fresh)
            course.stage(groups.learnt, self.training, rng)
            strange = self.strange(course, groups)  # asked before the weights move
            if self._unlearnt(course, groups, rng) or strange:
                notes["removed"] = suspects
            else:
                course.stage(everything, self.remaining(), rng)
        return course.trained(notes)

    def ascending(self) -> TrainingConfig:
        """The recipe of unlearning; its rate rises, so that what goes far enough is gentle."""
        return replace(super().ascending(), batch_size=self.batch_size, warmup=1.0)

    def longest(self) -> int:
        """Count the epochs of all stages, at most: it may unlearn twice."""
        again = self.training.epochs if self.then == "retrain" else 0
        return super().longest() + self.ascending().epochs + again

    def suspects(self, isolated: Isolated, labels: torch.Tensor, classes: int) -> torch.Tensor:
        """Give suspects, int64[s], lowest loss first; none where no class stands out."""
        label = find_concentrated(labels[isolated.rows], labels, classes, self.level)
        if label is None:
            return isolated.rows[:0]
        suspect = torch.zeros(len(labels), dtype=torch.bool)
        suspect[isolated.rows] = labels[isolated.rows] == label
        mine = labels == label
        if self.enlarged and not bool(mine.all()):
            losses = isolated.losses.double().numpy()
            usual = np.quantile(losses[~mine], self.early)
            suspect |= mine & (isolated.losses <= min(usual, np.quantile(losses[mine], MOST)))
        rows = suspect.nonzero().flatten()
        return rows[isolated.losses[rows].argsort(stable=True)]

    def strange(self, course: Course, groups: Groups) -> bool:
        """Whether suspects are called by their label less often than the held, beyond chance."""
        suspects, held = course.ask(groups.suspects).right, course.ask(groups.held).right
        right = int(suspects.sum()) + int(held.sum())
        of = len(suspects) + len(held)
        chance = hypergeom.cdf(int(suspects.sum()), of, right, len(suspects))
        return bool(chance <= self.level)

    def unlearn(self, course: Course, groups: Groups, rng: np.random.Generator) -> bool:
        """Unlearn the surest suspects under watch, then all; whether the former did no harm."""
        surest = groups.suspects[: max(10, len(groups.suspects) // 4)]
        if not self._ascend(course, surest, groups, 0.02, rng):
            return False
        self._ascend(course, groups.suspects, groups, 0.05, rng)  # some are no poison
        return True

    def _ascend(
        self,
        course: Course,
        unwanted: torch.Tensor,
        groups: Groups,
        left: float,
        rng: np.random.Generator,
    ) -> bool:
        spared = ((groups.held, self.sacrifice), (groups.others, self.tolerance))
        watch = UnlearningWatch(course, unwanted, spared, left)
        if not watch.unlearnt:
            learnt = groups.learnt[torch.from_numpy(rng.permutation(len(groups.learnt)))]
            rows = torch.cat([unwanted, learnt[: max(512, 4 * len(unwanted))]])
            which = torch.arange(len(rows)) < len(unwanted)
            course.stage(rows, self.ascending(), rng, apart(which), watch)
        return watch.unlearnt

    def _unlearnt(self, course: Course, groups: Groups, rng: np.random.Generator) -> bool:
        """As `unlearn`, but the weights before it return where it fails."""
        before = copy.deepcopy(course.model.state_dict())
        if self.unlearn(course, groups, rng):
            return True
        course.model.load_state_dict(before)
        return False

    def _check(self) -> None:
        super()._check()
        for name in ("level", "early", "tolerance", "sacrifice"):
            if not 0 < (value := getattr(self, name)) < 1:
                raise MethodError(f"{name} must lie between 0 and 1, found {value}")


def find_concentrated(
    isolated: torch.Tensor, labels: torch.Tensor, classes: int, level: float
) -> int | None:
    """Give the class that holds the isolated beyond chance, or None.

    The test is exact where isolation is blind to classes, and corrected for their number.

    Args:
        isolated: int64[k], labels of the isolated.
        labels: int64[n], of all.
    """
    if not len(isolated):
        return None
    label = int(torch.bincount(isolated, minlength=classes).argmax())
    inside, size = int((isolated == label).sum()), int((labels == label).sum())
    chance = hypergeom.sf(inside - 1, len(labels), size, len(isolated))
    return label if classes * chance <= level and 2 * inside > len(isolated) else None
