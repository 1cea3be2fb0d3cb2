"""How much settings matter, by hand."""

import pytest

from mithridate.core.errors import MethodError
from mithridate.stats.stability import stability

VALUES = {
    ("badnets", 0.1): 0.20,
    ("badnets", 0.05): 0.10,
    ("badnets", 0.2): 0.50,
    ("blend", 0.1): 0.30,
    ("blend", 0.2): 0.25,
}


def test_a_score_by_hand():
    """Badnets moves by 0.1 and 0.3, blend by 0.05; cells count alike."""
    found = stability(VALUES, 0.1)
    assert found.cells == pytest.approx({"badnets": 0.2, "blend": 0.05})
    assert found.score == pytest.approx(0.125)
    assert (found.cell, found.worst) == ("badnets", pytest.approx(0.2))


def test_another_default_gives_another_score():
    only = {pair: value for pair, value in VALUES.items() if pair[0] == "badnets"}
    assert stability(only, 0.2).score == pytest.approx((0.3 + 0.4) / 2)


def test_settings_that_do_not_matter_score_zero():
    assert stability(dict.fromkeys(VALUES, 0.7), 0.1).score == 0.0


@pytest.mark.parametrize(
    "values, says",
    [
        ({}, "empty"),
        ({("a", 1): 0.5}, "neighbouring"),
        ({("a", 1): 0.5, ("a", 2): 0.4, ("b", 2): 0.4}, "default"),
        ({("a", 1): 0.5, ("a", 2): float("nan")}, "no number"),
        ({("a", 1): float("nan"), ("a", 2): 0.5}, "no number"),
    ],
)
def test_what_cannot_be_compared_is_refused(values, says):
    with pytest.raises(MethodError, match=says):
        stability(values, 1)
