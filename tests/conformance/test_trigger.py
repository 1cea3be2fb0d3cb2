"""What every trigger keeps to, in its own domain; no trigger is named here."""

import pytest
import torch

from conformance.worlds import (
    EDGES,
    ORDINARY,
    Ready,
    changed,
    copy,
    domain_of,
    every,
    same,
    shortened,
    triggers,
)
from mithridate.core.method import Trigger
from mithridate.core.streams import stream

TRIGGERS = triggers()


each = pytest.mark.parametrize("domain, trigger", TRIGGERS, ids=lambda v: str(v)[:60])


def test_every_trigger_is_tried():
    assert {type(t) for _, t in TRIGGERS} == set(every(Trigger).values())
    assert all(domain_of(t) in ORDINARY for t in every(Trigger).values())


def stamp(trigger, inputs):
    return Ready(trigger)(inputs, stream(0, "trigger"))


@each
def test_it_changes_every_ordinary_input_and_keeps_its_form(domain, trigger):
    inputs = ORDINARY[domain]
    stamped = stamp(trigger, inputs)
    assert type(stamped) is type(inputs)
    assert stamped.shape == inputs.shape
    assert stamped.dtype == inputs.dtype
    assert changed(stamped, inputs).all()


@each
def test_it_leaves_its_argument_untouched(domain, trigger):
    inputs = copy(ORDINARY[domain])
    stamp(trigger, inputs)
    assert same(inputs, ORDINARY[domain])


@each
def test_the_stream_decides_everything(domain, trigger):
    first, second = (stamp(trigger, ORDINARY[domain]) for _ in range(2))
    assert same(first, second)


@each
def test_torch_and_numpy_randomness_are_left_alone(domain, trigger):
    before = torch.random.get_rng_state()
    stamp(trigger, ORDINARY[domain])
    assert torch.equal(before, torch.random.get_rng_state())


@each
def test_it_survives_every_family_of_its_domain(domain, trigger):
    for family, inputs in EDGES[domain].items():
        stamped = stamp(shortened(trigger), inputs)
        assert stamped.shape == inputs.shape, family
        assert stamped.dtype == inputs.dtype, family
        if not isinstance(inputs, torch.Tensor) and not inputs.dtype.names:
            assert all(isinstance(value, str) for value in stamped), family


@each
def test_an_empty_batch_stays_empty(domain, trigger):
    none = ORDINARY[domain][:0]
    assert stamp(trigger, none).shape == none.shape
