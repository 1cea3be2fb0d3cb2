"""The derivative of margins by the weights: exact where it is narrow, and unbiased elsewhere."""

import copy

import pytest
import torch
from torch import nn

from mithridate.core.attribution import FACTORS, margin_gradients, margins
from mithridate.core.data import dataset
from mithridate.core.domain import Domain
from mithridate.core.errors import CannotJudge
from mithridate.core.runtime import Runtime
from mithridate.core.view import View

WIDE = 10_000
"""No side of these layers is as wide, so nothing is projected."""


def seeded(module, seed=0):
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) / 3
    return module


def network():
    return seeded(
        nn.Sequential(
            nn.Conv2d(2, 3, 3, 2, 1), nn.BatchNorm2d(3), nn.ReLU(inplace=True), nn.Flatten(),
            nn.Linear(3 * 9, 5), nn.ReLU(inplace=True), nn.Linear(5, 4),
        )
    ).eval()  # fmt: skip


def inputs(n=6):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(n, 2, 6, 6, generator=generator), torch.arange(n) % 4


def by_hand(model, x, y):
    rows = []
    for one, label in zip(x, y, strict=True):
        model.zero_grad()
        margins(model(one[None]), label[None]).sum().backward()
        weights = [m.weight for m in model if isinstance(m, (nn.Conv2d, nn.Linear))]
        rows.append(torch.cat([w.grad.flatten() for w in weights]))
    return torch.stack(rows)


def test_the_margin_is_the_logarithm_of_the_odds():
    logits = torch.tensor([[1.0, 2.0, 0.5], [0.0, 0.0, 0.0]])
    p = logits.softmax(1)[torch.arange(2), torch.tensor([1, 0])]
    torch.testing.assert_close(margins(logits, torch.tensor([1, 0])), (p / (1 - p)).log())
    assert margins(torch.ones(2, 1), torch.zeros(2).long()).tolist() == [1, 1]


def test_without_projection_products_are_those_of_the_derivatives():
    model, (x, y) = network(), inputs()
    before = copy.deepcopy(model.state_dict())
    exact = by_hand(model, x, y)
    factors = margin_gradients(model, x, y, Runtime(), WIDE)
    torch.testing.assert_close(factors @ factors.T, exact @ exact.T, rtol=1e-4, atol=1e-5)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_projected_products_are_near_those_of_the_derivatives():
    model, (x, y) = network(), inputs(40)
    exact = by_hand(model, x, y)
    factors = margin_gradients(model, x, y, Runtime())
    assert factors.shape[0] == 40 and factors.shape[1] <= FACTORS
    truth, rough = exact @ exact.T, factors @ factors.T
    assert float(torch.corrcoef(torch.stack([truth.flatten(), rough.flatten()]))[0, 1]) > 0.9
    again = margin_gradients(model, x, y, Runtime())
    assert torch.equal(factors, again)


def test_a_row_depends_on_no_other_and_on_no_training_flag():
    model, (x, y) = network(), inputs()
    whole = margin_gradients(model, x, y, Runtime())
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    alone = margin_gradients(model.train(), x[2:3], y[2:3], Runtime())
    torch.testing.assert_close(alone, whole[2:3], rtol=1e-4, atol=1e-6)
    assert model.training


def test_words_are_followed_through_their_table():
    class Words(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.head = nn.Embedding(9, 4), nn.Linear(4, 3)

        def forward(self, batch):
            return self.head(self.table(batch).mean(1))

    model, x = seeded(Words()), torch.tensor([[1, 2, 2], [2, 5, 8], [7, 7, 7]])
    rows = []
    for one in x:
        model.zero_grad()
        margins(model(one[None]), torch.tensor([1])).sum().backward()
        rows.append(
            torch.cat([model.table.weight.grad.flatten(), model.head.weight.grad.flatten()])
        )
    exact = torch.stack(rows)
    close = margin_gradients(model, x, torch.ones(3).long(), Runtime(), 2000)
    truth = exact @ exact.T
    torch.testing.assert_close(close @ close.T, truth, rtol=0.2, atol=0.2 * float(truth.max()))


def test_a_network_that_cannot_be_followed_is_refused():
    with pytest.raises(CannotJudge, match="no linear"):
        margin_gradients(nn.Flatten(), torch.ones(2, 3), torch.zeros(2).long(), Runtime())


def test_a_view_gives_it_and_notes_it(digits):
    few = digits.subset(torch.arange(5))
    from mithridate.domains.image.domain import ImageDomain

    domain: Domain = ImageDomain()
    model = seeded(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)))

    class Bytes(nn.Module):
        def __init__(self):
            super().__init__()
            self.inside = model

        def forward(self, batch):
            return self.inside(batch.float() / 255)

    view = View(few, domain=domain, model=Bytes())
    assert view.attribution.shape[0] == 5
    assert view.used == {"attribution"}
    known = View(labels=few.labels, attribution=torch.ones(5, 2))
    assert torch.equal(known.attribution, torch.ones(5, 2))
    assert len(dataset(few.inputs, few.labels)) == 5
