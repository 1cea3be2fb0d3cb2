"""What is announced is within a factor of two of what passes, counted on the process's own clock.

The processor's time of this process stands still while others run, so a busy machine changes
nothing; what is compared is the work from the announcement to its end.
"""

import re
import time

import pytest

from cli.runs import inside, save_npz, shapes
from mithridate.core import timing

NETWORK = "resnet9:8"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Shapes of three classes and a network that knows them; all kernels have run once."""
    folder = tmp_path_factory.mktemp("estimates")
    save_npz(folder / "suspects.npz", *shapes(600, 1))
    save_npz(folder / "trusted.npz", *shapes(600, 2))
    done = inside(
        "train", folder / "suspects.npz", "--epochs", 3, "--out", folder / "model",
        "--network", NETWORK,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


def announced_and_real(monkeypatch, begins, ends, *arguments):
    """The seconds that are announced, and those of the processor from then to the end of the work.

    begins: what announces, called with the seconds first or second; ends: what the verb calls when
    the work is done.
    """
    monkeypatch.setattr(timing, "now", time.process_time)
    told = {}

    def announce(*given, **_):
        told["announced"] = next(value for value in given if isinstance(value, float))
        told["began"] = time.process_time()
        return True

    def end(*_, **__):
        told["real"] = time.process_time() - told["began"]
        raise SystemExit(0)

    monkeypatch.setattr(f"mithridate.cli.work.{begins}", announce)
    monkeypatch.setattr(f"mithridate.cli.work.{ends}", end)
    done = inside(*arguments)
    assert "announced" in told, done.stderr
    return told["announced"], told["real"]


def within_two(measure):
    """Whether one of three measurements is: a stall of the first is no fault of the estimate."""
    pairs = []
    for _ in range(3):
        announced, real = measure()
        pairs.append((announced, real))
        if real / 2 <= announced <= 2 * real:
            return True
    raise AssertionError(f"announced and real: {pairs}")


def test_scan_model(data, tmp_path, monkeypatch):
    """Three references that are trained, and scans of four networks by three scanners."""
    model = data / "model" / "model.safetensors"
    runs = iter(range(9))
    assert within_two(
        lambda: announced_and_real(
            monkeypatch, "scan_model.agreed", "scan_model.answer", "scan", "model", model,
            "--data", data / "trusted.npz", "--references", 3, "--epochs", 6, "--scanners",
            "maximum-margin,weight-statistics,pairwise-transfer", "--out",
            tmp_path / str(next(runs)),
        )
    )  # fmt: skip


def test_train(data, tmp_path, monkeypatch):
    assert within_two(
        lambda: announced_and_real(
            monkeypatch, "train.terminal.agreed", "train.outcome.write", "train",
            data / "suspects.npz", "--epochs", 12, "--network", NETWORK, "--out", tmp_path / "out",
        )
    )  # fmt: skip


def test_scan_data(data, tmp_path, monkeypatch):
    """The detectors of an ordinary scan take longer than so short a training."""
    assert within_two(
        lambda: announced_and_real(
            monkeypatch, "scan_data.terminal.agreed", "scan_data.write_all", "scan", "data",
            data / "suspects.npz", "--trusted", data / "trusted.npz", "--epochs", 8, "--out",
            tmp_path / "out", "--power", 0,
        )
    )  # fmt: skip


def test_repair(data, tmp_path, monkeypatch):
    model = data / "model" / "model.safetensors"
    assert within_two(
        lambda: announced_and_real(
            monkeypatch, "repair.agreed", "repair.outcome.write", "repair", model, "--trusted",
            data / "trusted.npz", "--repair", "fine-tuning", "--set", "epochs=20", "--out",
            tmp_path / "out",
        )
    )  # fmt: skip


def test_guard(data, tmp_path, monkeypatch):
    model = data / "model" / "model.safetensors"
    assert within_two(
        lambda: announced_and_real(
            monkeypatch, "guard.agreed", "guard.describe", "guard", model, "--trusted",
            data / "trusted.npz", "--guard", "strip", "--set", "strip.overlays=60", "--fit-only",
            tmp_path / "out",
        )
    )  # fmt: skip


def test_what_is_left_is_said_once_the_first_reference_is_there(data, tmp_path):
    model = data / "model" / "model.safetensors"
    wanted = (
        "scan", "model", model, "--data", data / "trusted.npz", "--references", 3, "--epochs", 2,
        "--scanners", "weight-statistics", "--out", tmp_path / "out", "--level", 0.3,
    )  # fmt: skip
    said = inside(*wanted).stderr
    assert re.search(r"3 clean references: about \d+ s", said)
    assert re.search(
        r"reference 1 of 3 \.\.\.\nabout \d+ s left\ntraining clean reference 2 of 3", said
    )
    again = inside(*wanted).stderr
    assert "training" not in again, "references that are kept are not waited for"


def test_a_guard_says_what_it_does(data, tmp_path):
    done = inside(
        "guard", data / "model" / "model.safetensors", "--trusted", data / "trusted.npz",
        "--fit-only", tmp_path / "out",
    )  # fmt: skip
    assert re.search(r"fitting strip: about \d+ s", done.stderr)
    assert "fitting strip to 300 trusted examples ..." in done.stderr
    assert "calibrating on 300 others ..." in done.stderr
