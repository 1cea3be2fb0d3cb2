"""Tuning: every defence may try as many settings, on what it has, or on the truth by that name."""

import json
from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
import torch

from bench.planted import PROBE, RATE
from bench.planted_defences import Dial
from mithridate.bench.cell import Rules
from mithridate.bench.chain import build_chain
from mithridate.bench.execute import Workbench
from mithridate.bench.step import Output
from mithridate.bench.steps import suspects as suspects_module
from mithridate.bench.steps import train as train_module
from mithridate.bench.steps import tune as tune_module
from mithridate.bench.steps.evidence import view_of
from mithridate.bench.steps.gate import Gate
from mithridate.bench.steps.outcome import Outcome, Trap
from mithridate.bench.steps.tune import OracleTune, Tune, candidates, plant_examples
from mithridate.core.errors import MethodError
from mithridate.core.method import Detector
from mithridate.detectors.activation_clustering import ActivationClustering
from mithridate.detectors.controls import Constant
from mithridate.detectors.spectral_signatures import SpectralSignatures
from mithridate.stats.ranking import auroc


@dataclass(frozen=True)
class Wide(Detector):
    """Many settings."""

    space: ClassVar = {"a": tuple(range(10)), "b": tuple(range(10))}

    a: int = 3
    b: int = 4

    def fit(self, view):
        return {}

    def score(self, state, view):
        return view.labels.double()


@dataclass(frozen=True)
class Narrow(Wide):
    """A few."""

    space: ClassVar = {"a": (0, 3)}


def test_the_own_settings_are_tried_first_and_no_setting_twice():
    for budget in (1, 2, 8, 99, 100, 1000):
        tried = candidates(Wide(), budget, 0)
        assert tried[0] == {"a": 3, "b": 4}
        assert len(tried) == min(budget, 100)
        assert len({tuple(settings.values()) for settings in tried}) == len(tried)


def test_every_detector_may_try_as_many_settings():
    assert len(candidates(Wide(), 8, 0)) == len(candidates(Dial(), 8, 0)) == 8
    assert len(candidates(Narrow(), 8, 0)) == 2, "unless it has fewer"
    assert candidates(Constant(), 8, 0) == [{}]


def test_own_settings_outside_the_space_are_tried_too():
    assert candidates(Wide(a=77), 3, 0)[0] == {"a": 77, "b": 4}
    assert len(candidates(Wide(a=77), 1000, 0)) == 101


def test_what_is_tried_depends_on_the_seed_and_not_on_how_often_one_asks():
    assert candidates(Wide(), 8, 0) == candidates(Wide(), 8, 0) != candidates(Wide(), 8, 1)
    first, second = candidates(Wide(), 4, 0), candidates(Wide(), 8, 0)
    assert second[:4] == first, "a larger budget tries the same and more"


@pytest.mark.parametrize("budget", [0, -1])
def test_a_budget_of_nothing_tries_nothing_else(budget):
    assert len(candidates(Wide(), budget, 0)) == 1


def test_the_default_is_kept_where_nothing_is_better(swept):
    end = swept.end("dial", tuning="granted")
    tune = replace(end.finder.detector, detector=Constant())
    facts = tune.run(Workbench(swept.store)).facts
    assert facts["tried"] == [{"settings": {}, "auroc": 0.5}]
    flat = replace(end.finder.detector, detector=Flat())
    tried = flat.run(Workbench(swept.store)).facts["tried"]
    assert {t["auroc"] for t in tried} == {0.5} and tried[0]["settings"] == {"level": 2}


@dataclass(frozen=True)
class Flat(Detector):
    """The same whatever is set."""

    space: ClassVar = {"level": (0, 1, 2, 3)}

    level: int = 2

    def fit(self, view):
        return {}

    def score(self, state, view):
        return torch.full((len(view.labels),), float(self.level))


def test_tuning_finds_the_setting_that_works_either_way(swept):
    for tuning in ("granted", "oracle"):
        end, record = swept.end("dial", tuning=tuning), swept("dial", tuning=tuning)
        tried = swept.store.facts(end.finder.detector.key)["tried"]
        assert len(tried) == 5 and tried[0]["settings"]["turn"] == "corners"
        assert {"turn": "nothing", "size": 2} in [t["settings"] for t in tried]
        areas = [t["auroc"] for t in tried]
        assert areas == sorted(areas, reverse=True)
        assert record.outcome == "secure" and record.value("auroc") > 0.99
    assert swept("dial").outcome == "open", "which its own setting does not"


def test_the_truth_is_used_only_where_the_record_says_oracle(swept):
    for record in swept.records:
        end = next(end for end in swept.plan.ends if end.key == record.key)
        kinds = {type(step) for step in ancestors(end)}
        assert (OracleTune in kinds) is (record.cell["tuning"] == "oracle")
        assert (Tune in kinds) is (record.cell["tuning"] == "granted")
        assert record.settings["tuning"] == record.cell["tuning"]


def ancestors(step):
    found, queue = {}, [step]
    while queue:
        here = queue.pop()
        if here.key not in found:
            found[here.key] = here
            queue += here.parents
    return list(found.values())


def test_tuning_never_hears_how_a_network_answered_test_data(swept):
    for tuning in ("granted", "oracle"):
        tune = swept.end("dial", tuning=tuning).finder.detector
        assert not [s for s in ancestors(tune) if isinstance(s, (Outcome, Trap, Gate))]
    finder = swept.end("dial", tuning="granted").finder
    assert not [s for s in ancestors(finder.evidence) if isinstance(s, (Outcome, Trap))]


def forbidden(*_):
    raise AssertionError("the truth was asked for")


class Blind(Workbench):
    """Gives no truth, not even in the bare output of the attack."""

    def output(self, step):
        found = super().output(step)
        kept = {n: t for n, t in found.tensors.items() if not n.startswith("truth")}
        return Output(kept, {k: v for k, v in found.facts.items() if k != "poisoned"})


def test_tuning_on_what_is_granted_never_touches_the_truth(swept, monkeypatch):
    for module in (suspects_module, train_module, tune_module):
        monkeypatch.setattr(module, "truth_about", forbidden)
    end = swept.end("dial", tuning="granted")
    tune, bench = end.finder.detector, Blind(swept.store)
    again = tune.evidence.train.run(bench)
    before = swept.store.output(tune.evidence.train.key)
    assert all(torch.equal(again.tensors[n], before.tensors[n]) for n in before.tensors)
    assert tune.run(bench).facts == swept.store.facts(tune.key)
    oracle = swept.end("dial", tuning="oracle").finder.detector
    with pytest.raises(AssertionError, match="the truth was asked for"):
        oracle.run(bench)


def test_the_oracle_needs_the_truth_and_says_what_it_found(swept):
    oracle = swept.end("dial", tuning="oracle").finder.detector
    bench = Workbench(swept.store)
    poison = oracle.evidence.train.poison
    truth, labels = suspects_module.truth_about(poison, bench), bench(poison).labels
    held = labels == 0
    assert set(labels[truth.poisoned].tolist()) == {0}
    for tried in swept.store.facts(oracle.key)["tried"]:
        scores = Dial(**tried["settings"]).judge(view_of(oracle.evidence, bench)).values
        expected = auroc(scores[: len(labels)][held], truth.poisoned[held])
        assert tried["auroc"] == pytest.approx(expected)


def test_the_planted_examples_are_trusted_ones_with_the_probers_trigger(swept):
    plant = swept.end("dial", tuning="granted").finder.detector.evidence.train.poison
    bench = Workbench(swept.store)
    split = bench(plant.data)
    made = plant_examples(plant, bench)
    assert len(made) == round(0.3 * len(split.trusted)) == 90
    rows = [split.trusted.ids.tolist().index(i) for i in made.ids.tolist()]
    sources = split.trusted.subset(rows)
    assert torch.equal(made.inputs, PROBE.trigger(sources.inputs, None))
    assert set(made.labels.tolist()) == {0} and 0 not in sources.labels.tolist()
    suspects, both = bench(plant.poison), bench(plant)
    assert torch.equal(both.inputs[: len(suspects)], suspects.inputs)
    assert torch.equal(both.labels[len(suspects) :], made.labels)


def test_too_few_trusted_examples_cannot_be_planted(swept):
    tune = swept.end("dial", tuning="granted").finder.detector
    plant = replace(tune.evidence.train.poison, share=0.99)
    with pytest.raises(MethodError, match=r"planting 297 examples.*more trusted examples"):
        plant_examples(plant, Workbench(swept.store))


def test_granted_tuning_needs_an_attack_to_plant(swept):
    cell = next(c for c in swept.plan.cells if c.tuning == "granted")
    with pytest.raises(MethodError, match="needs an attack to plant"):
        build_chain(replace(cell, rules=Rules()))


def test_the_chosen_settings_are_in_the_facts_of_the_detection(swept):
    for tuning, turn in (("default", "nothing"), ("granted", "corners"), ("oracle", "corners")):
        facts = swept.store.facts(swept.end("dial", tuning=tuning).finder.key)
        assert facts["detector"]["turn"] == turn
        assert json.dumps(facts["detector"])


def test_the_cost_of_tuning_is_that_of_the_defence(swept):
    granted, default = swept("dial", tuning="granted").cost, swept("corners").cost
    planted_training = 4 * (700 + 300 + 90)
    assert granted["backward"] - planted_training == pytest.approx(default["backward"], abs=200)


def test_the_own_settings_of_every_detector_lie_in_its_space():
    for detector in (SpectralSignatures(), ActivationClustering(), Dial()):
        for name, values in detector.space.items():
            assert getattr(detector, name) in values, (detector.name(), name)
    assert RATE
