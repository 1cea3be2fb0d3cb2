"""`mithridate draw`: what is drawn can be checked, and a scan knows it again."""

import json
from collections import Counter

import pytest

from cli.runs import inside, report, save_npz, shapes
from mithridate.cli.groups import HowToRead
from mithridate.cli.sources import find_source
from mithridate.core.errors import DataError
from mithridate.pipelines.drawing import draw_by_class, recorded
from mithridate.pipelines.examples import opened

QUICK = (
    "--epochs", 1, "--permutations", 199, "--power", 0, "--detectors", "spectral-signatures",
)  # fmt: skip


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("draw")
    save_npz(folder / "suspects.npz", *shapes(120, 1))
    done = inside("draw", folder / "suspects.npz", "--count", 60, "--out", folder / "checked")
    return done, folder


def test_pictures_are_written_by_class_with_a_record(drawn):
    done, folder = drawn
    assert done.returncode == 0, done.stderr
    files = list((folder / "checked" / "data").rglob("*.png"))
    assert Counter(file.parent.name for file in files) == {"0": 20, "1": 20, "2": 20}
    record = json.loads((folder / "checked" / "drawn.json").read_text())
    assert len(set(record["ids"])) == 60
    assert "Look at every one" in done.stdout


def test_a_scan_trusts_what_was_checked_and_says_what_was_rejected(drawn, tmp_path):
    _, folder = drawn
    for picture in sorted((folder / "checked" / "data" / "1").iterdir())[:3]:
        picture.unlink()
    done = inside(
        "scan", "data", folder / "suspects.npz", "--trusted", folder / "checked", *QUICK,
        "--out", tmp_path / "report",
    )  # fmt: skip
    assert "57 of 60 drawn examples were kept as checked" in done.stderr
    assert "3 are gone or were changed" in done.stderr and "1.0% to 13.9%" in done.stderr
    found = report(tmp_path / "report")
    assert len(found["overlap"]["vouched"]) == 57
    assert found["drawn"]["examples"] == 60 and len(found["drawn"]["rejected"]) == 3
    assert "3 are gone or were changed" in (tmp_path / "report" / "report.html").read_text()


def test_every_class_is_drawn_from_and_too_few_are_refused(digits):
    chosen = draw_by_class(digits.subset(range(300)), 10, 0)
    assert sorted(chosen.labels.tolist()) == list(range(10))
    assert len(draw_by_class(digits, 401, 1)) == 401
    with pytest.raises(DataError, match="10 to 1797 examples"):
        draw_by_class(digits, 9, 0)


@pytest.mark.parametrize(
    "content", ["[]", "{", '{"schema": "mithridate-draw/1", "ids": 3}', "[" * 9999]
)
def test_a_damaged_record_is_refused(tmp_path, content):
    (tmp_path / "drawn.json").write_text(content)
    with pytest.raises(DataError, match="draw again"):
        recorded(tmp_path)


def test_every_command_and_function_takes_the_folder_for_what_was_drawn(drawn):
    _, folder = drawn
    checked = str(folder / "checked")
    for read in (find_source(checked, HowToRead()), opened(checked)):
        assert read.data.classes == ("0", "1", "2") and len(read.data) > 50
