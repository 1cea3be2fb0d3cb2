"""What a search leaves behind: the model as it was."""

import pytest
import torch
from torch import nn

from mithridate.core.data import dataset
from mithridate.core.domain import Surface
from mithridate.core.view import View
from mithridate.domains.image.domain import ImageDomain
from mithridate.scanners import sources


@pytest.mark.parametrize("fails", [False, True])
def test_every_module_keeps_its_mode(fails, monkeypatch):
    model = nn.Sequential(nn.BatchNorm1d(2), nn.Dropout(), nn.Linear(2, 2)).train()
    model[0].eval()
    monkeypatch.setattr(sources, "check_gradients", lambda *_: None)
    inputs = torch.zeros(2, 1, 1, 2, dtype=torch.uint8)
    view = View(dataset(inputs, [0, 1], ("a", "b")), domain=ImageDomain(), model=model)
    surface = Surface(0.0, 255.0, (1, 1, 2), (1, 1, 2))
    try:
        with sources.differentiable_model(view, inputs, surface) as found:
            assert not any(module.training for module in found.modules())
            assert not fails, "as a search might"
    except AssertionError:
        assert fails
    assert [module.training for module in model.modules()] == [True, False, True, True]
