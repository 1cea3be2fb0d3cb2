"""`mithridate scan model`: from a file of weights to a verdict and a report, or a refusal."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cli.runs import inside, save_npz, shapes, stamped
from mithridate.core.errors import DataError
from mithridate.core.streams import stream
from mithridate.domains.catalogue import load_named
from mithridate.pipelines.damage import set_apart
from mithridate.pipelines.model_scan import QUICK, default_scanners
from mithridate.pipelines.population import Form, Population

CHEAP = ("--scanners", "weight-statistics", "--epochs", 1, "--network", "resnet9:4", "--yes")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A network with a backdoor, trusted examples, and inputs that arrive."""
    folder = tmp_path_factory.mktemp("data")
    images, labels = shapes(120, 1)
    stamped(images, labels, 12)
    save_npz(folder / "poisoned.npz", images, labels)
    save_npz(folder / "trusted.npz", *shapes(90, 2))
    done = inside(
        "train", folder / "poisoned.npz", "--epochs", 2, "--out", folder / "model",
        "--network", "resnet9:4",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (folder / "broken.safetensors").write_bytes(b"no tensors")
    torch.save(torch.nn.Linear(1, 1), folder / "object.pt")
    return folder


def scanned(data, out, *more):
    model = data / "model" / "model.safetensors"
    return inside("scan", "model", model, "--data", data / "trusted.npz", "--out", out, *more)


def thrice(data, folder):
    """A folder that holds the network three times."""
    folder.mkdir()
    for number in range(3):
        shutil.copy(data / "model" / "model.safetensors", folder / f"{number}.safetensors")
    return folder


def report(out):
    return json.loads((out / "report.json").read_text("utf-8"))


def test_few_references_give_a_report_and_no_verdict(data, tmp_path):
    done = scanned(data, tmp_path / "out", "--references", 3, *CHEAP)
    assert done.returncode == 3, done.stderr
    assert "the level 0.05 needs at least 19" in done.stdout
    assert "3 clean references: about" in done.stderr
    found = report(tmp_path / "out")
    assert found["verdict"]["answer"] == "cannot judge"
    assert len(found["scanners"][0]["references"]) == 3
    assert found["trusted"]["examples"] + found["trusted"]["learnt"] == 90
    assert (tmp_path / "out" / "report.html").stat().st_size > 5000


def test_the_same_references_are_not_trained_twice(data, tmp_path):
    wanted = ("--references", 2, "--level", 0.4, *CHEAP)
    first = scanned(data, tmp_path / "out", *wanted)
    again = scanned(data, tmp_path / "out", *wanted)
    assert "training clean reference 2 of 2" in first.stderr
    assert "training clean reference" not in again.stderr
    assert first.returncode == again.returncode in (0, 1)
    assert first.stdout == again.stdout


def test_the_clean_networks_of_an_earlier_scan_are_taken_again(data, tmp_path):
    first = scanned(data, tmp_path / "first", "--references", 3, "--level", 0.3, *CHEAP)
    earlier = tmp_path / "first" / "report.json"
    again = scanned(
        data, tmp_path / "again", "--clean-scores", earlier, "--level", 0.3, *CHEAP
    )  # fmt: skip
    assert "training clean reference" not in again.stderr
    assert again.returncode == first.returncode
    kept = ("verdict", "scanners", "classes")
    assert [report(tmp_path / "again")[k] for k in kept] == [
        report(tmp_path / "first")[k] for k in kept
    ]
    other = scanned(data, tmp_path / "o", "--clean-scores", earlier, "--precision", "bf16", *CHEAP)
    assert other.returncode == 2 and "the precision is bf16 here and fp32 there" in other.stderr
    for change in (("--seed", 1), ("--count", 80), ("--apart", 0.4)):
        other = scanned(data, tmp_path / "o", "--clean-scores", earlier, *change, *CHEAP)
        assert other.returncode == 2 and "scanned with other trusted examples" in other.stderr


def test_clean_models_and_their_scores_say_the_same(data, tmp_path):
    """With --clean-models all trusted examples are shown, and so they are with their scores."""
    mine = thrice(data, tmp_path / "mine")
    wanted = ("--level", 0.3, *CHEAP)
    scanned(data, tmp_path / "first", "--clean-models", mine, *wanted)
    scanned(data, tmp_path / "again", "--clean-scores", tmp_path / "first" / "report.json", *wanted)
    first, again = report(tmp_path / "first"), report(tmp_path / "again")
    assert first["trusted"]["examples"] == again["trusted"]["examples"] == 90
    assert first["verdict"] == again["verdict"]


def test_the_population_that_comes_with_the_library_is_that_of_the_default_scanners():
    """Where defaults have changed it is out of date: python recipes/shipped_population.py."""
    wanted = default_scanners()
    population = Population.load("digits")
    found = population.known(wanted, Form("resnet9:8", "fp32", 10))
    everything = load_named("digits", split="test").data
    shown = set_apart(everything, 0.3, stream(0, "scan", "apart"))[1]
    assert population.seen((shown, everything), 0) is everything
    with pytest.raises(DataError, match="other trusted examples"):
        population.seen((everything.subset(range(100)),), 0)
    assert set(found) == {scanner.name() for scanner in wanted}
    assert {scores.shape for scores in found.values()} == {(39, 10), (39, 90)}


def test_what_a_quick_scan_says_of_itself_is_what_the_record_says():
    """The row of the table on ways of training that nothing was chosen on comes first."""
    table = (Path(__file__).parents[2] / "results" / "elsewhere" / "table.md").read_text("utf-8")
    quick, full = (
        re.search(rf"\| {row} \| (\d+)/(\d+),.*\| (\d+)/(\d+),[^|]*\|\n", table).groups()
        for row in ("as now, quick", "and windows, as now")
    )
    flagged, clean, seen, backdoored = quick
    assert f"flagged {flagged} of {clean} clean ones and {seen} of {backdoored} " in QUICK
    assert f"with two scanners more, {full[0]} and {full[2]}," in QUICK


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"schema": "mithridate-model-scan/1"}'])
def test_a_file_that_is_no_population_is_refused(data, tmp_path, text):
    (tmp_path / "r.json").write_text(text)
    done = scanned(data, tmp_path / "out", "--clean-scores", tmp_path / "r.json", *CHEAP)
    assert done.returncode == 2
    assert "expected the population.json or report.json" in done.stderr


def test_networks_of_ones_own_can_be_the_references_and_guards_watch_what_arrives(data, tmp_path):
    mine = thrice(data, tmp_path / "mine")
    # What arrives has no labels: a folder of pictures, without classes
    (tmp_path / "arrived").mkdir()
    for number, image in enumerate(np.load(data / "poisoned.npz")["images"]):
        Image.fromarray(image).save(tmp_path / "arrived" / f"{number}.png")
    done = scanned(
        data, tmp_path / "out", "--clean-models", mine, "--level", 0.3, *CHEAP,
        "--inputs", tmp_path / "arrived", "--guards", "strip",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = report(tmp_path / "out")
    assert found["verdict"]["p_value"] == 1.0, "it is one of them"
    assert found["trusted"]["learnt"] == 0 and found["trusted"]["examples"] == 90
    assert found["arriving"]["examples"] == 120
    assert len(found["arriving"]["shown"]) == 12


@pytest.mark.parametrize(
    "wrong, said",
    [
        (["--level", 0], "between 0 and 1"),
        (["--references", 1], "at least 2 --references"),
        (["--scanners", "neural-cleanze"], "did you mean neural-cleanse"),
        (["--scanners", "neural-cleanse", "--quick"], "--quick and --scanners both choose"),
        (["--clean-models", "nowhere"], "a folder with the weights of clean networks"),
        (["--precision", "int3"], "int3"),
    ],
)
def test_what_cannot_be_done_is_refused_in_a_sentence(data, tmp_path, wrong, said):
    done = scanned(data, tmp_path / "out", *wrong, "--epochs", 1, "--yes")
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["broken.safetensors", "object.pt", "nowhere.pt"])
def test_files_that_are_broken_or_could_harm_are_not_opened(data, tmp_path, name):
    done = inside("scan", "model", data / name, "--data", data / "trusted.npz", *CHEAP,
                  "--out", tmp_path / "out")  # fmt: skip
    assert done.returncode == 2
    assert name in done.stderr and "Traceback" not in done.stderr


def test_a_program_is_refused_with_what_helps_on_the_command_line(data, tmp_path):
    torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)).save(str(tmp_path / "traced.pt"))
    done = inside("scan", "model", tmp_path / "traced.pt", "--data", data / "trusted.npz", *CHEAP,
                  "--out", tmp_path / "out")  # fmt: skip
    assert done.returncode == 2 and "Save the weights where the program was made" in done.stderr
    assert "no flag opens a program" in done.stderr and "code=True" not in done.stderr


def test_a_folder_of_hugging_face_is_scanned_with_its_own_configuration(data, tmp_path):
    transformers = pytest.importorskip("transformers")
    config = transformers.ResNetConfig(
        num_channels=1, embedding_size=4, hidden_sizes=[4, 8], depths=[1, 1], num_labels=3,
        layer_type="basic",
    )  # fmt: skip
    transformers.ResNetForImageClassification(config).save_pretrained(tmp_path / "checkpoint")
    done = inside(
        "scan", "model", tmp_path / "checkpoint", "--data", data / "trusted.npz", "--references", 2,
        "--mean", "0.5", "--std", "0.25", "--out", tmp_path / "out", *CHEAP[:4], "--yes",
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    found = report(tmp_path / "out")
    assert found["model"]["network"].startswith("huggingface:")
    assert "config.json does not name the classes" in json.dumps(found)
    done = scanned(data, tmp_path / "own", "--mean", "0.5", *CHEAP)
    assert done.returncode == 2 and "files of this library hold their own" in done.stderr
    empty = tmp_path / "empty"
    empty.mkdir()
    done = inside("scan", "model", empty, "--data", data / "trusted.npz")
    assert done.returncode == 2 and "config.json" in done.stderr


OWN = """
import torch
from PIL import Image

def build(classes):
    return torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(),
        torch.nn.Linear(144, classes))
"""


def test_references_are_fed_as_the_onnx_file_is(data, tmp_path):
    """The same network three times, in a file of ONNX and as weights: nothing tells them apart."""
    pytest.importorskip("onnxruntime")
    from mithridate.artifacts.onnx import export_onnx

    (tmp_path / "nets.py").write_text(OWN)
    scope = {}
    exec(OWN, scope)
    torch.manual_seed(0)
    model, mine = scope["build"](3).eval(), tmp_path / "mine"
    mine.mkdir()
    for number in range(3):
        torch.save(model.state_dict(), mine / f"{number}.pt")
    export_onnx(model, torch.rand(8, 1, 8, 8), tmp_path / "m.onnx")
    wanted = (
        "--data", data / "trusted.npz", "--clean-models", mine, "--level", 0.3, "--yes",
        "--network", f"python:{tmp_path / 'nets.py'}:build", "--scanners", "maximum-margin",
    )  # fmt: skip
    said = ("--mean", "0.5", "--std", "0.25", "--out", tmp_path / "out")
    done = inside("scan", "model", tmp_path / "m.onnx", *wanted, *said)
    assert done.returncode == 0, done.stderr
    (scanner,) = report(tmp_path / "out")["scanners"]
    for row in scanner["references"]:
        assert row == pytest.approx(scanner["scores"], rel=1e-3)
    done = inside("scan", "model", tmp_path / "m.onnx", *wanted, "--out", tmp_path / "bytes")
    assert (
        done.returncode == 3 and "without --mean and --std the file is given bytes" in done.stderr
    )
    assert "--mean 0.5 and --std 0.5" in report(tmp_path / "bytes")["verdict"]["why"]


def test_a_population_says_the_same_as_the_report_beside_it(data, tmp_path):
    """Reports were the files of populations before these had a format of their own."""
    scanned(data, tmp_path / "out", "--references", 3, "--level", 0.3, *CHEAP)
    kept = Population.load(str(tmp_path / "out" / "population.json"))
    assert kept == Population.load(str(tmp_path / "out" / "report.json"))
    assert kept.form == Form("resnet9:4", "fp32", 3)
    assert [len(each.rows) for each in kept.scores] == [3]
    again = scanned(
        data, tmp_path / "again", "--clean-scores", tmp_path / "out" / "population.json",
        "--level", 0.3, *CHEAP,
    )  # fmt: skip
    assert again.returncode in (0, 1), again.stderr
    first, second = report(tmp_path / "out"), report(tmp_path / "again")
    assert first["verdict"] == second["verdict"]
    assert second["references"].startswith("3 networks from ")
