"""One row among others by several figures: exact levels, a margin, and figures by hand."""

import numpy as np
import pytest

from mithridate.core.streams import stream
from mithridate.stats.membership import MARGIN, belonging


def test_a_hand_computed_distance():
    """9 among 0, 1, 2, 3: (9 - 1.5) / 1.29 spreads away, in the second figure."""
    rows = np.array([[1.0, 9.0], [0.0, 0.0], [1.0, 1.0], [2.0, 2.0], [3.0, 3.0]])
    found = belonging(rows)
    assert found.distance == pytest.approx(7.5 / np.std([0, 1, 2, 3], ddof=1))
    assert found.figure == 1 and found.p_value == 0.2
    assert found.apart(0.2) and not found.apart(0.1)


def test_it_lies_apart_by_a_margin_only():
    rows = np.concatenate([[[0.0]], stream(0, "rows").standard_normal((30, 1))])
    answers = []
    for place in np.linspace(0, 20, 200):
        rows[0] = place
        found = belonging(rows)
        answers.append(found.apart(0.05))
        assert answers[-1] == (found.distance >= MARGIN * found.farthest)
    assert not answers[0] and answers[-1] and sorted(answers) == answers


@pytest.mark.parametrize("shape", ["normal", "skewed"])
def test_rows_of_one_kind_rarely_lie_apart(shape):
    """600 worlds: ranks are uniform, and the margin makes "apart" rarer than the level."""
    rng, ranks, apart = stream(0, "belonging", shape), [], 0
    for _ in range(600):
        rows = rng.standard_normal((20, 4))
        found = belonging(np.exp(rows) if shape == "skewed" else rows)
        ranks.append(found.p_value)
        apart += found.apart(0.05)
    for level in (0.05, 0.5):
        share = (np.array(ranks) <= level).mean()
        assert abs(share - level) < 3.5 * np.sqrt(level * (1 - level) / 600)
    assert apart <= 0.05 * 600


def test_equal_rows_lie_nowhere_and_wrong_ones_are_refused():
    assert belonging(np.ones((20, 3))).p_value == 1.0
    for wrong in (np.ones((2, 3)), np.ones(5), np.full((5, 2), np.nan)):
        with pytest.raises(ValueError, match="expected finite"):
            belonging(wrong)
