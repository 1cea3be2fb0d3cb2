"""The repair that chooses itself: by backdoors of the defender's own, within a budget of accuracy.

Axes: m trusted examples, k own backdoors.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from mithridate.core.data import Dataset
from mithridate.core.errors import MethodError
from mithridate.core.fit import TrainingConfig, fit
from mithridate.core.inference import accuracy, correct, forward
from mithridate.core.method import Repair
from mithridate.core.objective import Batch
from mithridate.core.training_run import TrainingRun
from mithridate.core.view import View
from mithridate.repairs.stamped import Stamp, draw_stamps, joined, stamped
from mithridate.repairs.stamped_distillation import StampedDistillation
from mithridate.repairs.trusted import FEWEST, hold_out
from mithridate.stats.intervals import Interval, proportion

BATCH = 64


@dataclass(frozen=True, eq=False)
class OwnBackdoors:
    """A copy of the network with backdoors that the defender knows.

    Attributes:
        model: the copy.
        stamps: their triggers.
        targets: the labels that they stand for, one each.
    """

    model: nn.Module
    stamps: tuple[Stamp, ...]
    targets: tuple[int, ...]

    def obeyed(
        self, model: nn.Module, data: Dataset, view: View, rng: np.random.Generator
    ) -> tuple[Interval, ...]:
        """Give the attack success rate of each in a network, by examples of other classes."""
        rates = []
        for stamp, target in zip(self.stamps, self.targets, strict=True):
            aimed = data.subset(data.labels != target)
            if not len(aimed):
                rates.append(proportion(0, 0))
                continue
            hits = correct(model, stamped(aimed, stamp, rng, target), view.domain, view.runtime)
            rates.append(proportion(int(hits.sum()), len(hits)))
        return tuple(rates)


@dataclass(frozen=True, eq=False)
class Choice:
    """What was chosen, and why.

    Attributes:
        repair: the chosen one; None where each costs more than the budget.
        own: the backdoors that were planted; None where the domain draws no trigger.
        mended: `own.model` after the chosen repair.
        tried: each repair that was tried, the accuracy that it cost, and the largest rate at which
            an own backdoor still worked; None where that was not asked.
    """

    repair: Repair | None
    own: OwnBackdoors | None
    mended: nn.Module | None
    tried: tuple[tuple[Repair, float, float | None], ...]

    def described(self) -> str:
        """Say what was chosen."""
        if self.repair is not None and not self.tried:
            return f"It had too few examples to choose by and took {self.repair.name()}"
        planted = f"{len(self.own.stamps)} backdoors of its own" if self.own else "accuracy alone"
        if self.repair is None:
            return f"The mildest of its candidates cost more than the budget, by {planted}"
        own = self.repair.config()
        told = ", ".join(f"{name} = {value}" for name, value in own.items() if name != "method")
        return (
            f"It tried {len(self.tried)} repairs by {planted} and chose {self.repair.name()} "
            f"with {told}"
        )


@dataclass(frozen=True)
class SelfChosen(Repair):
    """Try repairs against backdoors of the defender's own, and take what helps most in a budget.

    Beside the unknown backdoor, one of each kind of trigger that the domain draws is planted in a
    copy of the network. The candidates, mildest first, repair both, until one costs more than the
    budget on held-out trusted examples. Of those within it, that after which the own backdoors work
    least is taken; where several are within `tie` of the least, the harshest of them, since an
    unknown backdoor may sit deeper. Where nothing can be planted, the harshest within the budget is
    taken; where none is within it, nothing is done. With too few trusted examples to hold some out,
    the mildest is taken.

    Attributes:
        budget: accuracy on held-out trusted examples that a candidate may cost, as a share.
        rates: learning rates of the candidates, in the order of the harm that they do.
        candidate: what they are apart from that.
        held: share of the trusted examples that only the choice sees.
        tie: difference of success rates that does not count.
        planting: at most so many steps of planting, which ends once every own backdoor works in
            `planted` of all cases.
        planted: see `planting`.

    Raises:
        MethodError: where fewer than ten examples are trusted or a setting is out of range.
    """

    paper = "A method of this library without a paper"
    known_as: ClassVar[tuple[str, ...]] = ("auto",)

    budget: float = 0.03
    rates: tuple[float, ...] = (0.02, 0.05, 0.1, 0.2, 0.4)
    candidate: StampedDistillation = field(default_factory=StampedDistillation)
    held: float = 0.25
    tie: float = 0.02
    planting: int = 300
    planted: float = 0.9

    def ladder(self) -> tuple[Repair, ...]:
        """Give the candidates, the mildest first."""
        return tuple(replace(self.candidate, learning_rate=rate) for rate in self.rates)

    def repair(self, view: View, rng: np.random.Generator) -> nn.Module:
        """Choose, and repair by what was chosen with all trusted examples."""
        return self.chosen(view, rng)[0]

    def times(self, n: int) -> float:
        """Guess how many repairs by one candidate it takes with n trusted examples."""
        planting = 0.5 * self.planting * BATCH / max(1, 2 * n * self.candidate.epochs)
        return 2 * len(self.rates) * (1 - self.held) + 1 + planting

    def chosen(self, view: View, rng: np.random.Generator) -> tuple[nn.Module, Choice]:
        """Choose, repair, and give the choice as well."""
        choosing, final = rng.spawn(2)
        choice = self.choose(view, choosing)
        if choice.repair is None:
            return copy.deepcopy(view.model).eval(), choice
        return choice.repair.mend(view, final), choice

    def choose(self, view: View, rng: np.random.Generator) -> Choice:
        """Try the candidates on a part of the trusted examples, and judge by the rest."""
        if not (self.budget >= 0 and self.rates and self.planting > 0):
            raise MethodError(
                "expected a budget of 0 or more, a candidate and a step of planting, found "
                f"{self.budget}, {len(self.rates)} and {self.planting}"
            )
        drawing, planting, asking, trying = rng.spawn(4)
        learn, held = hold_out(view, drawing, self.held)
        if len(learn) < FEWEST:
            return Choice(self.ladder()[0], None, None, ())
        own = self.plant(view, learn, planting)
        before = accuracy(view.model, held, view.domain, view.runtime)
        tried: list[tuple[Repair, float, float | None]] = []
        kept: list[nn.Module | None] = []
        ladder = self.ladder()
        for repair, noise in zip(ladder, trying.spawn(len(ladder)), strict=True):
            first, second = noise.spawn(2)
            mended = repair.mend(seen(view, view.model, learn), first)
            cost = before - accuracy(mended, held, view.domain, view.runtime)
            if cost > self.budget:
                tried.append((repair, cost, None))
                break
            copied, left = None, 0.0
            if own is not None:
                copied = repair.mend(seen(view, own.model, learn), second)
                rates = own.obeyed(copied, held, view, asking)
                left = max((rate.value for rate in rates if rate.n), default=0.0)
            tried.append((repair, cost, left))
            kept.append(copied)
        best = best_of([left for _, _, left in tried if left is not None], self.tie)
        if best is None:
            return Choice(None, own, None, tuple(tried))
        return Choice(tried[best][0], own, kept[best], tuple(tried))

    def plant(self, view: View, learn: Dataset, rng: np.random.Generator) -> OwnBackdoors | None:
        """Teach a copy of the network backdoors with targets of their own."""
        drawing, teaching = rng.spawn(2)
        stamps = tuple(draw_stamps(view, drawing))
        classes = learn.labels.unique().tolist()
        if not stamps or len(classes) < 2:
            return None
        order = drawing.permutation(len(classes))
        targets = tuple(classes[order[i % len(order)]] for i in range(len(stamps)))
        parts = [learn]
        for stamp, target in zip(stamps, targets, strict=True):
            some = learn.subset(drawing.permutation(len(learn))[: max(2, len(learn) // 3)])
            parts.append(stamped(some, stamp, drawing, target))
        model, taught = copy.deepcopy(view.model), joined(parts)
        logits = forward(view.model, view.domain.prepare(learn.inputs), view.runtime)[1]
        old = F.softmax(logits.float(), 1).to(view.runtime.device)

        def keep(batch: Batch) -> torch.Tensor:
            clean = batch.rows < len(learn)
            said = old[batch.rows.clamp(max=len(learn) - 1)]
            kept = F.cross_entropy(batch.logits.float(), said, reduction="none")
            return torch.where(clean, kept, batch.losses)

        def enough(_: int) -> bool:
            rates = [accuracy(model, part, view.domain, view.runtime) for part in parts[1:]]
            return min(rates) >= self.planted

        epochs = math.ceil(self.planting / max(1, len(taught) // BATCH))
        config = TrainingConfig(epochs=epochs, batch_size=BATCH, learning_rate=0.02, augment=False)
        run = TrainingRun(view.runtime, objective=keep)
        fit(model, taught, view.domain, config, teaching, run, enough=enough)
        return OwnBackdoors(model, stamps, targets)


def seen(view: View, model: nn.Module, trusted: Dataset) -> View:
    """Give what a candidate sees: a network and a part of the trusted examples."""
    return View(domain=view.domain, model=model, clean=trusted, runtime=view.runtime)


def best_of(left: Sequence[float], tie: float) -> int | None:
    """Give the place of the least rate, the last of those that are about as small."""
    if not left:
        return None
    return max(place for place, rate in enumerate(left) if rate <= min(left) + tie)
