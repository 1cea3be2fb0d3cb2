"""Whatever is wrong with what was given: status 2, one clear message, no traceback, no files."""

import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from cli.runs import inside, mithridate, save_npz, save_tree, shapes


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Data sets and weights, good and bad."""
    folder = tmp_path_factory.mktemp("bad")
    images, labels = shapes(30, 1)
    save_npz(folder / "good.npz", images, labels)
    save_npz(folder / "other.npz", *shapes(30, 2))
    np.savez(folder / "named.npz", images=images, labels=np.array(["a", "b", "c"])[labels])
    wide = torch.arange(30 * 81, dtype=torch.int64).remainder(256).view(30, 9, 9)
    save_npz(folder / "wide.npz", wide.to(torch.uint8), labels)
    save_npz(folder / "one.npz", images, torch.zeros(30, dtype=torch.int64))
    (folder / "broken.npz").write_bytes(b"PK\x03\x04 and no more")
    (folder / "empty").mkdir()
    save_tree(folder / "truncated", images, labels, name="i")
    first = next((folder / "truncated").rglob("*.png"))
    first.write_bytes(first.read_bytes()[:60])
    (folder / "texts.csv").write_text("text,label\ngood,1\nbad,0\nfine,1\n")
    (folder / "keys.csv").write_text("text,key\ngood,1\nbad,0\n")
    (folder / "full").mkdir()
    (folder / "full" / "file").write_text("x")
    save_file({"other": torch.zeros(1)}, folder / "other.safetensors")
    (folder / "broken.safetensors").write_bytes(b"no tensors")
    with (folder / "code.pt").open("wb") as file:
        pickle.dump(Evil(folder / "evil"), file)
    torch.save([1, 2], folder / "list.pt")
    torch.save({0: torch.zeros(1)}, folder / "numbered.pt")
    return folder


class Evil:
    """An object that leaves a mark where it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return (open, (str(self.mark), "w"))


@pytest.fixture
def fails(monkeypatch, data):
    """Run the program in this process; gives its message."""

    def run(*arguments):
        done = inside(*arguments)
        assert done.returncode == 2, done.stdout + done.stderr
        assert "Traceback" not in done.stderr and "Verdict" not in done.stdout
        return done.stderr

    monkeypatch.chdir(data)
    return run


GOOD = ("good.npz", "--epochs", 1)
SCANS = {
    "no such path": (("nowhere",), "no such file or folder"),
    "nearly a named set": (("digit",), "did you mean 'digits'"),
    "no such split": (("digits:dev",), "has no split 'dev'"),
    "a named set of another size": (("digits", "--size", 16), "keeps its size [8, 8]"),
    "an empty folder": (("empty",), "found an empty folder"),
    "a truncated picture": (("truncated",), "(--keep-going lists such"),
    "a broken archive": (("broken.npz",), "broken.npz"),
    "one class": (("one.npz",), "at least two classes"),
    "no such column": (("texts.csv", "--label", "lable"), "did you mean 'label'"),
    "no label column": (("keys.csv",), "name it with --label"),
    "an impossible size": (("truncated", "--size", 0), "size of 4 to 4096"),
    "trusted elsewhere": ((*GOOD, "--trusted", "nowhere"), "no such file or folder"),
    "trusted of other classes": ((*GOOD, "--trusted", "named.npz"), "name the classes alike"),
    "trusted of another shape": ((*GOOD, "--trusted", "wide.npz"), "different shapes"),
    "trusting the suspects": ((*GOOD, "--trusted", "good.npz"), "is the suspect data set itself"),
    "a count of no trusted": ((*GOOD, "--trusted-count", 5), "--trusted, which is absent"),
    "too many trusted": (
        (*GOOD, "--trusted", "other.npz", "--trusted-count", 31), "trusted examples in 1..30",
    ),
    "too large a limit": ((*GOOD, "--limit", 31), "suspect examples in 1..30"),
    "no such detector": (
        (*GOOD, "--detectors", "spectrum"),
        "unknown detector 'spectrum': did you mean spectre or spectral",
    ),
    "no detector": ((*GOOD, "--detectors", ","), "expected the names of detectors"),
    "no such network": ((*GOOD, "--network", "resnet1"), "unknown image network 'resnet1'"),
    "no such device": ((*GOOD, "--device", "tpu9"), "cannot be used here"),
    "a level above 1": ((*GOOD, "--level", 5), "--level between 0 and 1"),
    "fewer than no copies": ((*GOOD, "--power", -1), "--power 0 or more"),
    "no permutations": ((*GOOD, "--permutations", 0), "at least 1 permutation"),
    "no epochs": (("good.npz", "--epochs", 0), "at least 1 epoch"),
    "flipping texts": (("texts.csv", "--flip"), "mean nothing for data of kind text"),
    "a file for a folder": ((*GOOD, "--out", "texts.csv"), "expected a folder for the report"),
    "a copy over something": ((*GOOD, "--cleaned", "full"), "new or empty folder"),
    "no weights": ((*GOOD, "--model", "nowhere.safetensors"), "no such file"),
    "broken weights": ((*GOOD, "--model", "broken.safetensors"), "found neither"),
    "weights of another network": ((*GOOD, "--model", "other.safetensors"), "do not fit"),
    "weights with code": ((*GOOD, "--model", "code.pt"), "so it was not opened"),
    "weights that are a list": ((*GOOD, "--model", "list.pt"), "expected tensors by name"),
    "weights without names": ((*GOOD, "--model", "numbered.pt"), "expected tensors by name"),
    "an unknown origin": (
        (*GOOD, "--model", "other.safetensors", "--model-saw", "all"), "neither, suspect, both",
    ),
    "nothing left to run": (
        (*GOOD, "--model", "other.safetensors", "--detectors", "early-loss"), "early-loss",
    ),
    "keeping no network": (
        (*GOOD, "--model", "other.safetensors", "--save-model", "m"), "--model trains none",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", SCANS)
def test_a_scan_of_bad_input_ends_in_one_clear_line(what, fails, data, tmp_path):
    arguments, expected = SCANS[what]
    out = () if "--out" in arguments else ("--out", tmp_path / "report")
    said = fails("scan", "data", *arguments, *out)
    assert expected in said
    assert sum(line.startswith("error: ") for line in said.splitlines()) == 1
    assert not (tmp_path / "report").exists() and not (data / "evil").exists()


POISONS = {
    "no such trigger": (("--trigger", "patch-triger"), "did you mean patch-trigger"),
    "no such goal": (("--trigger", "pixel-trigger", "--goal", "all"), "unknown goal 'all'"),
    "no such setting": (
        ("--trigger", "patch-trigger", "--set", "trigger.sise=3"), "did you mean 'size'",
    ),
    "no such part": (("--trigger", "patch-trigger", "--set", "triger.size=3"), "did you mean"),
    "no assignment": (("--trigger", "patch-trigger", "--set", "size 3"), "PART.FIELD=VALUE"),
    "another type": (
        ("--trigger", "patch-trigger", "--set", "trigger.size=big"), "size to be a whole number",
    ),
    "a trigger off the picture": (
        ("--trigger", "patch-trigger", "--set", "trigger.size=99"), "leaves the image",
    ),
    "texts for pictures": (("--trigger", "word-trigger"), "word-trigger is for text data"),
    "more than there is": (
        ("--trigger", "pixel-trigger", "--set", "selection.poison_rate=99"), "only 20 of 30",
    ),
    "no such class": (
        ("--trigger", "pixel-trigger", "--set", "goal.target=7"),
        "goal.target=7: expected the name of a class or a number in 0..2",
    ),
    "a trap of other classes": (
        ("--trigger", "pixel-trigger", "--trap", "named.npz"), "classes of the training data",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", POISONS)
def test_poisoning_that_cannot_be_done_leaves_nothing_behind(what, fails, data):
    arguments, expected = POISONS[what]
    amount = () if "poison_rate" in str(arguments) else ("--set", "selection.poison_rate=2")
    assert expected in fails("poison", "good.npz", "--out", "out", *arguments, *amount)
    assert not (data / "out").exists()


def test_wrong_flags_and_verbs_have_status_2(fails):
    assert "--levle" in fails("scan", "data", "good.npz", "--levle", "0.1")
    assert "scam" in fails("scam")
    assert "did you mean 'goal'" in fails("methods", "gaol")


def test_a_bug_does_not_look_like_a_verdict(fails, monkeypatch):
    def broken(*_, **__):
        raise ZeroDivisionError("oh")

    monkeypatch.setattr("mithridate.cli.work.scan_data.find_source", broken)
    assert "ZeroDivisionError: oh (a bug" in fails("scan", "data", "good.npz")


def test_what_the_system_refuses_is_one_line_with_the_file(fails, tmp_path):
    (tmp_path / "file").write_text("x")
    said = fails("scan", "data", *GOOD, "--detectors", "random", "--out", tmp_path / "file" / "out")
    assert said.count("error: ") == 1 and "file" in said


def test_hostile_names_cannot_speak_to_the_terminal(fails, data):
    said = fails("scan", "data", "\x1b]0;owned\x07 [bold]x")
    assert "\x1b" not in said and "\\x1b" in said and "[bold]x" in said


def test_a_real_process_ends_with_status_2_and_one_line(data):
    done = mithridate("scan", "data", data / "broken.npz", "--out", data / "report")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1


def test_the_traceback_is_shown_on_request(data, monkeypatch):
    monkeypatch.setenv("MITHRIDATE_DEBUG", "1")
    done = inside("scan", "data", data / "nowhere")
    assert done.returncode == 2
    assert "Traceback" in done.stderr and "error: " in done.stderr
