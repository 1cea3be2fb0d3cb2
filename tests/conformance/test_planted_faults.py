"""The conformance checks themselves: each fault that is planted here must be caught."""

from dataclasses import dataclass

import pytest
import torch

from conformance import test_attack, test_detector, test_trigger
from conformance.worlds import labelled
from mithridate.core.data import Poisoned, Truth
from mithridate.core.errors import ContractError
from mithridate.core.method import Attack, Detector, Trigger

FOUND = (AssertionError, ContractError, pytest.fail.Exception)
DOMAIN = "image"


@dataclass(frozen=True)
class Planted(Detector):
    """Score by the distance from the mean, with room for one fault."""

    paper = "nobody, never"
    assumes = "nothing that anybody would believe"

    fault: str = ""

    def fit(self, view):
        if self.fault == "state":
            return {"mean": [0.0]}
        return {"mean": view.features.mean(0)}

    def score(self, state, view):
        scores = (view.features - torch.as_tensor(state["mean"])).norm(dim=1)
        return FAULTS.get(self.fault, lambda scores, _: scores)(scores, (state, view))


def with_a_hole(scores, _):
    scores[3] = float("nan")
    return scores


def after_changing(value):
    """Answer honestly, but change what was handed over."""

    def answer(scores, given):
        state, view = given
        (view.features if value == "view" else state["mean"]).add_(1.0)
        return scores

    return answer


FAULTS = {
    "nan": with_a_hole,
    "shape": lambda scores, _: scores[:, None],
    "short": lambda scores, _: scores[1:],
    "random": lambda scores, _: scores + torch.rand(len(scores)),
    "position": lambda scores, _: scores + torch.arange(len(scores)),
    "batch": lambda scores, _: scores - scores.mean(),
    "overflow": lambda scores, _: scores**8,
    "mutates": after_changing("view"),
    "state changes": after_changing("state"),
}


CHECKS = {
    "nan": test_detector.test_it_gives_one_finite_score_for_each_example,
    "shape": test_detector.test_it_gives_one_finite_score_for_each_example,
    "short": test_detector.test_it_gives_one_finite_score_for_each_example,
    "random": test_detector.test_the_same_view_gives_the_same_scores,
    "position": test_detector.test_the_order_of_the_examples_does_not_matter,
    "batch": test_detector.test_a_score_does_not_depend_on_the_others_that_are_scored,
    "mutates": test_detector.test_nothing_that_it_is_shown_is_changed,
    "state": test_detector.test_what_was_fitted_scores_other_examples,
    "state changes": test_detector.test_what_was_fitted_scores_other_examples,
}


@pytest.fixture(scope="module")
def worlds():
    return {DOMAIN: test_detector.World(DOMAIN, labelled(DOMAIN, 3, copies=3))}


@pytest.mark.parametrize("fault", CHECKS)
def test_a_faulty_detector_is_caught(fault, worlds):
    CHECKS[fault](DOMAIN, Planted(), worlds)
    with pytest.raises(FOUND):
        CHECKS[fault](DOMAIN, Planted(fault), worlds)


def test_a_detector_that_overflows_is_caught(worlds):
    test_detector.test_it_survives_evidence_of_any_size(DOMAIN, Planted(), worlds, 1e6)
    with pytest.raises(FOUND):
        test_detector.test_it_survives_evidence_of_any_size(
            DOMAIN, Planted("overflow"), worlds, 1e6
        )


@dataclass(frozen=True)
class Stamp(Trigger):
    """Invert the first row, with room for one fault."""

    fault: str = ""

    def __call__(self, inputs, rng):
        stamped = inputs if self.fault == "in place" else inputs.clone()
        if self.fault == "global":
            stamped[:, :, 1:2] = torch.randint(256, stamped[:, :, 1:2].shape).byte()
        if self.fault != "nothing":
            stamped[:, :, 0] = 255 - stamped[:, :, 0]
        return stamped.float() if self.fault == "type" else stamped


TRIGGER_CHECKS = {
    "in place": test_trigger.test_it_leaves_its_argument_untouched,
    "global": test_trigger.test_the_stream_decides_everything,
    "nothing": test_trigger.test_it_changes_every_ordinary_input_and_keeps_its_form,
    "type": test_trigger.test_it_changes_every_ordinary_input_and_keeps_its_form,
}


@pytest.mark.parametrize("fault", TRIGGER_CHECKS)
def test_a_faulty_trigger_is_caught(fault, monkeypatch):
    ordinary = {DOMAIN: test_trigger.ORDINARY[DOMAIN].clone()}
    monkeypatch.setattr(test_trigger, "ORDINARY", ordinary)
    TRIGGER_CHECKS[fault](DOMAIN, Stamp())
    with pytest.raises(FOUND):
        TRIGGER_CHECKS[fault](DOMAIN, Stamp(fault))


@dataclass(frozen=True)
class Relabel(Attack):
    """Stamp and relabel the first five of class 1 as 0, with room for one fault."""

    fault: str = ""

    def poison(self, data, rng, state=None):
        poisoned = torch.zeros(len(data), dtype=torch.bool)
        poisoned[(data.labels == 1).nonzero().flatten()[:5]] = True
        inputs, labels, before = data.inputs.clone(), data.labels.clone(), data.labels.clone()
        inputs[poisoned] = Stamp()(inputs[poisoned], rng)
        labels[poisoned] = 2 if self.fault == "wants another label" else 0
        if self.fault == "unmarked":
            inputs[-1] = 255 - inputs[-1]
        if self.fault == "truth":
            before = labels
        if self.fault == "in place":
            data.labels.copy_(labels)
        changed = type(data)(inputs, labels, data.ids, data.classes)
        return Poisoned(changed, Truth(poisoned, torch.zeros_like(poisoned), before))

    def triggered_test(self, data, rng, state=None):
        rows = data.subset(data.labels <= 1 if self.fault == "counts target" else data.labels == 1)
        stamped = rows.with_inputs(Stamp()(rows.inputs, rng))
        return type(rows)(stamped.inputs, torch.zeros_like(rows.labels), rows.ids, rows.classes)


ATTACK_CHECKS = {
    "wants another label": test_attack.test_training_and_trap_want_the_same_labels,
    "unmarked": test_attack.test_the_truth_says_what_was_done,
    "truth": test_attack.test_the_truth_says_what_was_done,
    "in place": test_attack.test_the_argument_is_left_untouched,
    "counts target": test_attack.test_the_trap_holds_only_what_the_attacker_wants_changed,
}


@pytest.mark.parametrize("fault", ATTACK_CHECKS)
def test_a_faulty_attack_is_caught(fault):
    ATTACK_CHECKS[fault](DOMAIN, Relabel())
    with pytest.raises(FOUND):
        ATTACK_CHECKS[fault](DOMAIN, Relabel(fault))
