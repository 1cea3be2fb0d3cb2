"""What every attacker of weights keeps to, in every domain that he takes; none is named here."""

import copy
import dataclasses
import functools
import itertools

import pytest
import torch

from conformance.worlds import changed, domains, every, learnable, same, variants
from mithridate.bench.metrics.evaluate import accuracy, attack_success
from mithridate.core.errors import MethodError
from mithridate.core.fit import TrainingConfig
from mithridate.core.method import Attack, Implanted, WeightsAttack
from mithridate.core.quantisation import round_weights
from mithridate.core.streams import stream
from mithridate.trainers.standard import Standard

DOMAINS = domains()
CASES = [
    (domain, attack)
    for domain in DOMAINS
    for cls in every(WeightsAttack).values()
    for attack in itertools.islice(variants(cls, domain), 1)
]
each = pytest.mark.parametrize("domain, attack", CASES, ids=lambda v: str(v)[:90])
FOUND = (AssertionError, pytest.fail.Exception)


@functools.cache
def clean(domain):
    """A network that was trained on clean data that can be learnt."""
    data = learnable(domain)
    model = DOMAINS[domain].network(data, "", stream(0, "network"))
    config = TrainingConfig(epochs=3, batch_size=64)
    return Standard(config).train(model, data, DOMAINS[domain], stream(0, "train")).model


def attempt(domain, attack):
    """Implant into a copy of the clean network; give the copy and what was made of it."""
    given = copy.deepcopy(clean(domain))
    return given, attack.implant(given, learnable(domain), DOMAINS[domain], stream(0, "implant"))


@functools.cache
def tried(domain, attack):
    """The same, made once for all tests; or the refusal."""
    try:
        return attempt(domain, attack)
    except MethodError as refusal:
        return refusal


def implanted(domain, attack):
    """The same; what the attack refuses with a reason is skipped."""
    found = tried(domain, attack)
    if isinstance(found, MethodError):
        assert len(str(found)) > 20
        pytest.skip(f"refused: {found}")
    return found


def works(domain, attack):
    return not isinstance(tried(domain, attack), MethodError)


def test_every_weights_attack_is_tried_and_none_refuses_everything():
    assert {type(attack) for _, attack in CASES} == set(every(WeightsAttack).values())
    assert set(every(WeightsAttack)) <= set(every(Attack))
    for cls in every(WeightsAttack).values():
        assert any(works(domain, attack) for domain, attack in CASES if type(attack) is cls)


@each
def test_the_model_is_left_untouched_and_the_copy_is_changed(domain, attack):
    given, made = implanted(domain, attack)
    before, after, copied = (m.state_dict() for m in (clean(domain), given, made.model))
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert made.model is not given
    assert any(not torch.equal(before[name], copied[name]) for name in before)
    shared = {p.data_ptr() for p in given.parameters()} & {
        p.data_ptr() for p in made.model.parameters()
    }
    assert not shared, "the copy shares weights with what it was made of"


@each
def test_the_copy_has_the_form_of_the_model_and_is_finite(domain, attack):
    given, made = implanted(domain, attack)
    theirs, mine = given.state_dict(), made.model.state_dict()
    assert {n: v.shape for n, v in theirs.items()} == {n: v.shape for n, v in mine.items()}
    assert all(torch.isfinite(value).all() for value in mine.values())
    assert made.model.training == given.training
    assert [p.requires_grad for p in made.model.parameters()] == [
        p.requires_grad for p in given.parameters()
    ]
    assert all(isinstance(value, torch.Tensor) for value in made.state.values())


@each
def test_the_stream_decides_every_bit(domain, attack):
    first = implanted(domain, attack)[1]
    before = torch.random.get_rng_state()
    again = attempt(domain, attack)[1]
    assert torch.equal(before, torch.random.get_rng_state()), "global randomness was used"
    for one, other in (
        (first.model.state_dict(), again.model.state_dict()), (first.state, again.state)
    ):  # fmt: skip
        assert all(torch.equal(one[name], other[name]) for name in one)


@each
def test_the_data_hold_nothing_and_the_trap_changes_what_it_springs(domain, attack):
    _, made = implanted(domain, attack)
    data = learnable(domain)
    poisoned = attack.poison(data, stream(0, "poison"))
    assert not (poisoned.truth.poisoned | poisoned.truth.cover).any()
    assert same(poisoned.data.inputs, data.inputs)
    sprung = attack.triggered_test(data, stream(0, "trap"), made.state)
    assert len(sprung)
    assert changed(sprung.inputs, data.inputs[sprung.ids]).all()
    with pytest.raises(MethodError):
        attack.triggered_test(data, stream(0, "trap"))


@each
def test_the_backdoor_works_and_the_model_still_does(domain, attack):
    given, made = implanted(domain, attack)
    data, home = learnable(domain, 600).subset(range(512, 600)), DOMAINS[domain]
    rng = stream(0, "trap")
    awake = round_weights(made.model, attack.grid) if hasattr(attack, "grid") else made.model
    assert attack_success(awake, attack, data, home, rng, state=made.state).value > 0.5
    assert accuracy(made.model, data, home).value > accuracy(given, data, home).value - 0.05


@dataclasses.dataclass(frozen=True)
class Planted(WeightsAttack):
    """Gives again what an attack of weights made, with room for one fault."""

    attack: WeightsAttack
    fault: str = ""

    def triggered_test(self, data, rng, state=None):
        sprung = self.attack.triggered_test(data, rng, state)
        return data.subset(sprung.ids) if self.fault == "no trigger" else sprung

    def implant(self, model, data, domain, rng, runtime=None):
        made = copy.deepcopy(implanted(domain.name, self.attack)[1])
        weights = list(made.model.parameters())[-1].data
        if self.fault == "in place":
            model.load_state_dict(made.model.state_dict())
        if self.fault == "global":
            weights.add_(0.01 * torch.rand(weights.shape))
        if self.fault == "infinite":
            weights[0] = float("inf")
        if self.fault == "harms":
            weights[0] += 1e4
        if self.fault == "nothing":
            return Implanted(copy.deepcopy(model), made.state)
        return made


CHECKS = {
    "in place": test_the_model_is_left_untouched_and_the_copy_is_changed,
    "nothing": test_the_model_is_left_untouched_and_the_copy_is_changed,
    "infinite": test_the_copy_has_the_form_of_the_model_and_is_finite,
    "global": test_the_stream_decides_every_bit,
    "no trigger": test_the_data_hold_nothing_and_the_trap_changes_what_it_springs,
    "harms": test_the_backdoor_works_and_the_model_still_does,
}


@pytest.mark.parametrize("fault", CHECKS)
def test_a_faulty_attack_of_weights_is_caught(fault):
    domain, inner = next((d, a) for d, a in CASES if works(d, a) and not hasattr(a, "grid"))
    CHECKS[fault](domain, Planted(inner))
    with pytest.raises(FOUND):
        CHECKS[fault](domain, Planted(inner, fault))
