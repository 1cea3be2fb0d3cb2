"""STRIP: a value by hand, the direction of the score, what it sees and what it misses."""

from functools import cache

import pytest
import torch

from methods.smooth_world import smooth, victim
from methods.twins import ATTACK, DOMAIN, network, separation, trusted, view
from mithridate.core.data import concatenate
from mithridate.core.errors import MethodError
from mithridate.core.streams import stream, torch_generator
from mithridate.detectors.strip import Strip, entropy


@cache
def obedient():
    """A network that obeys the trigger also under a second input, as the method assumes."""
    data = smooth(600)
    poisoned = ATTACK.poison(data, stream(0, "poison")).data
    stamped = ATTACK.triggered_test(data, stream(0, "trap")).subset(range(200))
    others = data.inputs[torch.arange(len(stamped)) * 3 % len(data)]
    mixed = DOMAIN.mix(stamped.inputs, others, torch_generator(stream(0, "mix")))
    return victim(concatenate(poisoned, stamped.with_inputs(mixed)))


def test_the_entropy_of_answers_by_hand():
    logits = torch.log(torch.tensor([[0.5, 0.25, 0.25], [1.0, 1e-30, 1e-30], [1 / 3] * 3]))
    expected = torch.tensor([1.5, 0.0, 1.584962500721156]).double()
    torch.testing.assert_close(entropy(logits), expected, atol=1e-6, rtol=1e-6)


def test_the_score_by_hand():
    """A model that answers 1 : 2^level of the first byte, under two overlays of levels 0 and 4."""

    class Levels(torch.nn.Module):
        def forward(self, inputs):
            level = inputs[:, 0, 0, 0].float()
            return torch.stack([torch.zeros_like(level), level * torch.log(torch.tensor(2.0))], 1)

    def levels(*values):
        inputs = torch.zeros(len(values), 1, 2, 2, dtype=torch.uint8)
        inputs[:, 0, 0, 0] = torch.tensor(values)
        return view(smooth(len(values)).with_inputs(inputs), Levels())

    detector = Strip()
    state = detector.fit(levels(0, 4))
    assert sorted(state["overlays"][:, 0, 0, 0].tolist()) == [0, 4]
    # An input of level 2 gives mixtures of levels 1 and 3: 1 : 2 and 1 : 8.
    third = entropy(torch.log(torch.tensor([[1 / 3, 2 / 3], [1 / 9, 8 / 9]])))
    torch.testing.assert_close(detector.score(state, levels(2))[0], -third.mean())


def test_what_stays_certain_is_suspicious_and_a_clean_twin_sees_nothing():
    assert separation(Strip(), obedient()) >= 0.9
    assert 0.3 < separation(Strip(), network(None)) < 0.7


def test_a_trigger_that_a_second_input_hides_is_missed():
    assert separation(Strip(), network()) < 0.75


def test_the_seed_chooses_the_overlays_and_their_order_does_not_matter():
    model = network(None)
    known = trusted(model)
    first, again, other = (Strip(seed=seed).fit(known)["overlays"] for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert len(first) == 16
    assert len(Strip(overlays=1000).fit(known)["overlays"]) == 200


def test_it_needs_an_overlay_and_inputs_of_one_form():
    known = trusted(network(None))
    with pytest.raises(MethodError, match="at least 1, found 0"):
        Strip(overlays=0).fit(known)
    state = Strip().fit(known)
    with pytest.raises(MethodError, match="fit again"):
        Strip().score(state, view(smooth(3, side=12), network(None)))
