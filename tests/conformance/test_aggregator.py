"""What every aggregator keeps to; no aggregator is named here."""

import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance.rounds import P, a_round, copied, rearranged
from conformance.worlds import every, variants
from mithridate.core.errors import MethodError
from mithridate.core.federated import NEEDS, Aggregated, Aggregator

CASES = [rule for cls in every(Aggregator).values() for rule in variants(cls, "")]
each = pytest.mark.parametrize("rule", CASES, ids=lambda rule: str(rule)[:70])


def first(rule, seen):
    return rule.aggregate(rule.init(P), seen)


def close(one, other, size=1.0):
    return torch.allclose(one, other, rtol=1e-4, atol=1e-6 * size)


def test_there_are_aggregators():
    assert CASES


@each
def test_it_says_where_it_comes_from_and_what_it_assumes(rule):
    assert rule.paper or "control" in (type(rule).__doc__ or "").lower()
    assert len(rule.assumes.split()) >= 4
    assert rule.needs <= set(NEEDS)
    assert rule.obeys <= {"shift", "scale"}


@each
def test_it_holds_no_number_of_attackers_that_only_the_attackers_know(rule):
    secret = re.compile("malicious|attackers|byzantine|n_|truth")
    assert not [name for name in vars(rule) if secret.search(name)]


@st.composite
def rounds(draw):
    """Rounds of every kind: even and odd, with twins and ties, with and without one far away."""
    m = draw(st.integers(7, 12))
    outlier = draw(st.sampled_from([0.0, 2.0, 30.0]))
    seen = a_round(m, draw(st.integers(0, 99)), outlier=outlier, like=draw(st.floats(0, 0.9)))
    updates = seen.updates.clone()
    if draw(st.booleans()):
        updates[-1] = updates[1]
    if draw(st.booleans()):
        updates = updates.mul(10).round().div(10)
    return seen._replace(updates=updates)


varied = settings(max_examples=12, deadline=None, derandomize=True, database=None)


@each
@varied
@given(seen=rounds(), draws=st.randoms(use_true_random=False))
def test_the_order_of_the_clients_moves_their_trust_and_not_the_step(rule, seen, draws):
    order = torch.tensor(draws.sample(range(len(seen.ids)), len(seen.ids)))
    before, after = first(rule, seen), first(rule, rearranged(seen, order))
    assert close(before.step, after.step)
    for name in ("trust", "suspicion"):
        one, other = getattr(before, name), getattr(after, name)
        assert (one is None) == (other is None)
        assert one is None or close(one[order], other), name


@each
def test_the_same_round_gives_the_same_bits_and_no_global_randomness_is_used(rule):
    before = torch.random.get_rng_state()
    one, other = first(rule, a_round()), first(rule, a_round())
    assert torch.equal(one.step, other.step)
    assert torch.equal(before, torch.random.get_rng_state())


@each
def test_nothing_that_it_is_shown_is_changed(rule):
    seen = a_round(outlier=3.0)
    state = rule.aggregate(rule.init(P), a_round(number=1)).state
    kept, then = copied(seen), {name: value.clone() for name, value in state.items()}
    rule.aggregate(state, seen)
    for name, value in kept._asdict().items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(getattr(seen, name), value), name
    assert set(state) == set(then)
    assert all(torch.equal(state[name], value) for name, value in then.items())


@each
@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e-6, 1e4, 1e30])
def test_it_survives_updates_of_any_size(rule, scale):
    answer = first(rule, a_round(scale=scale))
    assert answer.step.isfinite().all()


@each
@pytest.mark.parametrize("outlier", [1e3, 1e30])
def test_it_survives_a_client_that_stands_out(rule, outlier):
    first(rule, a_round(outlier=outlier))


@each
def test_it_survives_clients_that_are_all_alike(rule):
    seen = a_round()
    same = seen.updates[:1].repeat(len(seen.updates), 1)
    answer = first(rule, seen._replace(updates=same, root=same[0].clone()))
    assert answer.trust is None or len(set(answer.trust.tolist())) >= 1


@each
def test_fewer_clients_than_it_needs_are_refused_in_a_sentence(rule):
    least = rule.least()
    assert least >= 1
    first(rule, a_round(m=least))
    if least > 1:
        with pytest.raises(MethodError, match=rf"at least {least} clients.*found {least - 1};"):
            first(rule, a_round(m=least - 1))


@each
def test_it_refuses_a_round_without_what_it_needs(rule):
    for name in rule.needs:
        with pytest.raises(MethodError, match=name):
            first(rule, a_round()._replace(**{name: None}))
    bare = dict.fromkeys(set(NEEDS) - rule.needs)
    first(rule, a_round()._replace(**bare))


@each
@varied
@given(seen=rounds(), times=st.sampled_from([0.25, 0.5, 8.0]))
def test_it_keeps_the_laws_that_it_says_it_obeys(rule, seen, times):
    before = first(rule, seen).step
    if "scale" in rule.obeys:
        scaled = seen._replace(updates=times * seen.updates, root=times * seen.root)
        assert close(first(rule, scaled).step, times * before)
    if "shift" in rule.obeys:  # by powers of two, since rounding would break ties
        away = torch.linspace(-4, 4, P).round()
        updates = seen.updates.mul(2.0**16).round().div(2.0**16)
        exact = seen._replace(updates=updates)
        shifted = seen._replace(updates=updates + away, root=seen.root + away)
        assert close(first(rule, shifted).step, first(rule, exact).step + away, 20.0)


@each
def test_its_state_carries_a_federation_in_which_other_clients_take_part_each_round(rule):
    state = rule.init(P)
    for number in range(4):
        seen = a_round(number=number)
        some = torch.arange(11).roll(3 * number)[: max(7, rule.least())]
        kept = {name: value.clone() for name, value in state.items()}
        answer = rule.aggregate(state, rearranged(seen, some))
        again = rule.aggregate(kept, rearranged(seen, some))
        assert torch.equal(answer.step, again.step)
        assert isinstance(answer, Aggregated)
        state = answer.state
