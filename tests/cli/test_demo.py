"""`mithridate demo`, with a larger patch and a shorter training than its own."""

import dataclasses
import json

import pytest

from mithridate.cli.work import demo as demonstration
from mithridate.core.fit import TrainingConfig
from mithridate.detectors.simple_features import SimpleFeatures
from mithridate.detectors.spectral_signatures import SpectralSignatures
from mithridate.domains.image.triggers import PatchTrigger
from mithridate.stats.intervals import Interval


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """What one seed of the demonstration prints and writes."""
    out = tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as patch:
        quick = dataclasses.replace(
            demonstration.SCANNER,
            detectors=(SimpleFeatures(), SpectralSignatures()),
            training=TrainingConfig(epochs=8, batch_size=64),
            network="resnet9:8",
            permutations=199,
        )
        patch.setattr(demonstration, "SCANNER", quick)
        large = PatchTrigger(size=3, style="white")  # which so short a training learns
        for name in ("ATTACK", "CLEAN_TWIN"):
            attack = dataclasses.replace(getattr(demonstration, name), trigger=large)
            patch.setattr(demonstration, name, attack)
        lines = []
        patch.setattr(demonstration, "say", lines.append)
        patch.setattr(demonstration, "show", lambda table: lines.append(table))
        assert demonstration.run(out=out, seeds=1) == 0
    return out, lines


def test_the_poison_is_found_and_dropped_and_the_twin_is_not_accused(shown):
    out, _ = shown
    poisoned, twin = json.loads((out / "demo.json").read_text("utf-8"))["rows"]
    assert poisoned["verdict"] == "flagged"
    assert poisoned["flagged"] - poisoned["false"] >= 40, "of 50 poisoned digits"
    assert poisoned["false"] <= poisoned["at_most"]
    assert poisoned["expected"] <= 0.2 * poisoned["flagged"]
    before, after = poisoned["asr"]
    assert before[0] > 0.5 and after[0] < 0.1
    assert twin["verdict"] == "clean"
    assert (twin["flagged"], twin["auroc"]) == (0, None)
    assert twin["asr"][0] == twin["asr"][1], "nothing was dropped, so nothing was trained again"


def test_one_table_and_the_reports_are_given(shown):
    out, lines = shown
    tables = [line for line in lines if not isinstance(line, str)]
    assert [table.row_count for table in tables] == [2]
    assert "poisoned" in list(tables[0].columns[1].cells)
    for name in ("report.html", "clean-twin/report.html"):
        assert (out / name).stat().st_size > 10_000
        assert f"wrote {out / name}" in lines
    first = json.loads((out / "report.json").read_text("utf-8"))
    assert first["verdict"]["answer"] == "flagged"
    assert first["data"]["trusted"] == demonstration.TRUSTED


def test_suspects_trusted_and_test_digits_are_apart_and_the_same_in_every_run():
    digits, again = demonstration.divided(3), demonstration.divided(3)
    parts = [set(part.ids.tolist()) for part in (digits.suspects, digits.trusted, digits.test)]
    assert [len(part) for part in parts] == [1000, 400, 397]
    assert len(set.union(*parts)) == 1797
    assert digits.suspects.ids.tolist() == again.suspects.ids.tolist()
    assert digits.suspects.ids.tolist() != demonstration.divided(4).suspects.ids.tolist()


def row(**more):
    """A line of the table."""
    none = (Interval(1.0, 1.0, 1.0, 9), Interval(0.0, 0.0, 0.0, 9))
    usual = {
        "seed": 0, "world": "poisoned", "verdict": "flagged", "p_value": 0.0005, "detector": "x",
        "auroc": 1.0, "flagged": 79, "false": 10, "expected": 15, "at_most": 44, "beside": (),
        "asr": none, "accuracy": none,
    }  # fmt: skip
    return demonstration.DemoRow(**{**usual, **more})


def test_a_list_that_is_less_clean_than_expected_is_explained(monkeypatch):
    lines = []
    monkeypatch.setattr(demonstration, "say", lines.append)
    demonstration.print_lists([row()])
    assert lines == []
    demonstration.print_lists([row(false=29), row(false=50), row(beside=("7",))])
    assert "29 of 79 named digits are clean, more than the 15 expected" in lines[0]
    assert "the bound of 44 holds" in lines[0]
    assert "the bound of 44 does not hold here" in lines[1]
    assert "class 7 is named without holding poison" in lines[2]
