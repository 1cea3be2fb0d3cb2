"""What an attacker learnt reaches the trap; weights are attacked; repairs are tuned and tested."""

from dataclasses import replace

import pytest

from bench import planted
from bench.conftest import Swept
from bench.planted_attacks import LEARNING, Bribe
from bench.planted_defences import Forgetting
from mithridate.bench.cell import Rules, grid
from mithridate.bench.chain import build_chain
from mithridate.bench.execute import Workbench
from mithridate.bench.metrics.comparing import worst_class
from mithridate.bench.step import Output
from mithridate.bench.steps.implant import Implant
from mithridate.bench.steps.learn import Learn
from mithridate.bench.steps.outcome import Trap
from mithridate.bench.steps.reacquire import measure_return
from mithridate.bench.steps.tune_repair import OracleRepair, TuneRepair
from mithridate.core.errors import MethodError
from mithridate.repairs.controls import DoNothing

RULES = Rules(probe=planted.PROBE, planted=0.3, reacquire=10, budget=2)


def swept_with(folder, begun, attacks, defences, **more):
    cells = grid(
        {"digits": planted.TASK}, attacks, defences, rates=(0.0, planted.RATE),
        trusted=(planted.TRUSTED,), seeds=(0,), networks=(planted.NETWORK,), rules=RULES, **more,
    )  # fmt: skip
    return Swept([c for c in cells if "filter" not in c.names[2]], folder, begun.store)


@pytest.fixture(scope="module")
def learning(swept, tmp_path_factory):
    tunings = ("default", "granted", "oracle")
    defences = {"forgetting": Forgetting()}
    folder = tmp_path_factory.mktemp("learning")
    return swept_with(folder, swept, {"learning": LEARNING}, defences, tunings=tunings)


@pytest.fixture(scope="module")
def bribed(swept, tmp_path_factory):
    defences = {"forgetting": Forgetting(True)}
    attacks = {"bribe": Bribe(planted.PATCH)}
    return swept_with(tmp_path_factory.mktemp("bribed"), swept, attacks, defences)


def ancestors(step):
    found, queue = {}, [step]
    while queue:
        here = queue.pop()
        if here.key not in found:
            found[here.key] = here
            queue += here.parents
    return list(found.values())


def test_what_was_learnt_is_stamped_on_training_and_test_data(learning):
    assert learning("none").value("asr") > 0.6
    assert learning("none", rate=0.0).value("asr") < 0.3
    traps = {s.key for end in learning.plan.ends for s in ancestors(end) if isinstance(s, Trap)}
    learns = {s.key for end in learning.plan.ends for s in ancestors(end) if isinstance(s, Learn)}
    assert len(learns) == len(traps) == 1, "one learning serves every rate and every defence"


def test_a_trap_without_what_was_learnt_is_refused(learning):
    triggered_test = next(s for s in ancestors(learning.end("none")) if isinstance(s, Trap))
    with pytest.raises(MethodError, match="must learn first"):
        replace(triggered_test, learnt=None).value(Output(), Workbench(learning.store))


def test_no_defence_depends_on_what_the_attacker_learnt_but_through_the_data(learning):
    repaired = learning.end("forgetting").defended.model
    assert [type(s).__name__ for s in repaired.parents] == ["Train", "Gate"]


def test_repairs_are_tuned_on_what_is_granted_or_on_the_truth_by_that_name(learning):
    assert learning("forgetting").outcome == "open", "its own setting does nothing"
    for tuning, kind in (("granted", TuneRepair), ("oracle", OracleRepair)):
        chosen = learning.end("forgetting", tuning=tuning).defended.model.repair
        assert type(chosen) is kind
        tried = learning.store.facts(chosen.key)["tried"]
        assert [t["settings"] for t in tried] == [{"forget": True}, {"forget": False}]
        assert learning("forgetting", tuning=tuning).value("asr") < 0.3


def test_tuning_a_repair_never_hears_of_test_data_or_the_trap(learning):
    chosen = learning.end("forgetting", tuning="granted").defended.model.repair
    kinds = {type(s) for s in ancestors(chosen)}
    assert Trap not in kinds and Learn in kinds, "the attacker's data, and not his trap"


def test_a_hidden_backdoor_returns_and_a_forgotten_one_is_learnt_anew(learning):
    kept = learning("do-nothing").metrics
    forgotten = learning("forgetting", tuning="oracle").metrics
    assert kept["reacquired_excess"].value > 0.5
    assert abs(forgotten["reacquired_excess"].value) < kept["reacquired_excess"].value / 2
    curves = learning("do-nothing").curves
    assert len(curves["reacquired"]) == len(curves["twin"]) == 4
    assert curves["reacquired"][0] == pytest.approx(learning("none").value("asr"), abs=1e-6)


def test_the_return_is_measured_against_the_clean_twin():
    mine, twin = Output(facts={"asr": [0.0, 0.5, 1.0]}), Output(facts={"asr": [0.1, 0.1, 0.2]})
    found = measure_return(mine, twin)
    assert found["reacquired_asr"].value == 1.0
    assert found["reacquired_twin_asr"].value == 0.2
    assert found["reacquired_excess"].value == pytest.approx(0.6)
    assert measure_return(mine, mine)["reacquired_excess"].value == 0.0


def test_attacked_weights_are_judged_and_repaired_like_any_network(bribed):
    assert bribed("none").value("asr") == 1.0
    assert bribed("none", rate=0.0).value("asr") < 0.3, "the clean twin has no bribe"
    assert bribed("forgetting").value("asr") < 0.3
    end = bribed.end("none")
    implants = [s for s in ancestors(end) if isinstance(s, Implant)]
    assert len(implants) == 1 and end.poison.attack is not None
    facts = bribed.store.facts(end.poison.key)
    assert facts["poisoned"] == facts["changed"] == 0, "a weights attacker changes no data"


def test_the_worst_class_is_told_beside_the_mean():
    before = Output(facts={"per_class": {"accuracy": [0.9, 0.8, None]}})
    after = Output(facts={"per_class": {"accuracy": [0.9, 0.3, 0.1]}})
    assert worst_class(before, after).value == pytest.approx(0.5)
    assert worst_class(before, before).value == 0.0


def test_doing_nothing_harms_no_class(learning):
    assert learning("do-nothing").value("worst_class_reduction") == 0.0


def test_a_repair_without_a_space_is_tuned_by_nobody():
    cells = grid(
        {"digits": planted.TASK}, {"badnets": planted.PATCH}, {"nothing": DoNothing()},
        rates=(planted.RATE,), trusted=(planted.TRUSTED,), seeds=(0,),
        tunings=("default", "oracle"), rules=RULES,
    )  # fmt: skip
    assert not [c for c in cells if c.tuning == "oracle"]
    assert not [s for c in cells for s in ancestors(build_chain(c)) if isinstance(s, OracleRepair)]
