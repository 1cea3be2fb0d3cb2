"""Statistics of the last layer: by hand, a raised row, and where there is nothing to compare."""

import pytest
import torch
from torch import nn

from methods.model_to_scan import Linear, pairs, view_of
from mithridate.core.errors import CannotJudge
from mithridate.core.streams import stream
from mithridate.scanners.weight_statistics import WeightStatistics


def judged(model, statistic="mean"):
    return WeightStatistics(statistic).judge(view_of(model), stream(0, "scan"))


def rows(*values):
    return Linear(torch.tensor(values)[:, None].repeat(1, 16), torch.tensor([1.0, 2.0, 4.0]))


@pytest.mark.parametrize(
    "statistic, expected",
    [("mean", [-1, 0, 4]), ("largest", [-1, 0, 4]), ("length", [0, -1, 1])],
)
def test_constant_rows(statistic, expected):
    """Centred, the rows 0, 1, 5 are -2, -1, 3, of the lengths 8, 4, 12."""
    scanned = judged(rows(0.0, 1.0, 5.0), statistic)
    assert (1.4826 * scanned.scores.values).tolist() == pytest.approx(expected, abs=1e-6)
    assert scanned.shown["mean"].tolist() == pytest.approx([-2, -1, 3])
    assert scanned.shown["length"].tolist() == pytest.approx([8, 4, 12])
    assert scanned.shown["bias"].tolist() == [1, 2, 4]


def test_a_backdoor_raises_the_weights_of_its_class():
    for suspect, clean in pairs(WeightStatistics()):
        assert suspect.argmax() == 0
        assert suspect.max() > clean.max()


def test_nothing_to_compare():
    with pytest.raises(CannotJudge, match="no spread"):
        judged(rows(0.0, 0.0, 5.0))
    with pytest.raises(CannotJudge, match="cannot be read"):
        judged(nn.Flatten())
    with pytest.raises(CannotJudge, match="one finite row for each of 3 classes"):
        judged(Linear(torch.zeros(4, 16)))
    with pytest.raises(CannotJudge, match="one finite row"):
        judged(rows(0.0, 1.0, float("nan")))


def test_two_classes_have_no_outlier():
    view = view_of(Linear(torch.zeros(2, 16)))
    view._clean = type(view.clean)(
        view.clean.inputs, view.clean.labels % 2, view.clean.ids, ("a", "b")
    )
    with pytest.raises(CannotJudge, match="at least 3 classes, found 2"):
        WeightStatistics().judge(view, stream(0, "scan"))
