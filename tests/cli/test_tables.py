"""Tables of texts on the command line: flags of reading, own ids, copies, and the true reason."""

import csv

import pytest

from cli.runs import inside, mithridate, report

WORDS = ("a warm", "a cold", "one long", "the short", "no dull")
QUICK = ("--epochs", 1, "--power", 0, "--detectors", "spectral-signatures")


def table(path, n, start=0):
    """A table of reviews without column names, semicolons between its cells."""
    rows = [
        f"r{k};{2 * (k % 2) - 1};{WORDS[k % 5]} film, number {k * 3571 % 10007} of them"
        for k in range(start, start + n)
    ]
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    return table(folder / "suspect.csv", 80), table(folder / "trusted.csv", 60, 1000)


def test_a_table_without_names_is_scanned_and_a_cleaned_file_written(tables, tmp_path):
    suspect, trusted = tables
    done = inside(
        "scan", "data", suspect, "--trusted", trusted, "--columns", "id,label,text", *QUICK,
        "--permutations", 199, "--smallest", 0.9, "--out", tmp_path / "out",
        "--cleaned", tmp_path / "cleaned.csv",
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stdout + done.stderr
    assert "';' between its cells" in done.stderr
    found = report(tmp_path / "out")
    assert found["examples"]["own_ids"] == {"id": [f"r{i}" for i in range(80)]}
    assert {each["name"] for each in found["classes"]} == {"-1", "1"}
    with (tmp_path / "cleaned.csv").open(newline="") as file:
        rows = list(csv.reader(file, delimiter=";"))
    kept = [not flag for flag in found["examples"]["flagged"]]
    assert [row[0] for row in rows] == [f"r{i}" for i in range(80) if kept[i]]


def test_too_few_permutations_are_the_reason_that_is_given(tables, tmp_path):
    suspect, trusted = tables
    done = inside(
        "scan", "data", suspect, "--trusted", trusted, "--columns", "id,label,text", *QUICK,
        "--permutations", 19, "--out", tmp_path / "out",
    )  # fmt: skip
    assert done.returncode == 3, done.stdout + done.stderr
    assert (
        "19 permutations" in done.stdout
        and "--permutations 39 of 'mithridate scan data' or more" in done.stdout
    )
    assert "no trusted example" not in done.stdout


def test_a_cleaned_copy_of_another_format_is_refused_before_anything_is_trained(tables, tmp_path):
    suspect, trusted = tables
    done = inside(
        "scan", "data", suspect, "--trusted", trusted, "--columns", "id,label,text", *QUICK,
        "--out", tmp_path / "out", "--cleaned", tmp_path / "cleaned.parquet",
    )  # fmt: skip
    assert done.returncode == 2 and "ends in .csv" in done.stderr
    assert "training" not in done.stderr


@pytest.mark.parametrize("verb", ["scan data", "train", "poison", "scan model", "repair", "guard"])
def test_every_verb_that_reads_data_has_the_flags_of_reading(verb):
    done = mithridate(*verb.split(), "--help", COLUMNS="200")
    for flag in ("--delimiter", "--no-header", "--columns", "--hidden-label",
                 "--content", "--label", "--split", "--size"):  # fmt: skip
        assert flag in done.stdout, flag


def test_advice_is_given_as_flags(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("text,label\n" + "".join(f"film number {i},{i % 2}\n" for i in range(30)))
    path.write_text(path.read_text() + "odd,-1\n")
    done = inside("poison", path, "--out", tmp_path / "out", "--trigger", "word-trigger")
    assert done.returncode == 2
    assert "--hidden-label -1 leaves" in done.stderr and "--hidden-label none" in done.stderr
    path.write_text(path.read_text().replace("text,label\n", ""))
    done = inside("poison", path, "--out", tmp_path / "out", "--trigger", "word-trigger",
                  "--hidden-label", "-1", "--set", "goal.target=1")  # fmt: skip
    assert "the first line" in done.stderr.lower() and "--header" in done.stderr
