"""Networks whose outputs are in another order than the folders, or that know nothing: refused."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from cli.runs import inside
from mithridate.core.streams import stream
from mithridate.pipelines.kept_network import Note, save

NUMBERS = [str(k) for k in range(12)]
IN_ORDER = ",".join(NUMBERS)
NETS = """
from torch import nn

def build(classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(36, classes))
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Twelve folders of images, and a network that knows them by number: nearest of 12 patterns."""
    folder, rng = tmp_path_factory.mktemp("order"), stream(0, "patterns")
    patterns = rng.uniform(60, 200, (12, 6, 6))
    for k in range(12):
        (folder / "trusted" / str(k)).mkdir(parents=True)
        for number, image in enumerate(patterns[k] + rng.normal(0, 25, (10, 6, 6))):
            pixels = image.clip(0, 255).astype("uint8")
            Image.fromarray(pixels).save(folder / "trusted" / str(k) / f"{number}.png")
    (folder / "nets.py").write_text(NETS)
    weights = torch.from_numpy(patterns.reshape(12, 36) / 255).float()
    tensors = {"1.weight": weights * 20, "1.bias": -10 * weights.square().sum(1)}
    torch.save(tensors, folder / "model.pt")
    torch.save({"1.weight": weights * 0, "1.bias": torch.eye(12)[4]}, folder / "one.pt")
    return folder


def ran(data, verb, *more, model="model.pt"):
    trusted = "--data" if verb == ("scan", "model") else "--trusted"
    return inside(
        *verb, data / model, trusted, data / "trusted",
        "--network", f"python:{data / 'nets.py'}:build", *more,
    )  # fmt: skip


def test_a_scan_refuses_an_order_read_as_names(data, tmp_path):
    done = ran(data, ("scan", "model"), "--out", tmp_path / "out", "--yes")
    assert done.returncode == 3, done.stderr
    assert f"--classes {IN_ORDER}" in done.stdout and "numbers in their names" in done.stdout
    assert "accuracy on 120 trusted examples: 16.7 %" in done.stderr
    assert "training" not in done.stderr, "it is said before anything takes long"
    found = json.loads((tmp_path / "out" / "report.json").read_text("utf-8"))
    assert found["verdict"]["answer"] == "cannot judge"
    assert found["verdict"]["why"].startswith("it is right on 16.7 % (")
    assert found["model"]["accuracy"]["value"] == pytest.approx(1 / 6)
    assert found["model"]["accuracy"]["n"] == 120
    page = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert "nothing was scanned" in page and "accuracy on 120 trusted examples" in page


def test_a_guard_refuses_it_and_serves_the_order_that_is_given(data, tmp_path):
    done = ran(data, ("guard",), "--fit-only", tmp_path / "guard")
    assert done.returncode == 3 and not (tmp_path / "guard").exists()
    assert "cannot judge: it is right on 16.7 %" in done.stderr
    assert f"--classes {IN_ORDER}" in done.stderr
    (tmp_path / "names.txt").write_text("\n".join(NUMBERS))
    done = ran(data, ("guard",), "--fit-only", tmp_path / "guard", "--classes",
               tmp_path / "names.txt")  # fmt: skip
    assert done.returncode == 0, done.stderr
    kept = json.loads((tmp_path / "guard" / "guard.json").read_text("utf-8"))
    assert kept["classes"] == NUMBERS and kept["accuracy"][0] > 0.95
    assert "accuracy on 120 trusted examples: " in done.stdout


def test_a_repair_refuses_it_and_repairs_the_order_that_is_given(data, tmp_path):
    wanted = ("--out", tmp_path / "out", "--repair", "do-nothing", "--yes")
    done = ran(data, ("repair",), *wanted)
    assert done.returncode == 3 and not (tmp_path / "out").exists()
    assert f"--classes {IN_ORDER}" in done.stderr
    done = ran(data, ("repair",), *wanted, "--classes", IN_ORDER)
    assert done.returncode == 0, done.stderr
    card = json.loads((tmp_path / "out" / "card.json").read_text("utf-8"))
    assert card["network"]["accuracy_before"]["value"] > 0.95
    assert card["network"]["accuracy_before"]["n"] == 120
    assert card["network"]["classes"] == NUMBERS


@pytest.mark.parametrize("verb", [("scan", "model"), ("guard",), ("repair",)])
def test_one_answer_for_everything_cannot_be_judged(data, tmp_path, verb):
    out = ("--fit-only" if verb == ("guard",) else "--out", tmp_path / "out")
    done = ran(data, verb, *out, model="one.pt")
    assert done.returncode == 3, done.stderr
    assert "8.3 %" in done.stderr and "one class for 100% of them" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("0,1,2", "['10', '11', '3', '4', '5'] missing"),
        (f"{IN_ORDER},3", "['3'] twice"),
        (f"{IN_ORDER},", "one of them empty"),
    ],
)
def test_an_order_that_is_none_ends_in_one_clear_line(data, tmp_path, given, why):
    done = ran(data, ("guard",), "--fit-only", tmp_path / "guard", "--classes", given)
    assert done.returncode == 2 and why in done.stderr and "--classes" in done.stderr


def test_the_file_of_the_weights_has_the_last_word(data, tmp_path):
    named = tuple(reversed(NUMBERS))
    tensors = torch.nn.Linear(36, 12)
    save(tensors, tmp_path / "model.safetensors", Note("", named))
    done = ran(data, ("guard",), "--fit-only", tmp_path / "guard", "--classes", IN_ORDER,
               model=tmp_path / "model.safetensors")  # fmt: skip
    assert done.returncode == 2
    assert "names its classes itself" in done.stderr and "leave --classes out" in done.stderr


def test_a_fitted_guard_has_its_order_already(data, tmp_path):
    done = inside("guard", data / "model.pt", "--fitted", tmp_path, "--classes", IN_ORDER)
    assert done.returncode == 2 and "--classes fit one" in done.stderr


def test_a_network_that_is_poor_is_scanned(data, tmp_path):
    """Three of ten examples are right: worse than the refused ones could be, and no reason."""
    kept = torch.load(data / "model.pt", weights_only=True)
    order = [NUMBERS.index(name) for name in sorted(NUMBERS)]
    noise = torch.from_numpy(stream(1, "noise").normal(0, 11, (12, 36))).float()
    tensors = {"1.weight": kept["1.weight"][order] + noise, "1.bias": kept["1.bias"][order]}
    tensors["1.bias"] = tensors["1.bias"] - noise.sum(1) * np.float32(130 / 255)
    torch.save(tensors, data / "poor.pt")
    done = ran(
        data, ("scan", "model"), "--out", tmp_path / "out", "--yes", "--epochs", 1,
        "--references", 2, "--scanners", "weight-statistics", "--level", 0.4, model="poor.pt",
    )  # fmt: skip
    found = json.loads((tmp_path / "out" / "report.json").read_text("utf-8"))
    assert 0.2 < found["model"]["accuracy"]["value"] < 0.7
    assert done.returncode in (0, 1), done.stdout
