"""What clients send is checked once: nonsense is left out or bounded and named, no round ends."""

import pytest
import torch
from torch import nn

from conformance.rounds import SEGMENTS, P, a_round
from conformance.worlds import every
from mithridate.core.errors import MethodError
from mithridate.core.federated import Aggregator
from mithridate.core.flat import FlatForm
from mithridate.pipelines.intake import Intake

NAN, INF = float("nan"), float("inf")
CLIENTS = range(100, 111)
LIAR = 104


class Toy(nn.Module):
    """A network of 58 parameters whose last layer lies where `conformance.rounds` has it."""

    def __init__(self):
        super().__init__()
        self.body = nn.Linear(4, 6)
        self.norm = nn.BatchNorm1d(6, affine=False)
        self.head = nn.Linear(6, 4)


FORM = FlatForm.of(Toy())
MOMENTS = torch.ones(FORM.moments_size)


def test_the_toy_lies_as_the_rounds_say():
    assert FORM.size == P
    assert (FORM.head.weight, FORM.head.bias) == SEGMENTS[1:]


def door(**settings):
    return Intake(FORM, dict.fromkeys(CLIENTS, 60), masked=True, **settings)


def let_in(gate, liar=None, order=CLIENTS):
    """Let the clients of an ordinary round in, one of them with lies."""
    seen = a_round()
    for client in order:
        row = client - CLIENTS[0]
        honest = {
            "update": seen.updates[row], "size": int(seen.sizes[row]), "moments": MOMENTS * client,
            "mask": seen.masks[row],
        }  # fmt: skip
        lies = (liar or {}) if client == LIAR else {}
        assert gate.take(client, **{**honest, **lies}) in (True, False)
    return gate


def spoilt(value):
    wrong = a_round().updates[4].clone()
    wrong[17] = value
    return wrong


UPDATE = a_round().updates[4]
LEFT_OUT = {
    "NaN": ({"update": spoilt(NAN)}, "1 numbers that are not finite"),
    "infinity": ({"update": spoilt(-INF)}, "not finite"),
    "longer": ({"update": torch.zeros(P + 1)}, r"shape \[58\].*shape \[59\]"),
    "another shape": ({"update": UPDATE.view(2, 29)}, r"shape \[2, 29\]"),
    "empty": ({"update": torch.zeros(0)}, r"shape \[0\]"),
    "another type": ({"update": UPDATE.double()}, "found torch.float64"),
    "integers": ({"update": torch.zeros(P, dtype=torch.int64)}, "found torch.int64"),
    "complex": ({"update": UPDATE.to(torch.complex64)}, "found torch.complex64"),
    "no tensor": ({"update": [0.0] * P}, "as a tensor, found list"),
    "nothing": ({"update": None}, "found NoneType"),
    "sparse": ({"update": UPDATE.to_sparse()}, "dense tensor"),
    "without numbers": ({"update": torch.empty(P, device="meta")}, "in memory"),
    "no examples": ({"size": 0}, "1 or more, found 0"),
    "fewer than none": ({"size": -1}, "found -1"),
    "NaN examples": ({"size": NAN}, "found nan"),
    "examples in words": ({"size": "1000" * 99}, "found '1000"),
    "true examples": ({"size": True}, "found True"),
    "NaN moments": ({"moments": MOMENTS * NAN}, "running moments holds 12"),
    "negative variance": ({"moments": -MOMENTS}, "running_var holds a variance below 0"),
    "no moments": ({"moments": None}, "running moments as a tensor"),
    "no mask": ({"mask": None}, "mask as a tensor"),
    "a mask of numbers": ({"mask": torch.ones(P)}, "found torch.float32"),
    "a longer mask": ({"mask": torch.ones(P + 1, dtype=torch.bool)}, "shape"),
}
BOUNDED = {"a thousand million": 1e9, "a whole one": 10**400, "infinitely many": INF, "more": 61}


@pytest.mark.parametrize("name", LEFT_OUT)
def test_nonsense_is_left_out_and_named(name):
    liar, why = LEFT_OUT[name]
    gate = let_in(door(), liar)
    seen = gate.round(0)
    assert [each.client for each in gate.refused] == [LIAR]
    with pytest.raises(AssertionError, match=why):
        raise AssertionError(gate.refused[0].why)
    assert len(gate.refused[0].why) < 200 and not gate.bounded
    honest = [row for row, client in enumerate(CLIENTS) if client != LIAR]
    assert torch.equal(seen.updates, a_round().updates[honest])
    assert torch.equal(seen.masks, a_round().masks[honest])
    assert LIAR not in seen.ids.tolist() and gate.count == len(seen.ids) == 10


@pytest.mark.parametrize("name", BOUNDED)
def test_a_claim_of_many_examples_is_bounded_to_what_was_granted_and_named(name):
    gate = let_in(door(), {"size": BOUNDED[name]})
    assert gate.round(0).sizes[LIAR - CLIENTS[0]] == 60
    assert [each.client for each in gate.bounded] == [LIAR]
    assert "counts as 60" in gate.bounded[0].why and len(gate.bounded[0].why) < 200


@pytest.mark.parametrize("rule", every(Aggregator).values(), ids=lambda rule: rule.name())
def test_the_round_goes_on_under_every_aggregator_whatever_one_client_sends(rule):
    method = rule()

    def step(liar):
        return method.aggregate(method.init(P), whole(let_in(door(), liar))).step

    without, bounded = step({"update": None}), step({"size": 60})
    for name, (liar, _) in LEFT_OUT.items():
        assert torch.equal(step(liar), without), name
    for name, size in BOUNDED.items():
        assert torch.equal(step({"size": size}), bounded), name


def whole(gate):
    """The round of a door, with the rest of what any aggregator may need."""
    rest = a_round()
    return gate.round(0, seed=7, root=rest.root, answers=rest.answers)


def test_the_order_in_which_clients_answer_makes_no_difference():
    forth, back = let_in(door()).round(0), let_in(door(), order=reversed(CLIENTS)).round(0)
    for name in ("updates", "sizes", "ids", "masks"):
        assert torch.equal(getattr(forth, name), getattr(back, name)), name


def test_who_was_not_asked_answers_twice_or_comes_late_is_left_out():
    gate = door()
    full = torch.ones(P, dtype=torch.bool)
    sent = {"update": UPDATE, "size": 1, "moments": MOMENTS, "mask": full}
    assert gate.take(LIAR, **sent)
    assert not gate.take(LIAR, **{**sent, "update": -UPDATE})
    assert not gate.take(7, **sent)
    assert torch.equal(gate.round(0).updates, UPDATE[None])
    assert torch.equal(gate.round(0).updates, UPDATE[None]), "a round is made once"
    assert not gate.take(100, **sent)
    assert [each.why for each in gate.refused] == [
        "it has answered already; its first answer counts", "it was not asked in this round",
        "it is late",
    ]  # fmt: skip


def test_a_mask_of_more_numbers_than_are_granted_is_left_out():
    gate = let_in(door(mask_size=50), {"mask": torch.ones(P, dtype=torch.bool)})
    assert [each.client for each in gate.refused] == [LIAR]
    assert gate.refused[0].why == "the mask holds 58 numbers, expected at most 50"


def test_running_moments_are_the_mean_of_those_that_were_kept():
    gate = door()
    for client, size, value in [(100, 10, 1.0), (101, 30, 2.0), (102, 60, 50.0)]:
        gate.take(client, UPDATE, size, value * MOMENTS, torch.ones(P, dtype=torch.bool))
    assert torch.equal(gate.mean_moments(torch.tensor([1.0, 0.5, 0.0])), 1.75 * MOMENTS)
    assert torch.allclose(gate.mean_moments(), (10 + 60 + 3000) / 100 * MOMENTS)
    assert torch.equal(gate.mean_moments(torch.zeros(3)), gate.mean_moments()), "all left out"


def trained(**changes):
    model = Toy()
    with torch.no_grad():
        for value in model.parameters():
            value.fill_(2.0)
    kept = {k: v for k, v in model.state_dict().items() if not k.endswith("tracked")}
    kept |= changes
    return {key: value for key, value in kept.items() if value is not None}


NAMED = {
    "another key": (trained(other=torch.zeros(1)), r"0 are absent.*1 are others \(\['other'\]\)"),
    "an integer key": ({**trained(), 7: torch.zeros(1)}, r"others \(\[7\]\)"),
    "a key is absent": (trained(**{"head.bias": None}), r"1 are absent \(\['head.bias'\]\)"),
    "a shape": (trained(**{"head.bias": torch.zeros(4, 1)}), r"head.bias.*found.*\[4, 1\]"),
    "a type": (trained(**{"head.bias": torch.zeros(4).half()}), r"head.bias.*found torch.float16"),
    "not finite": (trained(**{"head.bias": torch.full((4,), INF)}), "head.bias holds 4 numbers"),
    "no tensor": (trained(**{"head.bias": 3}), "head.bias as a tensor, found int"),
    "no names": ([torch.zeros(P)], "tensors by name, found list"),
}


@pytest.mark.parametrize("name", NAMED)
def test_tensors_by_name_are_checked_one_by_one(name):
    state, why = NAMED[name]
    gate = Intake(FORM, {1: 5, 2: 5})
    assert gate.take_state(1, trained(), 5, torch.ones(P))
    assert not gate.take_state(2, state, 5, torch.ones(P))
    assert torch.equal(gate.round(0).updates, torch.ones(1, P))
    with pytest.raises(AssertionError, match=why):
        raise AssertionError(gate.refused[0].why)


def test_a_door_without_clients_or_with_none_of_their_examples_is_refused():
    for granted in ({}, {3: 0}):
        with pytest.raises(MethodError, match="one client or more"):
            Intake(FORM, granted)
