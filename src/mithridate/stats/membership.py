"""Is one thing of the kind of the others, by several figures at once? A rank with a margin.

Axes: m reference things, v figures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mithridate.stats.leaving_out import ALIKE, Floats, of_the_others

MARGIN = 1.5
"""How many times as far as the farthest of the others something lies that is of another kind."""


@dataclass(frozen=True, eq=False)
class Belonging:
    """How far one thing lies from the others.

    Attributes:
        p_value: Share of all that lie at least as far out as the suspect.
        distance: Of the suspect from the mean of the others, in their spreads, by the figure in
            which it is largest.
        farthest: The largest such distance of the others.
        figure: The place of that figure.

    """

    p_value: float
    distance: float
    farthest: float
    figure: int

    def apart(self, level: float) -> bool:
        """Whether the suspect lies outside the others by their ranks, and by a margin beyond.

        Args:
            level: Probability of that, at most, for one more of the same kind.

        """
        return self.p_value <= level + 1e-12 and self.distance >= MARGIN * self.farthest


def belonging(figures: Floats) -> Belonging:
    """Compare the first row with the others, and each of the others in the same way.

    For row i and figure v, d_iv = |x_iv - mean| / spread over the other rows, D_i = max_v d_iv and
    p = (1 + #{i > 0 : D_i >= D_0}) / (m + 1), which is exact where all rows are exchangeable.

    Args:
        figures: Finite, float64[m + 1, v], with m of at least 2; row 0 is the suspect.

    Raises:
        ValueError: The shape is wrong or a figure is not finite.

    """
    x = np.asarray(figures, np.float64)
    if x.ndim != 2 or len(x) < 3 or not x.shape[1] or not np.isfinite(x).all():
        raise ValueError(f"expected finite float[m + 1, v], m at least 2; found {list(x.shape)}")
    centre, spread = of_the_others(x)
    least = ALIKE * np.maximum(1.0, np.abs(x).max(0))
    far = np.abs(x - centre) / np.maximum(spread, least)
    most = far.max(1)
    p_value = float((1 + (most[1:] >= most[0]).sum()) / len(most))
    return Belonging(p_value, float(most[0]), float(most[1:].max()), int(far[0].argmax()))
