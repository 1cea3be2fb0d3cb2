"""Is one model unlike a population of clean ones? An exact test over scanners and classes.

Under "nothing is wrong" the suspect and the m reference models are exchangeable. Every model is
compared with all the others in the same way, the references too, so the rank of the suspect among
them is uniform whatever the scores look like; nothing is assumed of their distribution.

How a model was trained moves the scores of all its classes: larger logits, larger margins. So a
class is compared with the other classes of its own model first, in units of their spread, and only
then with the same class of other models.
Axes: m reference models; s scanners; c classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mithridate.stats.leaving_out import ALIKE, Floats, of_the_others
from mithridate.stats.pairs import nearness

ENOUGH = 5
"""Classes from which on those of one model have a spread of their own."""

FEWEST = 5
"""Classes that a tail is drawn from at least."""

TAIL = 0.1
"""Share of the references' classes that tell how their largest scores thin out."""


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
        tail_p: of the whole question, by a model of the tail that is no part of the exact test; see
            `tail_p_value`.
    """

    p_value: float
    by_scanner: Floats
    by_class: Floats
    among: Floats
    finest_p: float
    tail_p: float = 1.0

    @property
    def beyond(self) -> float:
        """How far the suspect lies beyond the farthest reference, in spreads of the references."""
        return float((self.among[0] - self.among[1:].max()) / max(self.among[1:].std(), ALIKE))


def standing(
    scores: Sequence[Floats], own_scale: bool = True, pairs: Sequence[Floats] = ()
) -> Standing:
    """Compare the first model with the others by the scores of one or several scanners.

    Of a model i with five classes or more y_isk = (x_isk - median) / spread over its own classes,
    the spread without the classes that lie farthest out, so that a backdoor does not widen it, and
    z_isk = y_isk - the mean over the other models, since some classes are near by nature. With
    fewer classes, or on one scale, z_isk = (x_isk - median - mean) / spread over the other models.
    Then t_is = max_k z_isk; z is centred and scaled by the t of the other models, so that scanners
    are comparable. For a class they speak together: sum_s log(1 + e^z_isk), centred and scaled in
    the same way, is large where one of them is sure and where several are half sure, and does not
    fall where one sees nothing. T_i is the largest of these over classes, and of what scanners say
    of single pairs and of the whole. p = (1 + #{i > 0 : T_i >= T_0}) / (m + 1), which is exact. All
    of it was chosen on the networks that recipes/elsewhere.py names. Classes are named step by
    step: the most suspicious one by that p, then the next by the same test without the former in
    any model, since a class that stands out makes the others look ordinary or not: the step-down
    maximum of Westfall and Young, Resampling-Based Multiple Testing, 1993.

    Args:
        scores: of each scanner float64[m + 1, c], or [m + 1, 1] where it scores the model as a
            whole; row 0 is the suspect; larger is more suspicious.
        own_scale: whether classes are placed in units of their own model's spread; without it all
            models are taken to score on one scale, as those do that were trained in one way.
        pairs: of each scanner of pairs float64[m + 1, c, c - 1]; the first table of `nearness` is
            a scanner's of classes, the second of single pairs. They come after other scanners.

    Raises:
        ValueError: where there is no scanner, fewer than two references, or a shape is wrong.
    """
    _check([*scores, *(x[:, :, 0] for x in pairs)])
    near = [nearness(np.asarray(x, np.float64), own_scale) for x in pairs]
    given = _Given([np.asarray(x, np.float64) for x in scores], near, own_scale)
    tables = given.together()
    total = _largest(tables)
    return Standing(
        _p(total[0], total),
        np.array([_p(part.max(1)[0], part.max(1)) for part in given.apart()]),
        _by_class(given),
        total,
        1 / len(total),
        tail_p_value(tables),
    )


def tail_p_value(parts: Sequence[Floats]) -> float:
    """Say how rare a model like the suspect is, if tails go on as a power law.

    V_ik is the largest comparable score of class k of model i, t the largest of the suspect. Of the
    references' classes a tenth lie above u; P(V > t) = 0.1 ((t - b) / (u - b))^-a with b their
    median and a by Hill's estimate, times the number of classes. A power law is heavier than the
    tails of most scores, which makes the p-value too large rather than too small; it assumes that
    classes of all references are alike, and is no part of the exact test.

    Args:
        parts: comparable scores, float64[m + 1, c] or [m + 1, 1] each.
    """
    wide = max(part.shape[1] for part in parts)
    most = np.max([np.broadcast_to(part, (len(part), wide)) for part in parts], 0)
    others = np.sort(most[1:].ravel())[::-1]
    kept = max(FEWEST, int(TAIL * len(others)))
    base, far = float(np.median(others)), float(most[0].max())
    if len(others) <= kept or far <= others[kept] or others[kept] - base <= ALIKE:
        return 1.0
    unit = others[kept] - base
    thin = max(float(np.log((others[:kept] - base) / unit).mean()), ALIKE)
    share = wide * kept / len(others) * ((far - base) / unit) ** (-1 / thin)
    return float(min(1.0, share))


@dataclass(frozen=True, eq=False)
class _Given:
    """Scores of scanners, the nearness of pairs by target, and how they are compared."""

    scores: list[Floats]
    near: list[list[Floats]]
    own_scale: bool

    @property
    def classes(self) -> int:
        tables = [*self.scores, *(tables[0] for tables in self.near)]
        return max(int(x.shape[1]) for x in tables)

    def apart(self) -> list[Floats]:
        """The comparable scores of each scanner, float64[m + 1, c] or [m + 1, 1]."""
        parts = [_scale(_from_others(*_within(x, self.own_scale))) for x in self.scores]
        return parts + [np.max([_scale(x) for x in tables], 0) for tables in self.near]

    def together(self) -> list[Floats]:
        """What scanners say of classes in one table, of single pairs and whole models apart."""
        tables = [_scale(_from_others(*_within(x, self.own_scale))) for x in self.scores]
        tables += [_scale(near[0]) for near in self.near]
        of_classes = [x for x in tables if x.shape[1] > 1]
        wholes = [x for x in tables if x.shape[1] == 1]
        joint = of_classes if len(of_classes) < 2 else [_scale(np.logaddexp(0, of_classes).sum(0))]
        return [*joint, *wholes, *(_scale(lone) for near in self.near for lone in near[1:])]

    def of(self, left: NDArray[np.intp]) -> _Given:
        """The same of some classes, of scanners of whole models all."""
        rest = [x[:, left] if x.shape[1] == self.classes else x for x in self.scores]
        near = [[x[:, left] for x in tables] for tables in self.near]
        return _Given(rest, near, self.own_scale)


def _largest(tables: Sequence[Floats]) -> Floats:
    """The largest score of each model, float64[m + 1]."""
    return np.asarray(np.max([x.max(1) for x in tables], 0))


def _by_class(given: _Given) -> Floats:
    """P-values of the classes, step by step from the most suspicious one; they never fall."""
    classes = given.classes
    left, p_values, least = np.arange(classes), np.ones(classes), 0.0
    while len(left):
        tables = given.of(left).together()
        total = _largest(tables)
        own = np.max([x[0] for x in tables if x.shape[1] == len(left)], 0)
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


def _within(x: Floats, own_scale: bool) -> tuple[Floats, bool]:
    """Place each class among those of its own model, and say whether in units of their spread."""
    classes = x.shape[1]
    if classes < 3:
        return x, False
    apart = x - np.median(x, 1, keepdims=True)
    if not own_scale or classes < ENOUGH:
        return apart, False
    kept = classes - max(1, classes // 5)  # without the farthest, which a backdoor may be
    spread = np.sqrt(np.sort(apart**2, 1)[:, :kept].mean(1, keepdims=True))
    least = ALIKE * np.maximum(1e-300, np.abs(x).max(1, keepdims=True))
    return np.asarray(apart / np.maximum(spread, least)), True


def _from_others(x: Floats, scaled: bool) -> Floats:
    """Place each class among the same of other models; in units of their spread where it has none.

    Args:
        x: float64[m + 1, c].
        scaled: whether it is in units already.
    """
    centre, spread = of_the_others(x)
    if scaled:
        return np.asarray(x - centre)
    least = ALIKE * np.maximum(1e-300, np.abs(x).max(0))
    return np.asarray((x - centre) / np.maximum(spread, least))


def _scale(z: Floats) -> Floats:
    """Centre and scale by the maxima over classes of the other models."""
    centre, spread = of_the_others(z.max(1, keepdims=True))
    return np.asarray((z - centre) / np.maximum(spread, ALIKE))


def _p(value: float, among: Floats) -> float:
    """Share of models, the suspect included, that reach a value."""
    return float((1 + (among[1:] >= value).sum()) / len(among))
