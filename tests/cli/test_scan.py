"""`mithridate scan data`: verdicts, files, and real processes that are stopped and go on."""

import re
import signal
import time
from dataclasses import replace

import pytest

from cli.runs import inside, report, save_npz, save_tree, shapes, stamped, start
from mithridate.cli import answer
from report.example import pictures, scan_of

TRAINING = (
    "--epochs", 6, "--permutations", 199, "--power", 0,
    "--detectors", "spectral-signatures,activation-clustering",
)  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A poisoned set, its clean twin, and trusted examples."""
    folder = tmp_path_factory.mktemp("data")
    images, labels = shapes(300, 1)
    save_npz(folder / "clean.npz", images, labels)
    stamped(images, labels, 30)
    save_npz(folder / "poisoned.npz", images, labels)
    save_npz(folder / "trusted.npz", *shapes(150, 2))
    return folder


@pytest.fixture(scope="module")
def poisoned_scan(data, tmp_path_factory):
    """A scan of the poisoned set that keeps what it can keep."""
    out = tmp_path_factory.mktemp("scan")
    done = inside(
        "scan", "data", data / "poisoned.npz", "--trusted", data / "trusted.npz", *TRAINING,
        "--out", out / "report", "--cleaned", out / "cleaned",
        "--save-model", out / "m.safetensors",
    )  # fmt: skip
    return done, out


def test_poison_is_flagged_with_status_1(poisoned_scan):
    done, out = poisoned_scan
    assert done.returncode == 1, done.stderr
    assert "Verdict: FLAGGED" in done.stdout
    found = report(out / "report")
    assert found["verdict"]["answer"] == "flagged"
    poisoned = set(range(1, 300)) & {i for i in range(45) if i % 3}
    named = [i for i, flag in enumerate(found["examples"]["flagged"]) if flag]
    assert len(poisoned & set(named)) >= 25
    assert str(out / "report" / "report.html") in done.stdout


def test_what_is_read_and_how_long_it_takes_is_said_before(poisoned_scan):
    done, _ = poisoned_scan
    assert re.search(r"read 300 suspect examples .*uint8 1x8x8.* 3 classes; .*: 150", done.stderr)
    assert re.search(r"training 6 epochs on cpu and asking detectors: about \d+ s", done.stderr)


def test_the_cleaned_copy_lacks_exactly_what_is_named(poisoned_scan):
    import numpy as np

    _, out = poisoned_scan
    found = report(out / "report")
    kept = [i for i, flag in enumerate(found["examples"]["flagged"]) if not flag]
    (file,) = (out / "cleaned").iterdir()
    images, labels = shapes(300, 1)
    stamped(images, labels, 30)
    with np.load(file) as copy:
        assert (copy["images"] == images[kept].numpy()).all()
        assert (copy["labels"] == labels[kept].numpy()).all()


def test_no_checkpoint_is_left_behind(poisoned_scan):
    _, out = poisoned_scan
    names = sorted(path.name for path in (out / "report").iterdir())
    assert names == ["flagged.csv", "report.html", "report.json"]


def test_the_kept_network_gives_the_same_scores_again(data, poisoned_scan, tmp_path):
    _, out = poisoned_scan
    done = inside(
        "scan", "data", data / "poisoned.npz", "--trusted", data / "trusted.npz", *TRAINING,
        "--out", tmp_path, "--model", out / "m.safetensors", "--model-saw", "both",
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "epochs" not in done.stderr
    first, second = report(out / "report"), report(tmp_path)
    assert first["examples"]["scores"] == second["examples"]["scores"]


def test_the_clean_twin_is_clean_with_status_0(data, tmp_path):
    done = inside(
        "scan", "data", data / "clean.npz", "--trusted", data / "trusted.npz", *TRAINING,
        "--out", tmp_path, "--smallest", "0.1",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Verdict: CLEAN" in done.stdout
    assert "what this scan would have missed was not measured: --power 0" in done.stdout
    assert report(tmp_path)["power"] is None


def test_without_trusted_examples_it_cannot_judge_with_status_3(data, tmp_path):
    done = inside(
        "scan", "data", data / "poisoned.npz", *TRAINING, "--out", tmp_path, "--smallest", "0.1",
        "--cleaned", tmp_path / "cleaned",
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    assert "Verdict: CANNOT JUDGE" in done.stdout
    assert re.search(r"needs about \d+ trusted examples", done.stdout)
    assert not (tmp_path / "cleaned").exists(), "a copy that looks clean and is not"
    scores = report(tmp_path)["examples"]["scores"]["activation-clustering"]
    assert len(scores) == 300, "the ranking is written all the same"


def test_hostile_names_and_broken_pictures_reach_the_report_and_not_the_terminal(tmp_path):
    evil = "\x1b[31m[bold]<b>\n"
    for part, seed in (("suspect", 1), ("trusted", 2)):
        folder = save_tree(tmp_path / part, *shapes(60, seed), name=evil)
        (folder / "class 1").rename(folder / evil)
    broken = tmp_path / "suspect" / evil / f"{evil}-001.png"
    broken.write_bytes(broken.read_bytes()[:60])
    done = inside(
        "scan", "data", tmp_path / "suspect", "--trusted", tmp_path / "trusted", "--keep-going",
        "--epochs", 1, "--detectors", "spectral-signatures", "--permutations", 99, "--limit", 50,
        "--out", tmp_path / "out",
    )  # fmt: skip
    assert done.returncode in (1, 3), done.stderr
    said = done.stdout + done.stderr
    assert "\x1b" not in said and "\\x1b[31m[bold]<b>\\n" in done.stdout
    assert "left out 1 broken examples" in done.stderr
    found = report(tmp_path / "out")
    assert [each["name"] for each in found["rejected"]] == [f"{evil}/{evil}-001.png"]
    examples = found["examples"]
    assert len(examples["names"]) == len(set(examples["names"])) == 50
    assert all(
        name.startswith(f"{(evil, 'class 0', 'class 2')[label]}/")
        for name, label in zip(examples["names"], examples["labels"], strict=True)
    ), "a drawn example lost its name"


def test_a_split_can_be_named_after_a_path(tmp_path):
    for split, seed in (("train", 1), ("test", 2)):
        save_npz(tmp_path / f"{split}.npz", *shapes(60, seed))
    done = inside(
        "scan", "data", f"{tmp_path}:train", "--trusted", f"{tmp_path}:test", "--epochs", 1,
        "--detectors", "spectral-signatures", "--permutations", 99, "--out", tmp_path / "out",
    )  # fmt: skip
    assert done.returncode in (0, 1, 3), done.stderr
    assert "trusted examples: 60" in done.stderr
    assert report(tmp_path / "out")["examples"]["names"][0] == "train.npz row 0"


def wait_for_checkpoint(process, out, *, newer_than=0.0):
    """Wait until a part of the training is on disk; returns when it was written."""
    end = time.monotonic() + 120
    while time.monotonic() < end and process.poll() is None:
        for path in out.glob("unfinished-*/training.safetensors"):
            if path.stat().st_mtime > newer_than:
                return path.stat().st_mtime
        time.sleep(0.005)
    if process.poll() is None:
        raise AssertionError(f"no checkpoint: {process.communicate()}")
    return end  # it ended, and took its checkpoint along


def killed_and_interrupted(command, out):
    """Kill a scan, begin it again and interrupt it; gives what it said, None if it was too fast."""
    killed = start(*command, "--out", out)
    written = wait_for_checkpoint(killed, out)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    if killed.returncode != -signal.SIGKILL:
        return None
    interrupted = start(*command, "--out", out)
    wait_for_checkpoint(interrupted, out, newer_than=written)
    interrupted.send_signal(signal.SIGINT)
    _, said = interrupted.communicate()
    return said if interrupted.returncode == 130 else None


def test_a_killed_and_then_interrupted_scan_ends_as_one_that_ran_through(data, tmp_path):
    command = (
        "scan", "data", data / "clean.npz", "--trusted", data / "trusted.npz", "--epochs", 25,
        "--detectors", "spectral-signatures,early-loss", "--permutations", 99, "--power", 0,
        "--network", "resnet9:4",
    )  # fmt: skip
    through = inside(*command, "--out", tmp_path / "through")
    assert through.returncode in (0, 3), through.stderr

    # On a busy core a training can end before this process gets its turn to stop it.
    attempts = (tmp_path / f"stopped-{number}" for number in range(4))
    said, out = next(
        ((said, out) for out in attempts if (said := killed_and_interrupted(command, out))),
        (None, None),
    )
    assert said is not None, "no scan could be stopped in four attempts"
    assert "going on with the training that is kept in" in said
    assert "stopped" in said and "goes on from there" in said and "Traceback" not in said

    resumed = inside(*command, "--out", out)
    assert resumed.returncode == through.returncode, resumed.stderr
    assert "going on with the training" in resumed.stderr
    one, other = report(tmp_path / "through"), report(out)
    assert one["examples"] == other["examples"]
    assert one["verdict"] == other["verdict"]
    assert not list(out.glob("unfinished-*"))


def test_a_copy_of_the_suspects_is_no_trusted_set(data, tmp_path):
    (tmp_path / "other.npz").write_bytes((data / "poisoned.npz").read_bytes())
    done = inside(
        "scan", "data", data / "poisoned.npz", "--trusted", tmp_path / "other.npz", *TRAINING,
        "--out", tmp_path / "report",
    )  # fmt: skip
    assert done.returncode == 2
    assert "whoever trusts them has answered already" in done.stderr


def test_a_checked_sample_of_the_suspects_counts_as_trusted_and_is_said(data, tmp_path):
    images, labels = shapes(300, 1)
    save_npz(tmp_path / "checked.npz", images[:120], labels[:120])
    done = inside(
        "scan", "data", data / "clean.npz", "--trusted", tmp_path / "checked.npz", *TRAINING,
        "--out", tmp_path / "report",
    )  # fmt: skip
    assert done.returncode != 1, done.stdout
    said = "120 trusted examples are copies of suspects"
    found = report(tmp_path / "report")
    assert said in done.stdout
    assert found["overlap"]["vouched"] == list(range(120))
    assert said in (tmp_path / "report" / "report.html").read_text()
    assert not any(found["examples"]["flagged"][:120])


@pytest.mark.parametrize(
    ("named", "more", "words"),
    [
        (True, {}, "; expect up to 1 of them to be clean, and with 95% confidence at most 3 are"),
        (
            True,
            {"clean_at_most": 7},
            "with 95% confidence no more can be said than that all may be",
        ),
        (True, {"bounded": True}, "; with 95% confidence at most 3 are clean"),
        (False, {}, "0 of 120 examples are named"),
        (False, {"bounded": True, "needed": 130}, "--fdr-bound takes about 130 trusted examples"),
        (False, {"bounded": True}, "for a list that keeps --fdr-bound the evidence is too weak"),
    ],
)
def test_the_words_about_a_list_are_those_of_its_bound(named, more, words, capsys):
    data, trusted = pictures(120), pictures(60, seed=1)
    scan = scan_of(data, trusted, named=named)
    answer.print_verdict(replace(scan, naming=replace(scan.naming, **more)), data, [""] * 120)
    assert words in capsys.readouterr().out


def test_trusted_examples_of_another_source_give_no_error_rate_and_an_order(data, tmp_path):
    images, labels = shapes(150, 2)
    save_npz(tmp_path / "darker.npz", images // 2, labels)
    done = inside(
        "scan", "data", data / "poisoned.npz", "--trusted", tmp_path / "darker.npz", *TRAINING,
        "--epochs", 1, "--out", tmp_path / "report",
    )  # fmt: skip
    assert done.returncode == 3
    assert "not of one source: brightness is higher among suspects" in done.stdout
    found = report(tmp_path / "report")
    assert found["verdict"]["answer"] == "cannot judge" and found["differ"][0]["large"]
    assert len(found["examples"]["scores"]["spectral-signatures"]) == 300
    assert not any(found["examples"]["flagged"])
