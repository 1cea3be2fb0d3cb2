"""Scanners and guards take part in a sweep: planted ones get the figures that they deserve."""

import pytest
import torch

from bench import planted
from bench.conftest import Swept
from bench.planted_guards import Bright, Deaf, Pressing
from mithridate.bench.cell import Guard, grid
from mithridate.bench.metrics.evaluate import guarding, suspicion


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    defences = {
        "pressing": Pressing(), "elsewhere": Pressing(2), "deaf": Deaf(),
        "bright": Guard(Bright()), "blind": Guard(Bright(sees=False)),
    }  # fmt: skip
    cells = grid(
        {"digits": planted.TASK}, {"badnets": planted.PATCH}, defences,
        rates=(0.0, planted.RATE, planted.WEAK), trusted=(planted.TRUSTED,), seeds=(0,),
    )  # fmt: skip
    kept = [c for c in cells if c.names[2] in defences or c.defence == "none"]
    return Swept(kept, tmp_path_factory.mktemp("asked"))


def test_a_scanner_that_finds_the_trigger_ranks_the_wanted_class_first(asked):
    found = asked("pressing")
    assert found.status == "done"
    assert found.value("target_rank") == 1
    assert found.value("target_gap") > 10
    assert len(found.per_class["suspicion"]) == 10
    assert set(found.evidence) == {"clean", "queries"}
    assert asked("elsewhere").value("target_gap") < found.value("target_gap")


def test_of_a_clean_network_only_the_scores_are_kept(asked):
    found = asked("pressing", rate=0.0)
    assert found.status == "done"
    assert len(found.per_class["suspicion"]) == 10
    assert "target_rank" not in found.metrics


def test_who_cannot_judge_is_skipped_with_the_reason_and_not_called_clean(asked):
    assert asked("deaf").status == "skipped"
    assert "cannot judge: this planted scanner" in asked("deaf").why


def test_nothing_is_said_about_an_attack_that_did_not_take(asked):
    for name in ("pressing", "bright"):
        assert asked(name, rate=planted.WEAK).status == "void"


def test_the_network_stays_as_it_is(asked):
    for name in ("pressing", "bright"):
        assert asked(name).value("asr") == asked("none").value("asr")
        assert asked(name).value("accuracy") == asked("none").value("accuracy")


def test_a_guard_that_sees_the_trigger_catches_it_and_a_blind_one_does_not(asked):
    found, blind = asked("bright"), asked("blind")
    assert found.value("auroc") > 0.99
    assert found.value("caught") > 0.95
    assert blind.value("auroc") == 0.5
    assert blind.value("caught") == blind.value("false_alarms") == 0
    assert found.metrics["false_alarms"].low <= 0.05


def test_the_false_alarms_of_a_guard_are_counted_on_the_clean_twin_too(asked):
    found = asked("bright", rate=0.0)
    assert found.metrics["false_alarms"].low <= 0.05
    assert "auroc" not in found.metrics


def test_the_cost_is_that_of_the_scan(asked):
    assert asked("pressing").cost["forward"] == 2 * planted.TRUSTED
    assert asked("pressing").cost["clean_samples"] == planted.TRUSTED


def test_the_rank_of_the_wanted_class_by_hand():
    scores = torch.tensor([1.0, 2.0, 3.0, 9.0, 2.0])
    found = suspicion(scores, torch.tensor([3, 3]))
    assert found["target_rank"].value == 1
    assert found["target_gap"].value == pytest.approx((9 - 2) / (1.4826 * 0.5))
    assert suspicion(scores, torch.tensor([0]))["target_rank"].value == 5
    assert suspicion(torch.tensor([1.0]), torch.tensor([0])) == {}


def test_the_figures_of_a_guard_by_hand():
    clean, under = torch.arange(20.0), torch.tensor([30.0, 5.5])
    found = guarding(clean, under, clean > 18, under > 18)
    assert found["auroc"].value == pytest.approx((20 + 6) / 40)
    assert found["tpr_5"].value == 0.5
    assert found["false_alarms"].value == 0.05
    assert found["caught"].value == 0.5
