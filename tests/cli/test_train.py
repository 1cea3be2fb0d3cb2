"""`mithridate train`: the network, its card, what is refused, stopping and going on."""

import hashlib
import json
import signal
import time

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from cli.runs import inside, save_npz, save_tree, shapes, stamped, start
from mithridate.cli.outcome import check
from mithridate.core.errors import DataError

SHORT = ("--epochs", 2)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A poisoned set and trusted examples, small and smaller."""
    folder = tmp_path_factory.mktemp("data")
    images, labels = shapes(240, 1)
    stamped(images, labels, 24)
    save_npz(folder / "poisoned.npz", images, labels)
    save_npz(folder / "small.npz", images[:60], labels[:60])
    save_npz(folder / "trusted.npz", *shapes(200, 2))
    return folder


def card(folder):
    """Read the card, as strict JSON."""

    def refuse(constant):
        raise ValueError(constant)

    return json.loads((folder / "card.json").read_text("utf-8"), parse_constant=refuse)


def weights(folder):
    return load_file(folder / "model.safetensors")


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


@pytest.fixture(scope="module")
def dropped(data, tmp_path_factory):
    """A training that scans, drops and trains again."""
    out = tmp_path_factory.mktemp("train") / "out"
    done = inside(
        "train", data / "poisoned.npz", "--trusted", data / "trusted.npz", "--then", "drop",
        "--epochs", 12, "--out", out,
    )  # fmt: skip
    return done, out


def test_what_was_flagged_is_dropped_and_the_card_says_so(dropped):
    done, out = dropped
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in out.iterdir()) == [
        "card.html", "card.json", "model.safetensors",
    ]  # fmt: skip
    found = card(out)
    assert found["scans"][0]["answer"] == "flagged" and found["scans"][0]["flagged"] >= 15
    assert f"without {found['scans'][0]['flagged']} flagged examples" in found["ended"]
    assert found["measured"] == found["damage"]["after"]["n"] == 60
    assert found["damage"]["before"]["value"] > 0.8 and found["damage"]["after"]["value"] > 0.8
    digest = hashlib.sha256((out / "model.safetensors").read_bytes()).hexdigest()
    assert found["network"]["sha256"] == digest
    assert found["cost"]["forward"] > 12 * 240 and found["cost"]["seconds"] > 0


def test_cost_is_said_before_and_what_is_unknown_after(dropped):
    done, out = dropped
    assert "training by standard on cpu, twice where the scan flags something: about" in done.stderr
    assert "Accuracy on 60 trusted examples set apart:" in done.stdout
    assert "What remains unknown:\n- No triggered input was tried" in done.stdout
    assert f"wrote {out / 'card.html'}" in done.stdout


def test_the_network_can_be_scanned_with(data, dropped, tmp_path):
    _, out = dropped
    with safe_open(out / "model.safetensors", "pt") as opened:
        note = json.loads(opened.metadata()["mithridate"])
    assert note["classes"] == ["0", "1", "2"] and note["trainer"] == "standard"
    done = inside(
        "scan", "data", data / "poisoned.npz", "--model", out / "model.safetensors", "--detectors",
        "spectral-signatures", "--permutations", 99, "--out", tmp_path,
    )  # fmt: skip
    assert done.returncode == 3, done.stderr


def test_without_trusted_examples_nothing_is_measured(data, tmp_path):
    done = inside("train", data / "small.npz", "--out", tmp_path / "out", *SHORT)
    assert done.returncode == 0, done.stderr
    found = card(tmp_path / "out")
    assert found["damage"] is None and found["then"] == "none"
    assert any("No trusted examples were given" in each for each in found["unknown"])


def test_settings_and_another_network_reach_the_training(data, tmp_path):
    done = inside(
        "train",
        data / "small.npz",
        "--out",
        tmp_path / "out",
        "--network",
        "resnet9:4",
        "--set",
        "training.learning_rate=0.05",
        "--set",
        "training.epochs=1",
        "--trusted",
        data / "trusted.npz",
    )
    assert done.returncode == 0, done.stderr
    found = card(tmp_path / "out")
    assert found["method"]["config"]["training"]["learning_rate"] == 0.05
    assert found["method"]["config"]["training"]["epochs"] == 1
    assert found["cost"]["backward"] == 60
    assert found["damage"]["before"] is None and found["measured"] == 200
    assert found["network"]["name"] == "resnet9:4"


@pytest.mark.parametrize("trainer", ["cutmix"])
def test_another_trainer_is_driven_alike(trainer, data, tmp_path):
    done = inside("train", data / "small.npz", "--out", tmp_path, "--trainer", trainer, *SHORT)
    assert done.returncode == 0, done.stderr
    found = card(tmp_path)
    assert found["method"]["name"] == trainer
    assert found["method"]["config"]["training"]["epochs"] == 2
    assert found["method"]["config"]["training"]["learning_rate"] == 0.05, "its own rate was lost"


@pytest.mark.parametrize("then", ["relabel", "unlearn"])
def test_other_ways_to_act_on_a_scan(then, data, tmp_path):
    done = inside(
        "train", data / "small.npz", "--trusted", data / "trusted.npz", "--then", then, *SHORT,
        "--out", tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert card(tmp_path)["ended"] and card(tmp_path)["then"] == then


def test_the_same_command_gives_the_same_network_and_force_replaces_only_ours(data, tmp_path):
    command = ("train", data / "small.npz", "--out", tmp_path / "out", *SHORT)
    assert inside(*command).returncode == 0
    first = weights(tmp_path / "out")
    refused = inside(*command)
    assert refused.returncode == 2 and "--force replaces it" in refused.stderr
    assert inside(*command, "--force").returncode == 0
    assert same(first, weights(tmp_path / "out"))
    other = inside(*command, "--force", "--seed", 1)
    assert other.returncode == 0 and not same(first, weights(tmp_path / "out"))


def test_a_folder_that_is_not_ours_is_never_touched(data, tmp_path):
    (tmp_path / "file").write_text("x")
    for folder, content in (("theirs", "{}"), ("broken", "not json"), ("list", "[1]")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "card.json").write_text(content)
        for force in (False, True):
            with pytest.raises(DataError, match="no result of train or repair"):
                check(tmp_path / folder, [], force)
    with pytest.raises(DataError, match="found a file"):
        check(tmp_path / "file", [], True)
    with pytest.raises(DataError, match="which is to be read"):
        check(data, [data / "small.npz"], True)
    (tmp_path / "new" / "unfinished-1").mkdir(parents=True)
    check(tmp_path / "new", [data / "small.npz"], False)
    check(tmp_path / "absent", [], False)


REFUSED = {
    "no such trainer": (("--trainer", "standrad"), "did you mean standard"),
    "no such setting": (("--set", "trainin.learning_rate=1"), "did you mean 'training'"),
    "no such part": (("--set", "training.learning_rat=1"), "did you mean 'learning_rate'"),
    "a part of what has none": (
        ("--trainer", "cutmix", "--set", "alpha.x=1"), "'alpha' has no parts",
    ),
    "another type": (("--set", "training.learning_rate=fast"), "learning_rate to be a number"),
    "no value": (("--set", "training.learning_rate"), "FIELD=VALUE"),
    "set twice": (("--set", "training.epochs=1", "--set", "training.epochs=2"), "set twice"),
    "the same twice": (("--set", "training.epochs=3",), "say the same"),
    "no such end": (("--then", "pray"), "none, drop, relabel, unlearn"),
    "a scan without trusted": (("--then", "drop"), "needs --trusted"),
    "another network to relabel": (
        ("--then", "relabel", "--trusted", "trusted.npz", "--trainer", "cutmix"), "--then drop",
    ),
    "trusting the suspects": (("--trusted", "small.npz"), "is the suspect data set itself"),
    "nothing set apart": (
        ("--trusted", "trusted.npz", "--then", "drop", "--apart", 1), "between 0 and 1",
    ),
    "no epochs": (("--epochs", 0), "at least 1 epoch"),
    "no such network": (("--network", "resnet1"), "unknown image network"),
    "code for a network": (("--network", "mine.py:make"), "unknown image network"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_done_ends_in_one_clear_line_and_leaves_nothing(what, data, monkeypatch):
    monkeypatch.chdir(data)
    arguments, expected = REFUSED[what]
    epochs = () if "--epochs" in arguments else SHORT
    done = inside("train", "small.npz", "--out", "nothing", *epochs, *arguments)
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    assert expected in done.stderr
    assert sum(line.startswith("error: ") for line in done.stderr.splitlines()) == 1
    assert "training by" not in done.stderr, "refused after the work had begun"
    assert not (data / "nothing").exists()


def test_broken_examples_can_be_left_out_and_are_listed(tmp_path):
    folder = save_tree(tmp_path / "tree", *shapes(30, 1), name="\x1b[31m<b>")
    broken = next(folder.rglob("*001.png"))
    broken.write_bytes(broken.read_bytes()[:60])
    done = inside("train", folder, "--keep-going", "--out", tmp_path / "out", "--epochs", 1)
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    assert len(card(tmp_path / "out")["rejected"]) == 1
    assert "<b>-001" not in (tmp_path / "out" / "card.html").read_text("utf-8")


def stop_after(monkeypatch, epochs):
    """Let Ctrl-C arrive when so many epochs are done."""

    def stop(self, done, total):
        if done == epochs:
            raise KeyboardInterrupt

    monkeypatch.setattr("mithridate.cli.terminal.Watch.epochs", stop)


@pytest.mark.parametrize("trainer", ["standard", "cutmix"])
def test_a_stopped_training_goes_on_to_the_same_network(data, tmp_path, monkeypatch, trainer):
    command = ("train", data / "small.npz", "--epochs", 5, "--trainer", trainer)
    assert inside(*command, "--out", tmp_path / "through").returncode == 0
    with monkeypatch.context() as patch:
        stop_after(patch, 3)
        stopped = inside(*command, "--out", tmp_path / "out")
    assert stopped.returncode == 130
    assert "stopped: the training so far is kept in" in stopped.stderr
    assert "goes on from there" in stopped.stderr
    resumed = inside(*command, "--out", tmp_path / "out")
    assert resumed.returncode == 0 and "going on with the training" in resumed.stderr
    assert same(weights(tmp_path / "through"), weights(tmp_path / "out"))
    assert card(tmp_path / "out")["cost"]["backward"] == 2 * 60, "it began again"
    assert any("since" in each for each in card(tmp_path / "out")["done"])
    assert len(list((tmp_path / "out").iterdir())) == 3, "the unfinished work was left behind"


def test_a_training_that_is_stopped_before_its_first_epoch_begins_again(
    data, tmp_path, monkeypatch
):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("mithridate.cli.work.train.work_on", stop)
    done = inside("train", data / "small.npz", *SHORT, "--out", tmp_path / "out")
    assert done.returncode == 130
    assert "stopped: the same command begins again" in done.stderr


def test_a_real_process_stops_at_once_and_keeps_what_it_has(data, tmp_path):
    running = start("train", data / "small.npz", "--epochs", 100_000, "--out", tmp_path, "--yes")
    end = time.monotonic() + 120
    while not list(tmp_path.glob("unfinished-*/training.safetensors")):
        assert running.poll() is None and time.monotonic() < end, running.communicate()
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=120)
    assert running.returncode == 130, said
    assert "stopped: the training so far is kept in" in said and "Traceback" not in said
    assert not (tmp_path / "card.json").exists()
