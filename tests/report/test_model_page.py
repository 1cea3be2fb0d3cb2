"""The report of a scanned model: strict JSON, one offline page, honest words, harmless texts."""

import base64
import io
import json
import re
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from PIL import Image

from mithridate.core.data import dataset
from mithridate.core.scanner import Scanner
from mithridate.core.scores import Verdict
from mithridate.core.streams import stream
from mithridate.pipelines.guarded import Decisions
from mithridate.pipelines.model_scan import ModelScan
from mithridate.report.model_page import (
    ModelWork,
    ScannedFile,
    TrustedExamples,
    WatchedInputs,
    page,
    record,
    strip,
    write_model_report,
)
from mithridate.stats.population import standing
from report.example import HOSTILE
from report.test_browser import DESKTOP, PHONE, measure, needs_browser, without_policy
from report.test_page import FORBIDDEN, read

NAMES = tuple(f"class {i}" for i in range(10))


@dataclass(frozen=True)
class Inverts(Scanner):
    """Inverts <b>everything</b>."""

    paper = "Nobody <i>et al.</i>, Nowhere"
    assumes = "the trigger is <b>small</b>"


@dataclass(frozen=True)
class Listens(Scanner):
    """Listens."""

    unit = "model"
    assumes = "the model speaks"


@dataclass(frozen=True)
class Refuses(Scanner):
    """Refuses."""

    assumes = "nothing at all here"


def pictures(n=30, names=NAMES):
    drawn = stream(0, "pictures").integers(0, 256, (n, 3, 8, 8), dtype=np.uint8)
    return dataset(torch.from_numpy(drawn), np.arange(n) % len(names), names)


def scan(answer="flagged", names=NAMES, why=""):
    """A scan by hand: class 3 stands out for one of two scanners; a third refuses."""
    rng = stream(0, "scan")
    scores = rng.standard_normal((20, len(names)))
    wholes = rng.standard_normal((20, 1))
    if answer == "flagged":
        scores[0, 3] += 15
    among = standing([scores, wholes])
    mask = torch.zeros(len(names), 1, 8, 8)
    mask[:, :, -3:, -3:] = 1.0
    found = {"pattern": torch.full((len(names), 3, 8, 8), 255.0), "mask": mask}
    verdict = Verdict(answer, 0.05, among.p_value, among.finest_p, why, ("clean", "model"))
    return ModelScan(
        verdict, dict(zip(("inverts", "listens"), map(float, among.by_scanner), strict=True)),
        among.by_class, {"inverts": scores, "listens": wholes}, {"inverts": found},
        {"refuses": why or "it has no gradient to speak of here"}, ("clean", "model"), names,
    )  # fmt: skip


def work(answer="flagged", **more):
    arriving = pictures(25)
    p = torch.arange(25, dtype=torch.float64) / 25 + 0.01
    p[7], actions = torch.nan, ["accept"] * 25
    actions[0], actions[7] = "refuse", "abstain"
    decisions = Decisions(
        torch.arange(25) % 10, p, tuple(actions), ("because",) * 25, torch.zeros(25, 1)
    )
    file = ScannedFile(
        "model.onnx", "ab" * 32, "resnet9", "int8-static", {"argmax": 0.998},
        ("weights hold 3 values that are not finite",),
    )  # fmt: skip
    trusted = TrustedExamples(pictures(), pictures(50), "trusted.npz")
    made = ModelWork(
        scan(answer), (Inverts(), Listens(), Refuses()), file, trusted, "19 networks trained here",
        WatchedInputs(arriving, decisions, ("strip",)), {"seconds": 12.3},
    )  # fmt: skip
    return replace(made, **more)


def said(made):
    return " ".join(read(page(record(made, "mithridate scan model x", 7))).text.split())


def test_a_report_is_two_files_of_which_the_record_is_strict_json(tmp_path):
    found = write_model_report(work(), tmp_path / "new", seed=7)
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["report.html", "report.json"]

    def refuse(constant):
        raise ValueError(constant)

    text = (tmp_path / "new" / "report.json").read_text("utf-8")
    assert json.loads(text, parse_constant=refuse) == found
    assert found["verdict"]["answer"] == "flagged"
    assert found["scanners"][2]["scores"] is None
    assert found["arriving"]["counts"] == {"accept": 23, "refuse": 1, "abstain": 1}
    assert found["arriving"]["shown"][0]["row"] == 0, "the smallest p-value first"
    assert len(found["scanners"][0]["references"]) == 19


def test_a_flagged_model_is_said_to_be_so_with_class_trigger_and_assumptions():
    words = said(work())
    for expected in (
        "Flagged", "class 3", "int8-static", "2 of 3", "it has no gradient to speak of",
        "19 networks trained here", "99.8 %", "weights hold 3 values", "would refuse 1",
        "the trigger is <b>small</b>", "mithridate scan model x", "covers 14.1 %", "0.05",
    ):  # fmt: skip
        assert expected in words, expected


def test_not_flagged_is_no_proof_and_cannot_judge_is_not_clean():
    words = said(work("clean"))
    assert "Not flagged" in words and "no proof" in words and "mithridate guard" in words
    assert "Flagged This model" not in words
    unsure = said(work(scan=scan("cannot judge", why="too few references for the level")))
    assert "Cannot judge" in unsure and "too few references for the level" in unsure
    assert "Not flagged" not in unsure


def test_the_most_suspicious_class_is_drawn_first_and_every_dot_lies_in_the_frame():
    found = record(work())
    drawn = strip(found["scanners"][0], NAMES, [c["p_value"] for c in found["classes"]])
    assert drawn["labels"][0][1] == "class 3"
    points = re.findall(r"M([\d.]+) ([\d.]+)h0", drawn["references"])
    assert len(points) == 19 * 10
    assert all(36 <= float(x) <= 350 and 12 <= float(y) <= 160 for x, y in points)
    own = re.findall(r"M([\d.]+) ([\d.]+)h0", drawn["suspect"])
    assert float(own[0][1]) == min(float(y) for _, y in own), "the largest score is the highest"
    assert strip(found["scanners"][1], NAMES, [1.0])["labels"][0][1] == "model"


def test_only_triggers_that_are_pictures_are_shown():
    flat = scan()
    flat.shown["inverts"]["pattern"] = torch.zeros(10, 16)
    assert record(work(scan=flat))["triggers"] == []
    assert len(record(work())["triggers"]) == 6


def test_a_pattern_that_is_added_is_stretched_around_mid_grey():
    added = scan()
    pattern = torch.zeros(10, 3, 8, 8)
    pattern[3, :, 0, 0], pattern[3, :, 0, 1] = -2.0, 1.0
    added.shown["inverts"] = {"pattern": pattern}
    address = record(work(scan=added))["triggers"][0]["picture"]["src"]
    seen = np.array(Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))))
    assert seen[0, 0].tolist() == [0, 0, 0] and seen[0, 1].tolist() == [191, 191, 191]
    assert seen[4, 4].tolist() == [128, 128, 128]


def hostile():
    names = (*HOSTILE[:6], *NAMES[:4])
    made = scan(names=names, why=HOSTILE[1])
    told, file = work(), ScannedFile(HOSTILE[0], "ab" * 32, HOSTILE[3], HOSTILE[1], {}, HOSTILE[:8])
    trusted = replace(told.trusted, origin=HOSTILE[2])
    return replace(told, scan=made, file=file, trusted=trusted, references=HOSTILE[11])


def test_hostile_names_are_shown_and_do_nothing():
    reader = read(page(record(hostile(), HOSTILE[0])))
    assert not (FORBIDDEN - {"img"}) & set(reader.tags)
    assert not [name for _, name, _ in reader.attributes if name.startswith("on")]
    loaded = [value for _, name, value in reader.attributes if name in ("href", "src")]
    assert all(value.startswith(("#", "data:image/png;base64,")) for value in loaded)
    assert "{{7*7}}" in reader.text and "\u202e" not in reader.text


@needs_browser
def test_the_page_fits_phone_and_desktop_and_runs_nothing(tmp_path):
    evil = page(record(hostile(), HOSTILE[0] * 5))
    pages = [evil, without_policy(evil), page(record(work())), page(record(work("clean")))]
    seen, asked = measure(tmp_path, *((each, size) for each in pages for size in (PHONE, DESKTOP)))
    assert seen["outer"] == "untouched", "a script of the data ran"
    assert not [line for line in asked if "evil.example" in line]
    for found in seen["found"]:
        assert found["wide"] <= found["room"], f"scrolls sideways: {found['over']}"
        assert not found["over"] and found["scripts"] == 0 and found["pictures"]


@pytest.mark.parametrize("answer", ["flagged", "clean"])
def test_a_record_without_inputs_and_references_of_its_own_is_drawn_too(answer):
    file = ScannedFile("model.pt", "ab" * 32, "resnet9", "fp32")
    made = work(answer, watched=None, trusted=TrustedExamples(pictures()), file=file)
    assert "Suspicious inputs" not in said(made)
