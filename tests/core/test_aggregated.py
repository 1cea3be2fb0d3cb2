"""The framework refuses malformed rounds and answers that break the contract of aggregators."""

import random
from dataclasses import dataclass
from functools import partial

import pytest
import torch

from conformance import test_aggregator
from conformance.rounds import P, a_round
from mithridate.core.errors import ContractError
from mithridate.core.federated import Aggregated, Aggregator

NAN = float("nan")
SEEN = a_round()
MALFORMED = {
    "no clients": ({"updates": SEEN.updates[:0]}, "one client or more"),
    "no parameters": ({"updates": SEEN.updates[:, :0]}, "one client or more"),
    "weights in float64": ({"updates": SEEN.updates.double()}, r"updates.*float32\[11, 58\]"),
    "a NaN": ({"updates": SEEN.updates.clone().fill_(NAN)}, "updates of a round must be finite"),
    "sizes short": ({"sizes": SEEN.sizes[1:]}, r"sizes.*float32\[11\].*\[10\]"),
    "a size of 0": ({"sizes": SEEN.sizes * 0}, "sizes above 0"),
    "an endless size": ({"sizes": SEEN.sizes / 0}, "sizes of a round must be finite"),
    "a client twice": ({"ids": SEEN.ids // 2}, "each client once"),
    "ids in float": ({"ids": SEEN.ids.float()}, "ids of a round as torch.int64"),
    "masks of numbers": ({"masks": SEEN.updates}, "masks of a round as torch.bool"),
    "a root of another model": ({"root": SEEN.root[1:]}, r"root.*\[58\].*\[57\]"),
}


@dataclass(frozen=True)
class Planted(Aggregator):
    """Average, with room for one fault.

    Attributes:
        fault: what is wrong.
    """

    paper = "nobody, never"
    assumes = "nothing that anybody would believe"

    fault: str = ""

    def step(self, state, seen):
        mean = seen.updates.double().mean(0).float()
        if self.fault in FAULTS:
            return FAULTS[self.fault](mean, seen)
        return Aggregated(mean, state, torch.ones(len(seen.ids)))


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_round_is_refused(name):
    changes, why = MALFORMED[name]
    with pytest.raises(ContractError, match=why):
        Planted().aggregate({}, SEEN._replace(**changes))


def changed(value):
    def answer(mean, seen):
        getattr(seen, value)[0] += 1
        return Aggregated(mean, {})

    return answer


ONES = torch.ones(11)
FAULTS = {
    "a tensor": lambda mean, seen: mean,
    "step in float64": lambda mean, seen: Aggregated(mean.double(), {}),
    "step of weights": lambda mean, seen: Aggregated(seen.updates, {}),
    "step with a NaN": lambda mean, seen: Aggregated(mean * NAN, {}),
    "trust above 1": lambda mean, seen: Aggregated(mean, {}, 2 * ONES),
    "trust of one": lambda mean, seen: Aggregated(mean, {}, ONES[:1]),
    "suspicion in float32": lambda mean, seen: Aggregated(mean, {}, None, ONES),
    "state of lists": lambda mean, seen: Aggregated(mean, {"ids": [1]}),
    "first": lambda mean, seen: Aggregated(seen.updates[0].clone(), {}),
    "trust by place": lambda mean, seen: Aggregated(mean, {}, torch.linspace(0, 1, len(seen.ids))),
    "random": lambda mean, seen: Aggregated(mean + torch.rand(P), {}),
    "in place": changed("updates"),
    "sizes in place": changed("sizes"),
    "curved": lambda mean, seen: Aggregated(mean.tanh(), {}),
    "adrift": lambda mean, seen: Aggregated(mean * 0.9, {}),
    "overflow": lambda mean, seen: Aggregated((seen.updates**4).mean(0), {}),
}
SEEN_BY_THE_FRAMEWORK = [*FAULTS][:8]


@pytest.mark.parametrize("fault", SEEN_BY_THE_FRAMEWORK)
def test_an_answer_that_breaks_the_contract_is_refused(fault):
    with pytest.raises(ContractError, match="planted"):
        Planted(fault).aggregate({}, SEEN)


def in_one_round(test, **given):
    """A test over rounds of every kind, for one of them: what fails need not be made small."""
    return partial(test.hypothesis.inner_test, seen=a_round(outlier=2.0), **given)


ORDER = in_one_round(
    test_aggregator.test_the_order_of_the_clients_moves_their_trust_and_not_the_step,
    draws=random.Random(0),
)
LAWS = in_one_round(test_aggregator.test_it_keeps_the_laws_that_it_says_it_obeys, times=8.0)
CHECKS = {
    "first": ORDER,
    "trust by place": ORDER,
    "random":
        test_aggregator.test_the_same_round_gives_the_same_bits_and_no_global_randomness_is_used,
    "in place": test_aggregator.test_nothing_that_it_is_shown_is_changed,
    "sizes in place": test_aggregator.test_nothing_that_it_is_shown_is_changed,
    "curved": LAWS,
    "adrift": LAWS,
}  # fmt: skip


@pytest.mark.parametrize("fault", CHECKS)
def test_the_conformance_tests_see_a_faulty_aggregator(fault):
    CHECKS[fault](rule=Planted())
    with pytest.raises((AssertionError, ContractError)):
        CHECKS[fault](rule=Planted(fault))


def test_the_conformance_tests_see_one_that_overflows():
    test_aggregator.test_it_survives_updates_of_any_size(Planted(), 1e30)
    with pytest.raises(ContractError):
        test_aggregator.test_it_survives_updates_of_any_size(Planted("overflow"), 1e30)
