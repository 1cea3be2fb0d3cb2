"""`mithridate guard`: a real server from start to signal, a kept guard, and what is refused."""

import json
import signal
import urllib.error
import urllib.request

import numpy as np
import pytest
import torch

from cli.runs import inside, save_npz, shapes, start
from mithridate.core.data import dataset
from mithridate.core.fit import TrainingConfig, fit
from mithridate.core.streams import stream
from mithridate.domains.image.domain import ImageDomain
from mithridate.pipelines import kept_network


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A network for three classes, examples to trust, and too few of them."""
    folder = tmp_path_factory.mktemp("data")
    images, labels = shapes(240, 1)
    made = dataset(images[:, None], labels)
    domain = ImageDomain()
    model = domain.network(made, "resnet9:4", stream(0, "network"))
    config = TrainingConfig(epochs=4, batch_size=32, learning_rate=0.1, augment=False)
    fit(model, made, domain, config, stream(0, "train"))
    note = kept_network.Note("resnet9:4", made.classes)
    kept_network.save(model, folder / "model.safetensors", note)
    other = domain.network(made, "resnet9:4", stream(1, "network"))
    kept_network.save(other, folder / "other.safetensors", note)
    save_npz(folder / "trusted.npz", *shapes(240, 2))
    save_npz(folder / "few.npz", *shapes(20, 2))
    return folder


@pytest.fixture(scope="module")
def kept(data):
    """A guard that was fitted and written."""
    out = data / "guard"
    done = guard(data, "--trusted", data / "trusted.npz", "--fit-only", out)
    assert done.returncode == 0, done.stderr
    return out, done


def guard(data, *more, model="model.safetensors"):
    return inside("guard", data / model, "--guard", "nearest-neighbours", *more)


def served(data, kept, *more):
    return inside("guard", data / "model.safetensors", "--fitted", kept, *more)


def asked(url, content=None):
    body = None if content is None else json.dumps(content).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=20) as found:
            return found.status, found.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_a_process_starts_answers_and_ends_when_it_is_told(data, kept):
    process = start("guard", data / "model.safetensors", "--fitted", kept[0], "--port", 0)
    try:
        lines = iter(process.stdout.readline, "")
        url = next(line.split()[-1] for line in lines if line.startswith("serving on http://127"))
        assert asked(f"{url}/healthz") == (200, '{"status": "alive"}')
        images, labels = shapes(6, 3)
        status, text = asked(f"{url}/v1/classify", {"inputs": images[:, None].tolist()})
        found = json.loads(text)["results"]
        assert status == 200 and {each["action"] for each in found} <= {"accept", "refuse"}
        assert [each["called"] for each in found] == [str(y) for y in labels.tolist()]
        assert asked(f"{url}/v1/classify", {"input": "?"})[0] == 422
        assert "mithridate_accepted_total 1.0" in asked(f"{url}/metrics")[1]
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=20)
        assert process.returncode == 0, errors
        assert "Traceback" not in errors
    finally:
        process.kill()


def test_fitting_says_what_was_calibrated_and_what_it_costs(kept):
    out, done = kept
    assert sorted(path.name for path in out.iterdir()) == ["guard.json", "guard.safetensors"]
    assert "read 240 trusted examples (image, npz), 3 classes" in done.stderr
    assert "fitted nearest-neighbours in" in done.stderr
    assert done.stdout.count("calibrated on") == 3 and "refuses 4." in done.stdout
    assert "judging an input" in done.stdout and f"wrote {out}" in done.stdout
    note = json.loads((out / "guard.json").read_text())
    assert note["detectors"] == [{"method": "nearest-neighbours", "k": 10, "metric": "cosine"}]


def test_several_guards_with_settings(data, tmp_path):
    done = guard(
        data, "--guard", "spectral-signatures", "--set", "nearest-neighbours.k=3", "--level", 0.1,
        "--trusted", data / "trusted.npz", "--fit-only", tmp_path / "out",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    note = json.loads((tmp_path / "out" / "guard.json").read_text())
    assert [each["method"] for each in note["detectors"]] == [
        "nearest-neighbours",
        "spectral-signatures",
    ]
    assert note["detectors"][0]["k"] == 3 and note["level"] == 0.1


def test_a_level_out_of_reach_ends_with_what_is_needed(data, tmp_path):
    done = guard(data, "--trusted", data / "few.npz", "--fit-only", tmp_path / "out")
    assert done.returncode == 3
    assert "with 10 trusted examples for the calibration; needs at least 19" in done.stderr
    assert "about 38 trusted examples" in done.stderr and "level of 0.0909" in done.stderr
    assert not (tmp_path / "out").exists()


REFUSED = {
    "nothing to fit on": ((), "either --trusted examples or a --fitted guard"),
    "both": (("--trusted", "trusted.npz", "--fitted", "guard"), "either --trusted"),
    "no such guard": (("--trusted", "trusted.npz", "--guard", "stripp"), "unknown detector"),
    "no such setting": (
        ("--trusted", "trusted.npz", "--set", "spectral-signatures.k=3"),
        "unknown part",
    ),
    "not a share": (("--trusted", "trusted.npz", "--level", 5), "between 0 and 1"),
    "no queue": (("--trusted", "trusted.npz", "--queue", 1), "queue that holds a batch"),
    "no port": (("--trusted", "trusted.npz", "--port", 99999), "cannot listen on '127.0.0.1'"),
    "not empty": (("--trusted", "trusted.npz", "--fit-only", "."), "new or empty folder"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_done_ends_in_one_clear_line(what, data, kept, monkeypatch):
    monkeypatch.chdir(data)
    arguments, expected = REFUSED[what]
    done = guard(data, *arguments)
    assert done.returncode == 2 and expected in done.stderr, done.stderr
    assert sum(line.startswith("error: ") for line in done.stderr.splitlines()) == 1


def test_a_guard_is_not_served_for_another_network_or_from_broken_files(data, kept, tmp_path):
    out, _ = kept
    done = inside("guard", data / "other.safetensors", "--fitted", out, "--port", 0)
    assert done.returncode == 2 and "fitted for another model" in done.stderr
    (tmp_path / "guard.json").write_text('{"schema": "mithridate.guard/1", "domain": {"name": 3}}')
    done = served(data, tmp_path, "--port", 0)
    assert done.returncode == 2 and "expected a whole guard" in done.stderr
    done = served(data, data, "--port", 0)
    assert done.returncode == 2 and "found none" in done.stderr
    assert "a bug" not in done.stderr
    assert served(data, out, "--guard", "spectral-signatures", "--port", 0).returncode == 2


def test_texts_can_be_guarded(tmp_path):
    from mithridate.domains.text.domain import TextDomain

    texts = np.array(["a good film", "a bad film"] * 60, dtype=object)
    made, domain = dataset(texts, torch.arange(120) % 2, ["bad", "good"]), TextDomain()
    model = domain.network(made, "", stream(0, "network"))
    fit(model, made, domain, TrainingConfig(epochs=8, batch_size=20), stream(0, "fit"))
    kept_network.save(model, tmp_path / "model.safetensors", kept_network.Note("", made.classes))
    rows = [{"text": t, "label": made.classes[y]} for t, y in zip(texts, made.labels, strict=True)]
    lines = "\n".join(map(json.dumps, rows))
    (tmp_path / "trusted.jsonl").write_text(lines)
    done = inside(
        "guard", tmp_path / "model.safetensors", "--trusted", tmp_path / "trusted.jsonl",
        "--guard", "nearest-neighbours", "--fit-only", tmp_path / "out",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
