"""`mithridate scan file`: the verdict, its exit status and what reaches terminal and JSON."""

import json
import os
import pickle

import numpy
import pytest
import torch
from safetensors.torch import save_file

from cli.runs import inside, mithridate


class Evil:
    def __reduce__(self):
        return os.mkdir, ("evil",)


def test_a_clean_file_has_status_0(tmp_path):
    torch.save({"a": torch.ones(2)}, tmp_path / "m.pt")
    done = inside("scan", "file", tmp_path / "m.pt")
    assert done.returncode == 0, done.stderr
    assert (
        "Verdict: CLEAN" in done.stdout and "a backdoor in its weights is not seen" in done.stdout
    )


def test_code_has_status_1_is_named_and_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.safetensors").write_bytes(pickle.dumps(Evil()))
    done = mithridate("scan", "file", "m.safetensors", "--json", "out.json")
    assert done.returncode == 1, done.stderr
    assert "Verdict: FLAGGED" in done.stdout and "mkdir" in done.stdout
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["answer"] == "flagged" and found["format"] == "pickle"
    assert found["findings"][0]["severity"] == "danger"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.safetensors", "out.json"]


def test_what_cannot_be_looked_at_has_status_3_and_is_said(tmp_path):
    (tmp_path / "m").write_bytes(b"GGUF" + b"\0" * 99)
    done = inside("scan", "file", tmp_path / "m")
    assert done.returncode == 3
    assert "Verdict: CANNOT JUDGE" in done.stdout and "What could not be looked at:" in done.stdout


def test_nan_weights_are_flagged_unless_values_are_left_out(tmp_path):
    save_file({"a": torch.tensor([1.0, float("nan")])}, tmp_path / "m")
    assert inside("scan", "file", tmp_path / "m").returncode == 1
    assert inside("scan", "file", tmp_path / "m", "--no-values").returncode == 0


def test_a_number_of_numpy_beside_the_weights_is_told_and_flags_nothing(tmp_path):
    whole = {"best_acc": numpy.float64(0.91), "state_dict": {"a": torch.ones(2)}}
    torch.save(whole, tmp_path / "m.pt")
    done = inside("scan", "file", tmp_path / "m.pt", "--json", tmp_path / "o.json")
    assert done.returncode == 0, done.stdout
    assert "Verdict: CLEAN, with warnings" in done.stdout and "plain arrays" in done.stdout
    findings = json.loads((tmp_path / "o.json").read_text())["findings"]
    assert {(each["severity"], each["harmless"]) for each in findings} == {("warning", True)}
    torch.save({**whole, "weight": torch.tensor([float("nan")])}, tmp_path / "m.pt")
    assert inside("scan", "file", tmp_path / "m.pt").returncode == 1


def test_a_program_is_a_danger_unless_it_is_expected(tmp_path):
    torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)).save(str(tmp_path / "m.pt"))
    assert inside("scan", "file", tmp_path / "m.pt").returncode == 1
    assert inside("scan", "file", tmp_path / "m.pt", "--code").returncode == 0


def test_names_from_the_file_cannot_speak_to_the_terminal(tmp_path):
    evil = "\x1b[31m[bold]\u202e<script>"
    value = torch.tensor([float("nan")])
    path = tmp_path / "m"
    save_file({evil: value}, path)
    done = inside("scan", "file", path, "--json", tmp_path / "o.json")
    assert done.returncode == 1
    assert "\x1b" not in done.stdout and "\u202e" not in done.stdout
    assert "\\x1b[31m[bold]\\u202e<script>" in done.stdout
    words = (tmp_path / "o.json").read_bytes()
    assert b"\x1b" not in words and words.isascii()
    assert json.loads(words)["findings"][0]["where"] == evil


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["nowhere"], "no such file"),
        (["."], "found a folder"),
        (["m", "--json", "m"], "is the file to scan"),
        (["m", "--json", "no/such/o.json"], "folder that exists"),
    ],
)
def test_what_cannot_be_done_has_status_2(arguments, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_file({"a": torch.ones(1)}, tmp_path / "m")
    done = inside("scan", "file", *arguments)
    assert done.returncode == 2 and expected in done.stderr and "Traceback" not in done.stderr
