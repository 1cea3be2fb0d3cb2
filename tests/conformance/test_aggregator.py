"""What every aggregator keeps to; no aggregator is named here."""

import re

import pytest
import torch

from conformance.rounds import P, a_round, copied, rearranged
from conformance.worlds import every, variants
from mithridate.core.errors import MethodError
from mithridate.core.federated import NEEDS, Aggregated, Aggregator

CASES = [rule for cls in every(Aggregator).values() for rule in variants(cls, "")]
each = pytest.mark.parametrize("rule", CASES, ids=lambda rule: str(rule)[:70])
ORDER = torch.tensor([3, 10, 0, 7, 1, 9, 2, 8, 5, 4, 6])


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


@each
def test_the_order_of_the_clients_moves_their_trust_and_not_the_step(rule):
    seen = a_round(outlier=3.0)
    before, after = first(rule, seen), first(rule, rearranged(seen, ORDER))
    assert close(before.step, after.step)
    for name in ("trust", "suspicion"):
        one, other = getattr(before, name), getattr(after, name)
        assert (one is None) == (other is None)
        assert one is None or close(one[ORDER], other), name


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
def test_it_keeps_the_laws_that_it_says_it_obeys(rule):
    seen = a_round(outlier=2.0)
    before = first(rule, seen).step
    if "scale" in rule.obeys:
        for times in (0.25, 8.0):
            scaled = seen._replace(updates=times * seen.updates, root=times * seen.root)
            assert close(first(rule, scaled).step, times * before)
    if "shift" in rule.obeys:
        away = torch.linspace(-1, 1, P)
        shifted = seen._replace(updates=seen.updates + away, root=seen.root + away)
        assert close(first(rule, shifted).step, before + away, 10.0)


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
