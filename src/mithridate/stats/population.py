"""Is one model unlike a population of clean ones? An exact test over scanners and classes.

Under "nothing is wrong" the suspect and the m reference models are exchangeable. Every model is
compared with all the others in the same way, the references too, so the rank of the suspect among
them is uniform whatever the scores look like; nothing is assumed of their distribution.
Axes: m reference models; s scanners; c classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

ALIKE = 1e-9
"""A spread below this share of the size of the scores is rounding: all models score alike."""


@dataclass(frozen=True, eq=False)
class Standing:
    """How a suspect stands among clean models.

    Attributes:
        p_value: of the whole question.
        by_scanner: float64[s], of each scanner alone.
        by_class: float64[c], with the probability controlled of naming any class that nothing is
            wrong with, whatever is wrong with others.
        among: float64[m + 1], the statistic of suspect and references.
        finest_p: 1 / (m + 1).
    """

    p_value: float
    by_scanner: Floats
    by_class: Floats
    among: Floats
    finest_p: float


def standing(scores: Sequence[Floats]) -> Standing:
    """Compare the first model with the others by the scores of one or several scanners.

    Of a model with three classes or more each score is taken from the median of its classes. Then,
    for model i, scanner s and class k, z_isk = (x_isk - mean) / spread over the other models; t_is
    = max_k z_isk; z is centred and scaled once more by the t of the other models, so that scanners
    are comparable, and T_i = max_sk of that. p = (1 + #{i > 0 : T_i >= T_0}) / (m + 1), which is
    exact. Classes are named step by step: the most suspicious one by that p, then the next by the
    same test without the former in any model, since a class that stands out makes the others look
    ordinary or not: the step-down maximum of Westfall and Young, Resampling-Based Multiple Testing,
    1993.

    Args:
        scores: of each scanner float64[m + 1, c], or [m + 1, 1] where it scores the model as a
            whole; row 0 is the suspect; larger is more suspicious.

    Raises:
        ValueError: where there is no scanner, fewer than two references, or a shape is wrong.
    """
    _check(scores)
    given = [np.asarray(x, np.float64) for x in scores]
    parts, total = _statistic(given)
    return Standing(
        _p(total[0], total),
        np.array([_p(part.max(1)[0], part.max(1)) for part in parts]),
        _by_class(given),
        total,
        1 / len(total),
    )


def _statistic(scores: Sequence[Floats]) -> tuple[list[Floats], Floats]:
    """The comparable scores float64[m + 1, c] of each scanner, and the largest of each model."""
    parts = [_scale(_standardise(_from_median(x))) for x in scores]
    return parts, np.max([part.max(1) for part in parts], 0)


def _by_class(scores: Sequence[Floats]) -> Floats:
    """P-values of the classes, step by step from the most suspicious one; they never fall."""
    classes = max(x.shape[1] for x in scores)
    left, p_values, least = np.arange(classes), np.ones(classes), 0.0
    while len(left):
        parts, total = _statistic(
            [x[:, left] if x.shape[1] == classes else x for x in scores]
        )  # fmt: skip
        own = np.max([part[0] for part in parts if part.shape[1] == len(left)], 0)
        top = int(own.argmax())
        least = max(least, _p(own[top], total))
        p_values[left[top]] = least
        if least >= 1:
            break
        left = np.delete(left, top)
    return p_values


def _check(scores: Sequence[Floats]) -> None:
    if not scores:
        raise ValueError("expected the scores of at least one scanner, found none")
    rows = {x.shape[0] for x in scores}
    wide = {x.shape[1] for x in scores} - {1}
    if len(rows) != 1 or min(rows) < 3 or len(wide) > 1:
        raise ValueError(
            "expected float[m + 1, c] from every scanner, with m of at least 2 and c alike; found "
            f"{[list(x.shape) for x in scores]}"
        )


def _from_median(x: Floats) -> Floats:
    """Take from each score the median over the classes of its model."""
    return x - np.median(x, 1, keepdims=True) if x.shape[1] >= 3 else x


def _standardise(x: Floats) -> Floats:
    """Place each model among the others, in units of their spread, for each class."""
    centre, spread = _of_the_others(x)
    least = ALIKE * np.maximum(1e-300, np.abs(x).max(0))
    return np.asarray((x - centre) / np.maximum(spread, least))


def _scale(z: Floats) -> Floats:
    """Centre and scale by the maxima over classes of the other models."""
    centre, spread = _of_the_others(z.max(1, keepdims=True))
    return np.asarray((z - centre) / np.maximum(spread, ALIKE))


def _of_the_others(x: Floats) -> tuple[Floats, Floats]:
    """Mean and standard deviation of all rows but one, for each row left out."""
    n = len(x) - 1
    shifted = x - x.mean(0)  # near the origin, where less is lost to rounding
    total, squares = shifted.sum(0) - shifted, (shifted**2).sum(0) - shifted**2
    mean = total / n
    variance = np.maximum(squares / n - mean**2, 0.0) * n / (n - 1)
    return mean + x.mean(0), np.sqrt(variance)


def _p(value: float, among: Floats) -> float:
    """Share of models, the suspect included, that reach a value."""
    return float((1 + (among[1:] >= value).sum()) / len(among))
