"""How much one more member of a set is worth to its members, measured by trainings on subsets.

Axes: n examples, m trainings, c classes, e ends of each, s sizes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from mithridate.detectors._cells import ClassEnds


@dataclass(frozen=True, eq=False)
class Slopes:
    """What one more member is worth, by class, end and size; not a number where there is no set.

    Attributes:
        values: float64[c, e, s], margin per member (log odds), the strength of the set as the
            paper defines it.
        errors: float64[c, e, s], their standard errors.
        counts: float64[c, e, s, m], how many members each training saw.
        held_out: float64[c, e, s, m], the mean margin of the members that it did not see, less
            what each has on average.
    """

    values: torch.Tensor
    errors: torch.Tensor
    counts: torch.Tensor
    held_out: torch.Tensor


def measured(cells: ClassEnds, chosen: torch.Tensor, margins: torch.Tensor) -> Slopes:
    """Regress the margins of members that a training did not see on how many it did see.

    Beside the set's own count stands that of the rest of its class, and a training weighs by the
    number of members that it did not see.

    Args:
        cells: The sets.
        chosen: Who took part, bool[m, n].
        margins: What was said, float[m, n].
    """
    unseen = (~chosen).double()
    means = (margins.double() * unseen).sum(0) / unseen.sum(0).clamp_min(1)
    rest = (margins.double() - means) * unseen
    shape = (len(cells.labels), 2 * cells.position.shape[1], len(cells.sizes))
    values = torch.full(shape, torch.nan, dtype=torch.float64)
    errors, nothing = values.clone(), torch.full((*shape, len(chosen)), torch.nan)
    counts, held_out = nothing.double(), nothing.double()
    for number in range(len(cells.labels)):
        of_class = chosen[:, cells.place == number].sum(1).double()
        for end, members in enumerate(cells.ends(number)):
            for s, k in enumerate(cells.sizes):
                if k > len(members):
                    continue
                rows, at = members[:k], (number, end, s)
                weight = unseen[:, rows].sum(1)
                counts[at] = chosen[:, rows].sum(1).double()
                held_out[at] = rest[:, rows].sum(1) / weight.clamp_min(1)
                values[at], errors[at] = _slope(
                    counts[at], of_class - counts[at], held_out[at], weight
                )
    return Slopes(values, errors, counts, held_out)


def _slope(
    own: torch.Tensor, others: torch.Tensor, answer: torch.Tensor, weight: torch.Tensor
) -> tuple[float, float]:
    """Give the weighted least-squares coefficient of `own` and its standard error."""
    known = weight > 0
    design = torch.stack([torch.ones_like(own), own, others], 1)[known]
    scale = weight[known].sqrt()[:, None]
    a, b = (scale * design).numpy(), (scale[:, 0] * answer[known]).numpy()
    if len(b) < 4 or np.linalg.matrix_rank(a) < 3:
        return float("nan"), float("nan")
    inverse = np.linalg.inv(a.T @ a)
    fitted = inverse @ (a.T @ b)
    left = b - a @ fitted
    variance = float(left @ left) / (len(b) - 3)
    return float(fitted[1]), float(np.sqrt(max(variance * inverse[1, 1], 0.0)))


@dataclass(frozen=True, eq=False)
class StrongestEnds:
    """Which end of each class is the stronger feature, and of which size.

    Attributes:
        ends: int64[c].
        sizes: int64[c], places in the list of sizes.
        excess: float64[c], by how much it stands out at that size; 0 where nothing was measured.
    """

    ends: torch.Tensor
    sizes: torch.Tensor
    excess: torch.Tensor


def excesses(slopes: Slopes) -> torch.Tensor:
    """Say by how much each set stands out among those of its size in other classes, [c, e, s].

    z = (b - median) / sqrt(spread^2 + error^2); the spread is 1.4826 times the median deviation.
    Sets of unequal size are never compared: what one member is worth falls with their number.
    """
    excess = torch.full_like(slopes.values, torch.nan)
    for number in range(len(excess)):
        others = torch.cat([slopes.values[:number], slopes.values[number + 1 :]]).flatten(0, 1)
        if not len(others):  # a single class was split, so its own two ends are compared
            others = slopes.values[number]
        middle = others.nanmedian(0).values
        spread = 1.4826 * (others - middle).abs().nanmedian(0).values
        noise = (spread.square() + slopes.errors[number].square()).sqrt().clamp_min(1e-12)
        excess[number] = (slopes.values[number] - middle) / noise
    return excess


def choose(slopes: Slopes) -> StrongestEnds:
    """Choose, for each class, the end and the size that stand out most; no label is asked."""
    excess = excesses(slopes).nan_to_num(nan=-torch.inf)
    c, s = len(excess), excess.shape[2]
    flat = excess.flatten(1)
    best = flat.argmax(1) if flat.shape[1] else torch.zeros(c, dtype=torch.int64)
    values = flat.gather(1, best[:, None])[:, 0] if flat.shape[1] else torch.zeros(c).double()
    values = values.masked_fill(~values.isfinite(), 0.0)
    return StrongestEnds(best // max(s, 1), best % max(s, 1), values)
