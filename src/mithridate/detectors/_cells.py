"""The ends of each class, as a network's own arithmetic splits it, and nested sets at each end.

Of a class with factors g_i (see `core/attribution.py`) the strongest feature of W = G G' is relaxed
to its first eigenvectors (`stats/strongest.py`). An end of one is proposed as a feature: which one,
its sign and its size are not known. Axes: n examples, c proposed classes, d directions of each,
r factors, s sizes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from mithridate.core.method import State
from mithridate.core.view import View
from mithridate.stats.strongest import Attributions, relaxations

SMALLEST = 10
"""Members of the smallest set that is looked at; a class needs twice as many."""

RATES = (0.15, 0.5, 0.85)
"""Shares of a set that a training sees."""


@dataclass(frozen=True, eq=False)
class ClassEnds:
    """Where each example stands in its class.

    Attributes:
        place: int64[n], which proposed class an example is of, -1 where its class is too small.
        position: float64[n, d], along the class's directions, 0 without one.
        labels: int64[c], of the proposed classes.
        sizes: of the sets at an end, up to half of the median class, so that a set has others of
            its size to be compared with.
        rank: int64[n], an order of the examples that does not depend on where they stand.
    """

    place: torch.Tensor
    position: torch.Tensor
    labels: torch.Tensor
    sizes: tuple[int, ...]
    rank: torch.Tensor

    def ends(self, number: int) -> list[torch.Tensor]:
        """The members of a class from each end inwards, up to half, int64[k] each.

        Ends 2 d and 2 d + 1 are those of direction d with the smallest and the largest positions.
        """
        rows = self.rank.argsort()
        rows, ends = rows[self.place[rows] == number], list[torch.Tensor]()
        half = len(rows) // 2
        for along in self.position[rows].T:
            order = rows[along.argsort(stable=True)]
            ends += [order[:half], order.flip(0)[:half]]
        return ends


def split(view: View, count: int) -> State:
    """Find the directions along which each class splits.

    State: labels [c], means [c, r], directions [c, d, r], spreads [c, d].

    Args:
        view: What is known of the examples.
        count: Directions of each class, d.
    """
    factors, labels = view.attribution.float(), view.labels
    width, proposed, parts = factors.shape[1], list[int](), list[tuple[torch.Tensor, ...]]()
    for label in labels.unique().tolist():
        rows = factors[labels == label]
        if len(rows) >= 2 * SMALLEST:
            proposed.append(label)
            parts.append(_split_class(rows, count))
    names = ("means", "directions", "spreads")
    shapes = ((0, width), (0, count, width), (0, count))
    if not parts:
        empty = {name: torch.zeros(shape) for name, shape in zip(names, shapes, strict=True)}
        return {"labels": torch.zeros(0, dtype=torch.int64), **empty}
    stacked = {
        name: torch.stack(each) for name, each in zip(names, zip(*parts, strict=True), strict=True)
    }
    return {"labels": torch.tensor(proposed), **stacked}


def _split_class(rows: torch.Tensor, count: int) -> tuple[torch.Tensor, ...]:
    """Give the mean, the directions and the spreads of a class with factors float32[k, r]."""
    size = rows.norm(dim=1).median().clamp_min(1e-20)
    mean, directions = rows.mean(0), _directions(rows / size, count)
    spreads = ((rows - mean) @ directions.T).std(0).clamp_min(1e-6 * float(size))
    return mean, directions, spreads


def _directions(rows: torch.Tensor, count: int) -> torch.Tensor:
    """Give the directions float32[d, r] along which a class's eigenvectors run.

    x = (W C + C W') x / 2 with W = G G' is g_i . G'(Cx + x) / 2 but for a constant.
    """
    directions = torch.zeros(count, rows.shape[1])
    if float((rows - rows.mean(0)).norm()) < 1e-5 * float(rows.norm()):
        return directions  # all alike: there is no direction
    for number, (_, x) in enumerate(relaxations(Attributions(rows, rows), count)):
        along = rows.T @ (2 * x - x.mean()).float()
        directions[number] = along / along.norm().clamp_min(1e-20)
    return directions


def cells_of(state: State, view: View, rank: torch.Tensor) -> ClassEnds:
    """Give every example its place and its positions along its class's directions."""
    factors, labels = view.attribution.float(), view.labels
    known = {label: number for number, label in enumerate(state["labels"].tolist())}
    place = torch.tensor([known.get(label, -1) for label in labels.tolist()], dtype=torch.int64)
    position = torch.zeros(len(labels), state["directions"].shape[1], dtype=torch.float64)
    for number in range(len(known)):
        rows = place == number
        along = (factors[rows] - state["means"][number]) @ state["directions"][number].T
        position[rows] = (along / state["spreads"][number]).double()
    held = [int((place == number).sum()) for number in range(len(known))]
    usual = sorted(held)[(len(held) - 1) // 2] if held else 0
    return ClassEnds(place, position, state["labels"], sizes_up_to(usual // 2), rank)


def sizes_up_to(most: int) -> tuple[int, ...]:
    """Sizes that grow by the square root of two."""
    count = 1 + math.floor(2 * math.log2(max(most, SMALLEST) / SMALLEST))
    return tuple(round(SMALLEST * 2 ** (j / 2)) for j in range(count))


def drawn(cells: ClassEnds, trainings: int, rng: np.random.Generator) -> torch.Tensor:
    """Draw who takes part in each training, bool[trainings, n].

    Of each class a direction is drawn. At each of its two ends a size is drawn, and one rate for
    those within it and another for those beyond, so that the number of members of every nested set
    varies from training to training, and that of one end on its own. Examples of small classes come
    half of the time.
    """
    n = len(cells.place)
    rates = torch.full((trainings, n), 0.5)
    for number in range(len(cells.labels)):
        ends = cells.ends(number)
        for rate in rates:
            first = 2 * int(rng.integers(len(ends) // 2))
            for end in ends[first : first + 2]:
                cut = int(rng.choice([k for k in cells.sizes if k < len(end)] or [len(end)]))
                within, beyond = rng.choice(RATES, 2)
                rate[end[:cut]], rate[end[cut:]] = float(within), float(beyond)
    return torch.from_numpy(rng.random((trainings, n)))[:, cells.rank] < rates
