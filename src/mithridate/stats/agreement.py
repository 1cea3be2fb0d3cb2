"""One order of examples out of several, without a look at who is trusted.

Axes: D rankings, N examples of one class, suspect and trusted together, m of them trusted.
"""

from __future__ import annotations

import numpy as np
import scipy
from numpy.typing import NDArray
from scipy.special import rel_entr

Floats = NDArray[np.float64]

TOP = 0.2
"""Rankings agree where they have the same examples in this top share; below it they may differ."""


def led(scores: Floats) -> tuple[Floats, Floats]:
    """Let each ranking lead a combination with those that agree with it about who comes first.

    Scores become e = -ln(1 - rank / N), so that only the top counts; r_de is the correlation of two
    rankings in max(e, -ln 0.2); the one led by d is sum_e w_de e / sum_e w_de with w_de = max(0,
    r_de)^2 and w_dd = 1. It is a symmetric function of the examples: who is trusted plays no part,
    so suspects and trusted ones stay exchangeable in it where they are in the scores. That
    rankings which know something agree, and others do not, is the idea of Parisi et al., Ranking
    and combining multiple predictors without labeled data, PNAS 2014; the leader replaces their
    eigenvector, which follows whatever most rankings share.

    Args:
        scores: float64[D, N], larger is more suspicious.

    Returns:
        combined: float64[D, N], by leader, larger is more suspicious.
        weights: float64[D, D], of each leader's combination; every row sums to 1.
    """
    n = scores.shape[1]
    steep = np.stack([-np.log1p(-(scipy.stats.rankdata(row) - 0.5) / n) for row in scores])
    tops = np.maximum(steep, -np.log(TOP))
    tops = tops - tops.mean(1, keepdims=True)
    lengths = np.maximum(np.sqrt((tops**2).sum(1)), 1e-12)
    agreement = (tops / lengths[:, None]) @ (tops / lengths[:, None]).T
    weights = np.maximum(agreement, 0.0) ** 2
    np.fill_diagonal(weights, 1.0)
    weights = weights / weights.sum(1, keepdims=True)
    return weights @ steep, weights


def evidence(scores: Floats, trusted: NDArray[np.bool_], above: NDArray[np.int64]) -> float:
    """Say how far the trusted examples lie below the others: max_j m KL(j / m || t_j / N).

    t_j is the place of the trusted example that has j others above it; only places below the
    expected one count. It bounds -ln of the tail probability and never underflows. Ties count in
    favour of the trusted. Berk and Jones 1979.

    Args:
        scores: float64[N], larger is more suspicious.
        trusted: bool[N].
        above: int64[k], the j that are looked at.

    """
    order = np.lexsort((~trusted, -scores))
    places = np.flatnonzero(trusted[order])
    m = len(places)
    seen, expected = above / m, places[above] / len(scores)
    apart = rel_entr(seen, expected) + rel_entr(1 - seen, 1 - expected)
    return float(m * np.where(seen < expected, apart, 0.0).max())
