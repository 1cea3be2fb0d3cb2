"""TeCo: a value by hand, what it sees and what it misses, few questions, one kind of damage."""

from dataclasses import dataclass
from statistics import pstdev

import pytest
import torch

from methods.twins import arriving, network, separation
from mithridate.core.data import dataset
from mithridate.core.errors import CannotJudge
from mithridate.core.view import View
from mithridate.detectors.teco import TeCo
from mithridate.domains.image.domain import ImageDomain


@dataclass(frozen=True)
class Lessening(ImageDomain):
    """Damage by name: the number of units that the first value loses for each degree."""

    kinds: tuple[str, ...] = ("0", "1", "4", "20")

    @property
    def corruptions(self):
        return self.kinds

    def corrupt(self, batch, kind, severity, rng):
        damaged = batch.int()
        damaged[:, 0, 0, 0] -= int(kind) * severity
        return damaged.clamp(0, 255).to(batch.dtype)


class Bright(torch.nn.Module):
    """Class 1 from a first value of 100 on; counts what it is asked."""

    asked = 0

    def forward(self, inputs):
        self.asked += len(inputs)
        high = inputs[:, 0, 0, 0].float() >= 100
        return torch.stack([~high, high], 1).float()


def levels(*values, model=None, domain=Lessening()):
    inputs = torch.zeros(len(values), 1, 1, 1, dtype=torch.uint8)
    inputs[:, 0, 0, 0] = torch.tensor(values)
    data = dataset(inputs, [0] * len(values), ("dark", "bright"))
    return View(data, domain=domain, model=model or Bright())


def test_values_by_hand():
    """110 falls below 100 by 3 degrees of 4, by the first of 20, and not by 5 of 1 or 0."""
    found = TeCo().score({}, levels(110, 103, 100, 20)).tolist()
    expected = [pstdev(t) for t in ([6, 6, 3, 1], [6, 4, 1, 1], [6, 1, 1, 1], [6, 6, 6, 6])]
    assert found == pytest.approx(expected)


def test_what_has_changed_its_class_is_not_asked_about_again():
    model = Bright()
    TeCo().score({}, levels(100, model=model))
    assert model.asked == 1 + 4 + 1 + 1 + 1 + 1  # once as it is, then 0 alone after degree 1


def test_a_trigger_of_fine_detail_falls_to_blurs_alone_and_a_clean_twin_sees_nothing():
    assert separation(TeCo(), network()) >= 0.9
    assert 0.3 < separation(TeCo(), network(None)) < 0.7


def test_triggers_and_inputs_that_survive_everything_look_alike():
    """The spread says nothing where no damage changes an answer: 255 scores as 0 does."""
    scores = TeCo().score({}, levels(0, 255, domain=Lessening(kinds=("0", "1"))))
    assert scores.tolist() == [0, 0]


def test_it_only_asks_the_model_and_blocks_do_not_matter(monkeypatch):
    above, _ = arriving(network())
    whole = TeCo().score(TeCo().fit(above), above)
    assert above.used == {"inputs", "queries"}
    monkeypatch.setattr("mithridate.detectors.teco.COPIES", 99)
    assert torch.equal(TeCo().score({}, above), whole)


def test_one_kind_of_damage_has_no_spread():
    with pytest.raises(CannotJudge, match="two kinds"):
        TeCo().score({}, levels(100, domain=Lessening(kinds=("1",))))
    with pytest.raises(CannotJudge, match="two kinds"):
        TeCo().fit(levels(100, domain=Lessening(kinds=("1",))))
