"""What every attack keeps to, with every trigger, goal and selection; none is named here."""

import dataclasses
import functools

import pytest
import torch

from conformance.worlds import (
    ORDINARY,
    changed,
    copy,
    domains,
    every,
    labelled,
    learnt,
    same,
    shortened,
    variants,
)
from mithridate.core.data import Dataset, Poisoned, dataset
from mithridate.core.errors import MethodError, MithridateError
from mithridate.core.method import Attack
from mithridate.core.streams import stream

CASES = [
    (domain, attack)
    for domain in domains()
    for cls in every(Attack).values()
    for attack in variants(cls, domain)
]
each = pytest.mark.parametrize("domain, attack", CASES, ids=lambda v: str(v)[:90])


def data_of(domain):
    """Two hundred examples: enough that one in a hundred is some."""
    return labelled(domain, copies=5)


def poison(attack, data):
    return attack.poison(data, stream(0, "poison"), learnt(attack, data))


def triggered_test(attack, data):
    return attack.triggered_test(data, stream(0, "trap"), learnt(attack, data))


@functools.cache
def refusal(domain, attack):
    """Why an attack does not work in a domain, in its own words; empty where it does.

    Who wants more than the data may have no use for every domain, and a learner for every goal.
    """
    if attack.controls == "data" and not attack.learns:
        return ""
    try:
        triggered_test(attack, data_of(domain))
    except MethodError as error:
        return str(error)
    return ""


def takes(domain, attack):
    """Skip what the attack refuses with a reason."""
    if why := refusal(domain, attack):
        assert len(why) > 20
        pytest.skip(f"refused: {why}")


@pytest.mark.parametrize("cls", every(Attack).values(), ids=lambda v: v.name())
def test_no_attack_refuses_everything(cls):
    assert not all(refusal(domain, attack) for domain, attack in CASES if type(attack) is cls)


def test_every_attack_is_tried():
    assert {type(attack) for _, attack in CASES} == set(every(Attack).values())
    assert {domain for domain, _ in CASES} <= set(ORDINARY)


@dataclasses.dataclass(frozen=True, eq=False)
class Attacked:
    """What an attack was given, kept apart, and what it made of it when it was asked twice."""

    data: Dataset
    before: Dataset
    poisonings: tuple[Poisoned, Poisoned]
    triggered: tuple[Dataset, Dataset]


@functools.cache
def attacked(domain, attack):
    data = data_of(domain)
    before = dataset(copy(data.inputs), data.labels.clone(), data.classes)
    first, second = poison(attack, data), triggered_test(attack, data)
    return Attacked(
        data, before, (first, poison(attack, data)), (second, triggered_test(attack, data))
    )


@each
def test_the_argument_is_left_untouched(domain, attack):
    takes(domain, attack)
    data, before = attacked(domain, attack).data, attacked(domain, attack).before
    assert same(data.inputs, before.inputs)
    assert torch.equal(data.labels, before.labels)
    assert torch.equal(data.ids, before.ids)


@each
def test_the_truth_says_what_was_done(domain, attack):
    takes(domain, attack)
    data, poisoned = attacked(domain, attack).data, attacked(domain, attack).poisonings[0]
    after, truth = poisoned.data, poisoned.truth
    assert torch.equal(truth.labels, data.labels)
    assert torch.equal(after.ids, data.ids)
    assert after.classes == data.classes
    assert truth.poisoned.dtype == truth.cover.dtype == torch.bool
    if attack.controls == "data":
        assert truth.poisoned.any(), "the defaults poison nothing"
    assert not (truth.poisoned & truth.cover).any()
    stamped, relabelled = changed(after.inputs, data.inputs), after.labels != data.labels
    assert torch.equal(stamped, truth.poisoned | truth.cover)
    assert not (relabelled & ~truth.poisoned).any()


@each
def test_the_stream_decides_everything(domain, attack):
    takes(domain, attack)
    first, second = attacked(domain, attack).poisonings
    assert same(first.data.inputs, second.data.inputs)
    assert torch.equal(first.data.labels, second.data.labels)
    assert torch.equal(first.truth.poisoned, second.truth.poisoned)
    assert same(*(sprung.inputs for sprung in attacked(domain, attack).triggered))


@each
def test_the_trap_holds_only_what_the_attacker_wants_changed(domain, attack):
    takes(domain, attack)
    data, sprung = attacked(domain, attack).data, attacked(domain, attack).triggered[0]
    rows = sprung.ids
    assert len(sprung)
    assert len(rows.unique()) == len(rows)
    assert (sprung.labels != data.labels[rows]).all(), "a label that already was the wanted one"
    assert changed(sprung.inputs, data.inputs[rows]).all()
    assert sprung.classes == data.classes


@each
def test_training_and_trap_want_the_same_labels(domain, attack):
    takes(domain, attack)
    tried = attacked(domain, attack)
    sprung, result = tried.triggered[0], tried.poisonings[0]
    target_labels = tried.data.labels.clone()
    target_labels[sprung.ids] = sprung.labels
    rows = result.truth.poisoned
    assert torch.equal(result.data.labels[rows], target_labels[rows])


@each
def test_small_data_give_a_result_or_a_clear_error(domain, attack):
    for labels in ([0], [0, 0, 0], [0, 1], [3, 3, 3]):
        data = dataset(ORDINARY[domain][: len(labels)], labels, "abcd")
        try:
            result = poison(shortened(attack), data)
            assert len(result.data) == len(data)
            assert len(triggered_test(shortened(attack), data))
        except MithridateError as error:
            assert len(str(error)) > 20


def amounts():
    """Every attack with a selection of a settable amount."""
    for domain, attack in CASES:
        for field in dataclasses.fields(attack):
            part = getattr(attack, field.name)
            if hasattr(part, "poison_rate"):
                yield domain, attack, field.name


def with_amount(attack, field, amount):
    part = dataclasses.replace(getattr(attack, field), poison_rate=amount)
    return dataclasses.replace(attack, **{field: part})


sized = pytest.mark.parametrize("domain, attack, field", list(amounts()), ids=lambda v: str(v)[:90])


@sized
def test_the_amount_is_respected_and_small_sets_nest_in_large(domain, attack, field):
    takes(domain, attack)
    data = data_of(domain)
    sets = {a: poison(with_amount(attack, field, a), data) for a in (0.01, 0.02, 12.0)}
    poisoned = {a: result.truth.poisoned for a, result in sets.items()}
    assert {a: int(p.sum()) for a, p in poisoned.items()} == {0.01: 2, 0.02: 4, 12.0: 12}
    assert (poisoned[0.01] <= poisoned[0.02]).all()
    assert (poisoned[0.02] <= poisoned[12.0]).all()


@sized
def test_more_poison_than_there_can_be_is_refused(domain, attack, field):
    takes(domain, attack)
    for amount in (10_000.0, -1.0):
        with pytest.raises(MethodError):
            poison(with_amount(attack, field, amount), data_of(domain))
