"""Pairs of classes that lie nearer to each other than in other models: scores of their targets.

Axes: m + 1 models, c classes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mithridate.stats.leaving_out import ALIKE, of_the_others

Floats = NDArray[np.float64]

TURNS = 4
"""Times that rows and columns are centred; medians of both are zero or nearly so after these."""

TRIMMED = 0.8
"""Share of the pairs of a model that tell their spread: those nearest to the middle."""

FEWEST = 5
"""Classes below which a pair is not seen apart from its row and its column."""


def nearness(pairs: Floats, own_scale: bool = True) -> list[Floats]:
    """Compare pairs with the same of other models, and give the largest of each target, twice.

    First as they are, around the median of all pairs of their model: a target to which all classes
    lie near stands out. Then without what belongs to source and target, by the median polish of
    Tukey, Exploratory Data Analysis, 1977: a single pair stands out, whatever its neighbours. Both
    are in units of the spread of their own model, less the mean of the other models, since some
    classes are near by nature, and in units of the spread of the other models over all pairs.

    Args:
        pairs: float64[m + 1, c, c - 1], row k of a model its target, the others in their order.
        own_scale: Whether pairs are placed in units of their own model's spread.

    Returns:
        Two of float64[m + 1, c]; below five classes only the first.

    """
    square = _square(pairs)
    plain = _compare(square - np.nanmedian(square, (1, 2), keepdims=True), own_scale)
    if pairs.shape[1] < FEWEST:
        return [plain]
    return [plain, _compare(_polish(square), own_scale)]


def medians(pairs: Floats) -> Floats:
    """Give the median over the sources of each target, float64[..., c].

    Args:
        pairs: float64[..., c, c - 1].

    """
    return np.asarray(np.median(pairs, -1))


def table(flat: Floats) -> Floats:
    """Give rows of c (c - 1) pairs, float64[m + 1, c (c - 1)], their shape [m + 1, c, c - 1].

    Raises:
        ValueError: There are no classes that have so many pairs.

    """
    wide = flat.shape[1]
    classes = round((1 + (1 + 4 * wide) ** 0.5) / 2)
    if classes * (classes - 1) != wide:
        raise ValueError(f"expected c (c - 1) scores of pairs for every model, found {wide}")
    return flat.reshape(len(flat), classes, classes - 1)


def _square(pairs: Floats) -> Floats:
    """Give them a place for each class as source, not a number where it is the target."""
    models, classes, _ = pairs.shape
    square = np.full((models, classes, classes), np.nan)
    square[:, ~np.eye(classes, dtype=bool)] = pairs.reshape(models, -1)
    return square


def _polish(square: Floats) -> Floats:
    """Take the medians of rows and columns out, in turns."""
    for _ in range(TURNS):
        square = square - np.nanmedian(square, 2, keepdims=True)
        square = square - np.nanmedian(square, 1, keepdims=True)
    return square


def _compare(square: Floats, own_scale: bool) -> Floats:
    """Place pairs among those of the other models, and give the largest of each target."""
    models, classes, _ = square.shape
    x = square[:, ~np.eye(classes, dtype=bool)]
    if own_scale:
        kept = max(1, int(TRIMMED * x.shape[1]))
        spread = np.sqrt(np.sort(x**2, 1)[:, :kept].mean(1, keepdims=True))
        x = x / np.maximum(spread, ALIKE * np.maximum(1e-300, np.abs(x).max(1, keepdims=True)))
    centre, spread = of_the_others(x)
    pooled = np.sqrt((spread**2).mean(1, keepdims=True))
    least = ALIKE * np.maximum(1e-300, np.abs(x).max())
    return np.asarray(
        ((x - centre) / np.maximum(pooled, least)).reshape(models, classes, -1).max(2)
    )
