"""Maximum margins: of a linear model by hand, and of a backdoor and its clean twin."""

import pytest
import torch

from methods.model_to_scan import Linear, pairs, scores, twin, view_of
from mithridate.core.errors import CannotJudge, MethodError
from mithridate.core.streams import stream
from mithridate.scanners.mm_bd import MaximumMargin, divide_by_median, margins, refuse_ceiling


def separate(*heights):
    """Each class adds up five places of its own."""
    weight = torch.zeros(len(heights), 16)
    for k, height in enumerate(heights):
        weight[k, 5 * k : 5 * k + 5] = height
    return Linear(weight)


def test_a_linear_model_over_a_box():
    """The best input has the five places of its class at 1 and the others at 0."""
    scanned = MaximumMargin().judge(view_of(separate(2.0, 1.0, 3.0)), stream(0, "scan"))
    assert scanned.shown["margin"].tolist() == pytest.approx([10, 5, 15], rel=1e-4)
    assert scanned.scores.values.tolist() == pytest.approx([10 / 10, 5 / 12.5, 15 / 7.5], rel=1e-4)
    best = scanned.shown["pattern"][2].flatten()
    assert best[10:15].tolist() == [255] * 5
    assert best[:10].max() < 0.1


def test_a_margin_is_to_the_next_class():
    logits = torch.tensor([[1.0, 5.0, 3.0], [1.0, 5.0, 3.0]])
    assert margins(logits, torch.tensor([1, 2])).tolist() == [2, -2]


def test_a_backdoor_gives_its_class_the_largest_margin_of_the_network():
    """And it is the class that gains most on the twin; twins have other classes as far out."""
    found = pairs(MaximumMargin())
    assert sum(int(suspect.argmax()) == 0 for suspect, _ in found) >= 2
    assert torch.stack([suspect - clean for suspect, clean in found]).mean(0).argmax() == 0


def test_the_scale_of_the_logits_does_not_matter():
    small = scores(MaximumMargin(steps=3), separate_scale(1.0))
    large = scores(MaximumMargin(steps=3), separate_scale(50.0))
    assert torch.allclose(small, large, rtol=1e-3)


def separate_scale(scale):
    model = twin()

    class Scaled(torch.nn.Module):
        def forward(self, batch):
            return scale * model(batch)

    return Scaled().eval()


class Behind(torch.nn.Module):
    """Something that bounds the answers of a network."""

    def __init__(self, bound):
        super().__init__()
        self.model, self.bound = separate(2.0, 2.5, 3.0), bound

    def forward(self, batch):
        return self.bound(self.model(batch))


@pytest.mark.parametrize(
    ("bound", "words"),
    [
        (lambda logits: logits.softmax(1), "shares that sum to 1, not with logits: a softmax"),
        (lambda logits: 100 * logits.softmax(1), "shares that sum to 100, not with logits"),
        (torch.sigmoid, "3 of 3 classes reach the same largest margin, 0.5: the answers are"),
        (torch.tanh, "3 of 3 classes reach the same largest margin, "),
    ],
)
def test_bounded_answers_are_refused_and_not_met_with_silence(bound, words):
    """Behind a softmax every class reaches a share of one, backdoor or not."""
    with pytest.raises(CannotJudge, match=words):
        MaximumMargin().judge(view_of(Behind(bound).eval()), stream(0, "scan"))


def test_few_equal_margins_are_no_ceiling():
    refuse_ceiling(torch.tensor([5.0, 5.0]))
    refuse_ceiling(torch.tensor([5.0, 5.0, 4.0, 3.0]))
    refuse_ceiling(torch.tensor([5.0, 5.0, 5.0, 4.0, 3.0, 2.0, 1.0]))
    with pytest.raises(CannotJudge, match="3 of 6 classes"):
        refuse_ceiling(torch.tensor([5.0, 5.0, 4.999, 4.0, 3.0, -2.0]))


def test_edges():
    with pytest.raises(CannotJudge, match="no positive margin"):
        MaximumMargin().judge(view_of(separate(1.0, 0.0, 0.0)), stream(0, "scan"))
    with pytest.raises(CannotJudge, match="only one"):
        divide_by_median(torch.ones(1))
    for wrong in (
        MaximumMargin(starts=0),
        MaximumMargin(steps=0),
        MaximumMargin(learning_rate=0.0),
    ):
        with pytest.raises(MethodError, match="at least 1"):
            wrong.judge(view_of(separate(1.0, 1.0, 1.0)), stream(0, "scan"))
