"""An attacker among the clients reads what its level grants, and nothing more."""

from dataclasses import dataclass

import pytest
import torch

from mithridate.core.clients import GRANTED, LEVELS, ClientAttack, Known
from mithridate.core.errors import EvidenceWithheld, MethodError

THERE = {"start": torch.zeros(3), "aggregator": ClientAttack(), "others": torch.ones(2, 3)}


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", THERE)
def test_reading_more_than_the_level_grants_raises(level, name):
    known = Known(level, 0, 0, 5, **THERE)
    if LEVELS.index(GRANTED[name]) <= LEVELS.index(level):
        assert getattr(known, name) is THERE[name]
        assert known.used == {name} and known.has(name)
    else:
        assert not known.has(name)
        with pytest.raises(EvidenceWithheld, match=f"{level} attacker.*{name}"):
            getattr(known, name)
        assert not known.used


def test_what_is_given_as_a_function_is_computed_when_it_is_read_and_only_once():
    asked = []
    known = Known("strong", 0, 0, 5, others=lambda: asked.append(1) or torch.ones(2, 3))
    assert not asked
    assert torch.equal(known.others, known.others)
    assert asked == [1]


def test_every_grant_can_be_read_and_what_is_absent_or_of_another_type_is_told():
    assert all(isinstance(getattr(Known, name), property) for name in GRANTED)
    with pytest.raises(MethodError, match="has no 'mask' in round 2"):
        _ = Known("strong", 0, 2, 5).mask
    with pytest.raises(MethodError, match="nobody can know 'truth'"):
        Known("strong", 0, 0, 5, truth=1)
    with pytest.raises(MethodError, match="type Tensor, found list"):
        _ = Known("weak", 0, 0, 5, start=[1.0]).start


@dataclass(frozen=True)
class Idle(ClientAttack):
    """Planted: does what honest clients do."""


def test_an_attacker_that_changes_nothing_is_an_honest_client():
    attack, known, update = Idle(), Known("weak", 0, 0, 5), torch.ones(3)
    assert attack.wrap(known) is None
    assert attack.objective(torch.nn.Linear(1, 1), known) is None
    assert attack.submit(update, known, None) is update
    with pytest.raises(MethodError, match="no backdoor"):
        attack.triggered_test(None, None)
