"""Inversion in feature space: its terms by hand, a backdoor and its twin, and where it stops."""

import pytest
import torch
from torch import nn

from methods.model_to_scan import Linear, pairs, view_of
from mithridate.core.data import dataset
from mithridate.core.domain import Surface
from mithridate.core.errors import CannotJudge, MethodError
from mithridate.core.streams import stream
from mithridate.scanners.feature_re import FeatureInversion, FeatureRE, Space

SMALL = FeatureRE(size=60 / 255, share=0.25)
"""The trigger covers a seventh of such a small picture, and there are only 32 features."""


def test_the_terms_before_the_first_step():
    """Half of every mask is on, and inputs are as they were."""
    model = Linear(torch.eye(2))
    inputs = torch.tensor([[[255.0, 0.0]], [[0.0, 0.0]]])[None]  # one class, two inputs
    features = inputs.flatten(2) / 255
    means = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    space = Space(model, model.layer, features[0], means, torch.tensor([0.25, 1.0]))
    surface = Surface(0.0, 255.0, (1, 2), (1, 2))
    method = FeatureRE(share=0.25, deviation=0.8)
    inversion = FeatureInversion(method, space, surface, torch.tensor([0]))
    with torch.no_grad():
        terms = inversion.measure(inputs, features)
    # the feature 0 has the deviation 0.5 / 0.25 = 2, the other 0; the mask is 1 of 0.5 allowed
    assert float(terms.over) == pytest.approx((1 / 0.8 - 1) + (1 / 0.5 - 1), abs=1e-4)
    assert float(terms.likeness) == pytest.approx(1)
    assert float(terms.size) == pytest.approx(0, abs=1e-5)
    # both exchanged features are (0.5, 0), so both are called 0
    assert float(terms.success) == 1
    cost = float(torch.log1p(torch.tensor(-0.5).exp()))
    assert float(terms.loss) == pytest.approx(cost + 1 + float(terms.over), abs=1e-4)


def test_a_backdoor_raises_its_class_above_the_clean_twin():
    """It does not make it the first: some classes are near in a clean network, too.

    Alone it rises by 0.31 to 0.71 on three victims, and in each another class rises as far; but
    these are others each time, and on average they rise by 0.25 at most beside its 0.45.
    """
    rise = torch.stack([suspect - clean for suspect, clean in pairs(SMALL)])
    assert rise[:, 0].min() > 0.1
    assert rise.mean(0).argmax() == 0


def varied(labels):
    inputs = torch.randint(
        0, 256, (len(labels), 1, 4, 4), generator=torch.Generator().manual_seed(0)
    )
    view = view_of(Linear(torch.randn(3, 16, generator=torch.Generator().manual_seed(0))))
    view._clean = dataset(inputs.byte(), torch.tensor(labels), ["a", "b", "c"])
    return view


def test_it_says_what_stops_it():
    with pytest.raises(CannotJudge, match="trust at least one example of every class"):
        FeatureRE().judge(varied([0, 1] * 20), stream(0, "scan"))
    view = varied([0, 1, 2] * 12)
    view._model = nn.Sequential(view.model, nn.Softmax(1))
    with pytest.raises(CannotJudge, match="more after its last linear layer"):
        FeatureRE().judge(view, stream(0, "scan"))
    with pytest.raises(MethodError, match="must be positive"):
        FeatureRE(size=0.0).judge(view, stream(0, "scan"))


def test_it_finds_what_it_says():
    scanned = FeatureRE(steps=5).judge(varied([0, 1, 2] * 12), stream(0, "scan"))
    assert ((scanned.shown["success"] >= 0) & (scanned.shown["success"] <= 1)).all()
    assert (scanned.shown["likeness"].abs() <= 1 + 1e-6).all()
    assert (scanned.shown["size"] > 0).all()
