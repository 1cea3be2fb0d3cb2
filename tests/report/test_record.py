"""The record: complete, strict JSON, of a reasonable size, and safe to open in a spreadsheet."""

import csv
import json
from importlib import metadata

import numpy as np
import pytest

from mithridate.core.data import dataset
from mithridate.core.errors import DataError
from mithridate.core.files import write_text
from mithridate.core.fingerprint import fingerprint
from mithridate.report.quoting import FORMULAS, cell, shorten, spell_invisible
from mithridate.report.record import compact, flagged_rows, record
from report.example import HOSTILE, hostile_names, pictures, scan_of, texts, written


def strict(text):
    """Parse JSON as the standard has it: no NaN, no Infinity."""

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


def test_the_record_holds_what_the_scan_found(tmp_path):
    data, trusted = pictures(120), pictures(60, seed=1)
    scan = scan_of(data, trusted)
    found, _ = written(
        tmp_path, data, trusted, scan, rejected=[("x.png", "cut off")], origin="somewhere",
        command="mithridate scan data x", seed=7,
    )  # fmt: skip
    read = strict((tmp_path / "report.json").read_text("utf-8"))
    assert read == found
    assert read["schema"] == "mithridate-scan/1"
    assert read["verdict"] == {
        "answer": "flagged", "why": "", "level": 0.05, "p_value": 0.0005, "finest_p": 0.0005,
        "evidence": ["labels"], "flagged": 7, "fdr": 0.2, "clean_expected": 1, "clean_at_most": 3,
        "confidence": 0.95, "fdr_bound": False,
    }  # fmt: skip
    assert [c["flagged"] for c in read["classes"]] == [0, 7, 0]
    assert read["classes"][1]["by"] == "spectral-signatures"
    assert read["classes"][1]["weights"] == {"spectral-signatures": 1.0, "reversed": 0.0}
    np.testing.assert_allclose(
        read["examples"]["order"]["scores"], scan.naming.scores.values, rtol=1e-5
    )
    assert read["data"]["examples"] == 120 and read["data"]["trusted"] == 60
    assert read["rejected"] == [{"name": "x.png", "why": "cut off"}]
    assert (read["command"], read["seed"]) == ("mithridate scan data x", 7)
    assert read["versions"]["torch"] == metadata.version("torch")
    assert read["without_trusted"] is None
    first = read["detectors"][0]
    assert first["name"] == "spectral-signatures" and first["smallest_p"] == 0.0005
    assert first["config"]["compat"] == "paper" and "largest variance" in first["assumes"]
    columns = read["examples"]
    assert sum(columns["flagged"]) == 7
    for column in ("ids", "names", "labels", "flagged"):
        assert len(columns[column]) == 120
    for name, judged in zip(("spectral-signatures", "reversed"), scan.judged, strict=True):
        np.testing.assert_allclose(columns["scores"][name], judged.scores.values, rtol=1e-5)
        np.testing.assert_allclose(columns["p_values"][name], judged.scores.p_values, rtol=1e-5)


def test_numbers_that_json_has_not_become_null(tmp_path):
    data, trusted = pictures(30), pictures(30, seed=1)
    found, _ = written(tmp_path, data, trusted, scan_of(data, trusted))
    assert found["cost"]["broken"] is None
    assert found["detectors"][1]["config"] == {"method": "reversed", "strength": None}


def test_without_trusted_examples_there_are_no_p_values_and_the_record_says_what_that_costs():
    data = pictures(30)
    found = record(scan_of(data, None, "cannot judge"), data, None, names=[""] * 30)
    assert "no error rate" in found["without_trusted"]
    assert found["verdict"]["p_value"] is None
    assert found["examples"]["p_values"] == {"spectral-signatures": None, "reversed": None}
    assert found["data"]["trusted_sha256"] is None


def test_p_values_that_mean_nothing_are_not_recorded():
    # a model that saw the suspect examples only: trusted ones are there and cannot be compared
    data, trusted = pictures(30), pictures(30, seed=1)
    scan = scan_of(data, trusted, "cannot judge")
    object.__setattr__(scan.verdict, "p_value", None)
    assert scan.judged[0].scores.p_values is not None
    found = record(scan, data, trusted, names=[""] * 30)
    assert found["examples"]["p_values"]["spectral-signatures"] is None
    assert found["without_trusted"] is None


def test_every_example_needs_a_name():
    data = pictures(30)
    with pytest.raises(DataError, match="name for each of 30 examples, found 29"):
        record(scan_of(data, None, "cannot judge"), data, None, names=["x"] * 29)


def test_hostile_names_stay_strict_json_and_can_be_read_back(tmp_path):
    data, trusted = pictures(120, classes=HOSTILE[:3]), pictures(60, classes=HOSTILE[:3])
    written(tmp_path, data, trusted, scan_of(data, trusted), hostile_names(120))
    raw = (tmp_path / "report.json").read_bytes()
    raw.decode("ascii")
    names = strict(raw)["examples"]["names"]
    assert names[:9] == list(HOSTILE[:9])
    assert names[9] == "half a pair \\udcff", "half a surrogate pair is no text"
    names[9].encode("utf-8")


def test_a_record_of_50000_examples_stays_small():
    data, trusted = pictures(50_000, side=2, channels=1), pictures(300, side=2, channels=1)
    scan = scan_of(data, trusted)
    object.__setattr__(scan, "judged", (scan.judged * 3)[:5])
    found = record(scan, data, trusted, names=[f"train/class/{i:08d}.png" for i in range(50_000)])
    per_detector = (
        found["examples"]["scores"]["reversed"],
        found["examples"]["p_values"]["reversed"],
    )
    three_more = 3 * sum(len(json.dumps(column)) for column in per_detector)
    assert len(compact(found)) + three_more < 15_000_000


def test_the_fingerprint_sees_every_change_and_nothing_else():
    data = pictures(12)
    same = dataset(data.inputs.clone(), data.labels.clone(), data.classes)
    assert fingerprint(data) == fingerprint(same)
    other = data.inputs.clone()
    other[3, 0, 0, 0] ^= 1
    relabelled = data.labels.clone()
    relabelled[0] = 2
    changed = [
        data.with_inputs(other),
        dataset(data.inputs, relabelled, data.classes),
        dataset(data.inputs, data.labels, ("cat", "dog", "OWL")),
        data.subset(list(range(11, -1, -1))),
    ]
    assert len({fingerprint(d) for d in [data, *changed]}) == 5


def test_the_fingerprint_keeps_texts_apart():
    first = dataset(np.array(["ab", "c", "\udcff"], object), [0, 1, 0])
    second = dataset(np.array(["a", "bc", "\udcff"], object), [0, 1, 0])
    assert fingerprint(first) != fingerprint(second)


def test_the_list_of_flagged_examples_is_safe_in_a_spreadsheet(tmp_path):
    data, trusted = texts(360), texts(90, seed=1)
    scan = scan_of(data, trusted)
    names = hostile_names(360)
    written(tmp_path, data, trusted, scan, names)
    with (tmp_path / "flagged.csv").open(newline="", encoding="utf-8") as opened:
        rows = list(csv.DictReader(opened))
    flagged = scan.flagged.nonzero().flatten().tolist()
    assert sorted(int(row["id"]) for row in rows) == flagged
    assert {row["class"] for row in rows} == {"bad"}
    scores = [float(row["score"]) for row in rows]
    assert scores == sorted(scores, reverse=True)
    for row in rows:
        assert row["name"] == cell(names[int(row["id"])])
        assert not row["name"].startswith(tuple(FORMULAS))
        assert row["name"].isprintable()


def test_the_ids_of_the_data_stand_beside_the_rows_and_are_safe(tmp_path):
    data, trusted = texts(360), texts(90, seed=1)
    scan = scan_of(data, trusted)
    ids = [f"=r{i}" if i % 2 else f"r{i}<b>" for i in range(360)]
    found, page = written(tmp_path, data, trusted, scan, own_ids={"review id": ids})
    with (tmp_path / "flagged.csv").open(newline="", encoding="utf-8") as opened:
        rows = list(csv.DictReader(opened))
    assert rows and all(row["own_id"] == cell(ids[int(row["id"])]) for row in rows)
    assert found["examples"]["own_ids"] == {"review id": ids}
    assert "review id r" in page and "r0<b>" not in page


def test_a_list_of_nothing_is_a_heading():
    data, trusted = pictures(30), pictures(30, seed=1)
    rows = flagged_rows(scan_of(data, trusted, "clean"), data, ["x"] * 30)
    assert rows == "id,name,class,detector,score,p_value\n"


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\uff1d1+1", "  =1", "\t=1", "\r=1"])
def test_a_cell_is_never_a_formula(text):
    assert not cell(text).lstrip().startswith(tuple(FORMULAS))


def test_what_cannot_be_seen_is_spelled_out():
    assert spell_invisible("plain é 漢字 🙂 a-b") == "plain é 漢字 🙂 a-b"
    assert (
        spell_invisible("a\u202eb\u200bc\nd\x00\udcff\xa0") == r"a\u202eb\u200bc\nd\x00\udcff\xa0"
    )


def test_long_texts_lose_their_middle():
    assert shorten("x" * 80) == "x" * 80
    short = shorten("start" + "x" * 100 + "end.png", 40)
    assert len(short) == 40 and short.startswith("start") and short.endswith("end.png")


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    write_text(tmp_path / "a.json", "first")
    with pytest.raises(UnicodeEncodeError):
        write_text(tmp_path / "a.json", "second \udcff")
    assert (tmp_path / "a.json").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
