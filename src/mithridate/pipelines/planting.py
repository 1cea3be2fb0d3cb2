"""Known backdoors in a copy of the suspects, one for a class, several at once.

A scan answers class by class, so one copy tells of as many backdoors as it has classes. Each has a
trigger of its own, and takes its examples from the other classes. Trusted examples are not touched.
Axes: n suspects, k examples that carry one backdoor.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from mithridate.core.data import Dataset, Inputs
from mithridate.core.domain import Domain
from mithridate.core.errors import CannotJudge
from mithridate.core.streams import stream
from mithridate.domains.registry import usual_triggers
from mithridate.pipelines.compared import Compared
from mithridate.pipelines.finding import ClassFinding
from mithridate.pipelines.planted import Amount, Backdoor

SHARES = (0.03, 0.01)
"""Shares of a class that are planted beside the amount that was asked for."""

ALIKE = 1.4
"""Amounts whose shares differ by a smaller factor tell the same."""

MOST = 0.1
"""Share of all suspects that backdoors of one copy carry, unless a single one takes more."""


@dataclass(frozen=True, eq=False)
class Planting:
    """One backdoor in a copy: the rows int64[k] that carry it, now under its label."""

    backdoor: Backdoor
    label: int
    rows: torch.Tensor


@dataclass(frozen=True, eq=False)
class Ground:
    """Where backdoors can be planted.

    Attributes:
        data: The suspects, which are never changed.
        rows: int64[k], those that a scan judges, each content once.
        labels: Classes that hold suspects and trusted examples, so that they can be judged.
        domain: Knows the kinds of backdoors.
        visible: By class, the fewest examples that a scan can see, however they are ranked; a class
            that is not named has no bound.

    """

    data: Dataset
    rows: torch.Tensor
    labels: tuple[int, ...]
    domain: Domain
    visible: Mapping[int, int] = field(default_factory=dict)

    @staticmethod
    def of(
        data: Dataset, who: Compared, domain: Domain, classes: Sequence[ClassFinding] = ()
    ) -> Ground:
        """Take the suspects that are judged, in classes with trusted examples.

        Args:
            data: The suspects.
            who: Which of them are compared with whom.
            domain: Of all of them.
            classes: What the scan said of every class, where that is known.

        """
        rows = torch.arange(len(data)) if who.seen is None else who.seen.suspects
        known = [] if who.known is None else who.known.labels.unique().tolist()
        there = set(data.labels[rows].unique().tolist())
        visible = {label: c.visible for label, c in enumerate(classes) if c.visible is not None}
        own = tuple(label for label in known if label in there)
        return Ground(data, rows, own, domain, visible)

    def sizes(self) -> list[int]:
        """Count the judged suspects of every class."""
        own = self.data.labels[self.rows]
        return [int(size) for size in torch.bincount(own, minlength=len(self.data.classes))]

    def kinds(self) -> tuple[str, ...]:
        """Name the kinds of backdoors; raises CannotJudge where none is known."""
        return tuple(usual_triggers(self.domain.name, self.data.inputs[:1], stream(0, "kinds")))

    def backdoors(self, smallest: float) -> tuple[Backdoor, ...]:
        """List what is planted: every kind at the amount that was asked for, then smaller ones.

        Args:
            smallest: The amount that a scan must see, as a share of all suspects.

        Raises:
            CannotJudge: where there is no class to plant into, or no kind to plant.

        """
        if len(self.labels) < 1 or len(self.data.labels[self.rows].unique()) < 2:
            raise CannotJudge("no class has both suspects and trusted examples")
        kinds = self.kinds()
        return tuple(Backdoor(kind, each) for each in self.amounts(smallest) for kind in kinds)

    def carriers(self, amount: Amount) -> dict[int, int]:
        """Give by class how many examples carry a backdoor of an amount."""
        sizes = self.sizes()
        return {label: amount.count(sizes[label], len(self.rows)) for label in self.labels}

    def can_be_seen(self, amount: Amount) -> bool:
        """Whether a backdoor of an amount is large enough to be seen in some class."""
        return any(n >= self.visible.get(c, 0) for c, n in self.carriers(amount).items())

    def amounts(self, smallest: float) -> list[Amount]:
        """Give the amount that was asked for and shares of a class that tell something else."""
        sizes = self.sizes()
        middle = float(np.median([sizes[label] for label in self.labels]))
        asked = smallest * len(self.rows) / max(middle, 1.0)
        chosen = [Amount(smallest, of_all=True)]
        for share in SHARES:
            smaller = share * ALIKE < asked
            if smaller or (share == min(SHARES) and share > asked * ALIKE):
                chosen.append(Amount(share))
        counts = [each.count(round(middle), len(self.rows)) for each in chosen]
        return [each for k, each in enumerate(chosen) if counts[k] not in counts[:k]]

    def room(self) -> int:
        """How many classes of one copy may be planted into; with many, a tenth stays as it is."""
        classes = len(self.labels)
        return max(1, classes - classes // 10)

    def fits(self, backdoors: Sequence[Backdoor]) -> int:
        """Estimate how many backdoors one copy holds."""
        sizes = self.sizes()
        middle = round(float(np.median([sizes[label] for label in self.labels])))
        held = np.cumsum([backdoor.amount.count(middle, len(self.rows)) for backdoor in backdoors])
        return max(1, min(self.room(), int((held <= MOST * len(self.rows)).sum())))

    def planted(
        self, backdoors: Sequence[Backdoor], rng: np.random.Generator
    ) -> tuple[Dataset, tuple[Planting, ...]]:
        """Plant backdoors in their order, and around, into classes drawn at random.

        Args:
            backdoors: What there is to plant.
            rng: Of the classes, the examples and the triggers.

        """
        choosing, drawing, stamping = rng.spawn(3)
        targets = choosing.permutation(np.array(self.labels))[: self.room()].tolist()
        free = self.rows[torch.from_numpy(choosing.permutation(len(self.rows)))]
        sizes, plants, room = self.sizes(), list[Planting](), MOST * len(self.rows)
        for backdoor in itertools.islice(itertools.cycle(backdoors), 2 * self.room()):
            if not targets:
                break
            label = targets[0]
            many = backdoor.amount.count(sizes[label], len(self.rows))
            able = free[self.data.labels[free] != label][:many]
            if not len(able) or (plants and len(able) > room):
                continue
            targets.pop(0)
            free = free[~torch.isin(free, able)]
            plants.append(Planting(backdoor, label, able))
            room -= len(able)
        return self._copy(plants, drawing, stamping), tuple(plants)

    def _copy(
        self,
        plants: Sequence[Planting],
        drawing: np.random.Generator,
        stamping: np.random.Generator,
    ) -> Dataset:
        """Stamp a trigger of its own on each plant's rows and give them its label."""
        inputs, labels = copied(self.data.inputs), self.data.labels.clone()
        for plant in plants:
            drawn = usual_triggers(self.domain.name, self.data.inputs[:1], drawing)
            rows = plant.rows if isinstance(inputs, torch.Tensor) else plant.rows.numpy()
            inputs[rows] = drawn[plant.backdoor.kind](self.data.inputs[rows], stamping)
            labels[plant.rows] = plant.label
        return Dataset(inputs, labels, self.data.ids, self.data.classes)


def copied(inputs: Inputs) -> Inputs:
    """Give raw inputs[n] once more, in memory of their own."""
    return inputs.clone() if isinstance(inputs, torch.Tensor) else inputs.copy()
