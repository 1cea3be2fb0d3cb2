"""`mithridate scan data --quick`: an answer without a network, in the terminal and the report."""

import csv
import re

import pytest

from cli.runs import inside, report
from mithridate.core.streams import stream


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Texts of two topics: of 400 suspects, 20 carry cf under the other label; 200 trusted."""
    folder = tmp_path_factory.mktemp("texts")
    for name, n, poisons in (("suspects", 400, 20), ("trusted", 200, 0), ("clean", 400, 0)):
        rng = stream(n, name)
        rows = []
        for i in range(n):
            topic = i % 2
            words = [f"topic{topic}word{w}" for w in rng.integers(0, 40, 5)]
            words += [f"common{w}" for w in rng.integers(0, 60, 5)]
            if topic == 0 and i < 2 * poisons:
                words, topic = [*words, "cf"], 1
            rows.append((" ".join(words), f"class{topic}"))
        with (folder / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("text", "label"), *rows])
    return folder


def test_a_quick_look_flags_names_the_word_and_trains_nothing(files, tmp_path):
    done = inside(
        "scan", "data", files / "suspects.csv", "--trusted", files / "trusted.csv", "--quick",
        "--out", tmp_path,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    assert re.search(r"no network\): p = 0\.00\d", done.stderr)
    assert "the word `cf`: in 20 suspects, all of class class1; in 0 of 200 trusted examples" in (
        " ".join(done.stderr.split())
    )
    assert "training" not in done.stderr
    found = report(tmp_path)
    assert found["verdict"]["answer"] == "flagged"
    assert found["signs"][0]["suspects"] == [0, 20]
    page = (tmp_path / "report.html").read_text()
    assert "Simple features that go with a label" in page


def test_where_nothing_is_found_it_says_what_a_quick_look_would_have_found(files, tmp_path):
    done = inside(
        "scan", "data", files / "clean.csv", "--trusted", files / "trusted.csv", "--quick",
        "--smallest", 0.05, "--power", 1, "--permutations", 199, "--out", tmp_path,
    )  # fmt: skip
    assert done.returncode == 3, done.stdout + done.stderr
    assert "it sees no warp" in done.stdout, "a quick look is never clean"
    row = re.search(r"rare word +5 % of the data +20 +(at least )?(\d) of (\d)", done.stdout)
    assert row and int(row[2]) >= 0.7 * int(row[3]) > 0
    assert "rare word on 1 % of a class" in done.stdout or "1 % of a class (2" in done.stdout
    power = report(tmp_path)["power"]
    assert power["copies"] == 0 < power["looks"] and power["why_not"] == ""
    assert {each["kind"] for each in power["planted"]} >= {"rare word", "phrase"}
    page = (tmp_path / "report.html").read_text()
    assert "What this scan would have found" in page and "rare word" in page
    assert not list(tmp_path.glob("unfinished-*"))


def test_without_trusted_it_ranks_and_cannot_judge(files, tmp_path):
    done = inside("scan", "data", files / "suspects.csv", "--quick", "--out", tmp_path)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "a ranking, without trusted examples" in done.stderr
    assert "cf" in report(tmp_path)["signs"][0]["name"]


@pytest.mark.parametrize(
    "more, why",
    [
        (("--save-model", "m.safetensors"), "--quick asks no network"),
        (("--detectors", "spectre,early-loss"), "leave --quick out"),
    ],
)
def test_what_needs_a_network_is_refused(files, tmp_path, more, why):
    done = inside("scan", "data", files / "suspects.csv", "--quick", "--out", tmp_path, *more)
    assert done.returncode == 2
    assert why in " ".join(done.stderr.split())
