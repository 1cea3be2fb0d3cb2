"""A cell becomes a chain of steps, and cells share what they can."""

from collections import Counter
from dataclasses import dataclass, replace
from typing import ClassVar

import pytest

from bench.planted_defences import Dial
from mithridate.attacks.feature_matching import FeatureMatching
from mithridate.attacks.poisoning import Poisoning
from mithridate.bench.cell import Rules, Task, grid, neighbouring, set_poison_rate
from mithridate.bench.chain import build_chain
from mithridate.bench.plan import make_plan
from mithridate.bench.steps.detect import Detect
from mithridate.bench.steps.filtering import Filter
from mithridate.bench.steps.gate import Gate
from mithridate.bench.steps.poison import Poison
from mithridate.bench.steps.repaired import Repaired
from mithridate.bench.steps.retrain import Retrain
from mithridate.bench.steps.stealth import Stealth
from mithridate.bench.steps.train import Train
from mithridate.core.errors import MethodError
from mithridate.core.fit import TrainingConfig
from mithridate.core.method import Attack
from mithridate.detectors.controls import Constant
from mithridate.detectors.early_loss import EarlyLoss
from mithridate.domains.image.triggers import PatchTrigger
from mithridate.repairs.controls import DoNothing
from mithridate.trainers.standard import Standard

TASK = Task("digits", 900, None, TrainingConfig(epochs=3))
PATCH = Poisoning(PatchTrigger(size=2, row=-2, column=-2))
OTHER = Poisoning(PatchTrigger(size=1, row=0, column=0))


def small(attacks=None, defences=None, **axes):
    attacks = {"badnets": PATCH} if attacks is None else attacks
    defences = {"early": EarlyLoss()} if defences is None else defences
    return grid({"digits": TASK}, attacks, defences, **{"rates": (0.1,), "seeds": (0,), **axes})


def one(name, cells=None, **axes):
    found = [c for c in cells or small(**axes) if c.names[2] == name]
    assert len(found) == 1
    return found[0]


def kinds(step):
    found, queue = {}, [step]
    while queue:
        here = queue.pop()
        if here.key not in found:
            found[here.key] = here
            queue += here.parents
    return Counter(type(s) for s in found.values())


def test_a_grid_crosses_its_axes_and_adds_the_controls_to_each_table():
    cells = small(
        {"a": PATCH, "b": OTHER}, {"x": EarlyLoss(), "y": Constant()}, rates=(0.0, 0.1),
        trusted=(100, 200), seeds=(0, 1, 2), networks=("", "vgg"), precisions=("bf16", "fp32"),
    )  # fmt: skip
    assert len(cells) == 2 * (2 + 4) * 2 * 2 * 3 * 2 * 2
    assert Counter(c.role for c in cells) == {"control": 384, "defence": 192}
    controls = {c.names[2] for c in cells if c.role == "control"}
    assert controls == {"none", "random-filter", "perfect-filter", "do-nothing"}
    assert len({c.names for c in cells}) == 2 * 6
    assert len({build_chain(c).key for c in cells[::7]}) == len(cells[::7])


def test_tuning_is_asked_of_what_can_be_tuned():
    rules = Rules(probe=PATCH)
    cells = small(
        None, {"early": EarlyLoss(), "constant": Constant()}, rules=rules,
        tunings=("default", "granted", "oracle"),
    )  # fmt: skip
    tunings = {name: [c.tuning for c in cells if c.names[2] == name] for name in ("early", "none")}
    assert tunings == {"early": ["default", "granted", "oracle"], "none": ["default"]}
    assert [c.tuning for c in cells if c.names[2] == "constant"] == ["default"]


def test_neighbours_differ_in_one_setting_by_one_step():
    near = neighbouring(Dial(turn="corners", size=1))
    assert near == [
        Dial("nothing", 1), Dial("opposite", 1), Dial("corners", 2),
    ]  # fmt: skip
    assert neighbouring(Constant()) == []
    cells = small(None, {"dial": Dial("corners", 1)}, neighbours=True)
    found = [c for c in cells if c.role == "neighbour"]
    assert [c.defence for c in found] == near and {c.names[2] for c in found} == {"dial"}
    assert len({build_chain(c).key for c in found}) == 3


def test_settings_outside_the_space_have_no_neighbours_and_a_clear_error():
    with pytest.raises(MethodError, match="epochs=4"):
        neighbouring(EarlyLoss(epochs=4))


def test_the_rate_is_set_wherever_the_attack_keeps_it():
    assert set_poison_rate(PATCH, 0.07).selection.poison_rate == 0.07
    assert (
        set_poison_rate(PATCH, 0.07).trigger == PATCH.trigger
        and PATCH.selection.poison_rate == 0.01
    )

    @dataclass(frozen=True)
    class Wrapping(Attack):
        attack: Attack

    assert set_poison_rate(Wrapping(PATCH), 0.2).attack.selection.poison_rate == 0.2

    @dataclass(frozen=True)
    class Fixed(Attack):
        space: ClassVar = {}

    with pytest.raises(MethodError, match="Fixed has no poison rate"):
        set_poison_rate(Fixed(), 0.2)


def test_a_share_that_the_selection_takes_for_a_number_is_refused():
    with pytest.raises(MethodError):
        set_poison_rate(PATCH, 1.0)


def test_defences_share_all_up_to_the_trained_network():
    cells = small(None, {"early": EarlyLoss(), "constant": Constant()})
    ends = {c.names[2]: build_chain(c) for c in cells}
    assert len({end.undefended.key for end in ends.values()}) == 1
    assert len({end.poison.key for end in ends.values()}) == 1
    detects = [ends[name].finder for name in ("early", "constant")]
    assert detects[0].evidence.key == detects[1].evidence.key
    assert detects[0].key != detects[1].key
    plan = make_plan(cells)
    counts = Counter(type(step) for step in plan.steps)
    assert counts[Train] == 2, "the attacked network and its clean twin"
    assert counts[Retrain] == 4 and counts[Detect] == 2 and counts[Filter] == 2
    assert counts[Repaired] == 1 and counts[Gate] == 1 and counts[Stealth] == 1


def test_attacks_share_their_clean_twin_and_all_that_is_done_without_poison():
    plan = make_plan(small({"a": PATCH, "b": OTHER}, rates=(0.0, 0.1)))
    counts = Counter(type(step) for step in plan.steps)
    assert counts[Poison] == 3 and counts[Train] == 3
    finders = {end.finder.key for end in plan.ends if not end.gate and end.finder}
    assert len(finders) == 3, "early, random and perfect, for both attacks alike"


def test_every_kind_of_defence_has_its_chain():
    def ends_in(defence):
        return build_chain(replace(one("none"), defence=defence))

    none = build_chain(one("none"))
    assert none.defended == none.undefended and none.finder is None
    assert isinstance(none.gate, Gate) and isinstance(none.stealth, Stealth)
    detector = ends_in(EarlyLoss())
    assert isinstance(detector.defended.model, Retrain) and isinstance(detector.finder, Detect)
    assert detector.finder.gate == detector.gate == none.gate and detector.stealth is None
    repair = ends_in(DoNothing())
    assert isinstance(repair.defended.model, Repaired) and repair.finder is None
    assert repair.defended.model.gate == none.gate
    trainer = ends_in(Standard(TrainingConfig(epochs=1)))
    assert isinstance(trainer.defended.model, Train) and trainer.defended.model.gate == none.gate
    assert trainer.defended.model.trainer.training.epochs == 1


def test_a_training_attacker_trains_the_victim_and_never_the_defender():
    attack = FeatureMatching(PATCH)
    cell = replace(one("none"), attack=attack)
    none = build_chain(cell)
    assert none.undefended.model.attacker == set_poison_rate(attack, 0.1)
    assert none.stealth.twin.attacker is None
    robust = build_chain(replace(cell, defence=Standard(TrainingConfig(epochs=1))))
    assert robust.defended.model.attacker is None


def test_without_poison_there_is_no_gate_and_no_stealth():
    end = build_chain(one("none", rates=(0.0,)))
    assert end.gate is None and end.stealth is None and end.poison.attack is None
    assert kinds(end)[Train] == 1


def test_what_the_cell_says_is_in_its_record():
    cell = one("early", seeds=(4,), trusted=(123,), precisions=("fp32",))
    axes = dict(build_chain(cell).cell)
    assert axes == {
        "domain": "image", "task": "digits", "attack": "badnets", "rate": 0.1, "defence": "early",
        "network": "default", "precision": "fp32", "trusted": 123, "seed": 4,
        "tuning": "default", "role": "defence",
    }  # fmt: skip
    unnamed = dict(build_chain(replace(cell, names=("", "", ""))).cell)
    names = (unnamed["task"], unnamed["attack"], unnamed["defence"])
    assert names == ("digits", "poisoning", "early-loss")
    described = dict(build_chain(cell).described)
    assert described["task"]["train"] == 900 and described["defence"]["epochs"] == 5
    assert described["rules"]["min_asr"] == 0.5 and described["attack"]["trigger"]["size"] == 2


@pytest.mark.parametrize(
    "change, same",
    [
        ({"names": ("a", "b", "c")}, True),
        ({"role": "neighbour"}, True),
        ({"seed": 1}, False),
        ({"trusted": 99}, False),
        ({"poison_rate": 0.2}, False),
        ({"precision": "fp32"}, False),
        ({"network": "vgg"}, False),
        ({"rules": Rules(min_asr=0.4)}, False),
        ({"attack": OTHER}, False),
        ({"task": replace(TASK, training=TrainingConfig(epochs=4))}, False),
    ],
)
def test_names_change_the_record_and_all_else_changes_what_is_computed(change, same):
    cell = one("early")
    first, second = build_chain(cell), build_chain(replace(cell, **change))
    assert first.key != second.key
    assert (first.defended.key == second.defended.key) is same
    assert first.poison.seed == cell.seed


def test_a_threshold_of_the_gate_retrains_nothing_that_is_not_gated():
    cell = one("none")
    first, second = build_chain(cell), build_chain(replace(cell, rules=Rules(min_asr=0.4)))
    assert first.undefended.key == second.undefended.key and first.gate.key != second.gate.key
