"""`mithridate federate`: what it writes can be read, and it says what is wrong."""

import json
import re

import pytest

from cli.runs import inside, save_npz, shapes

QUICK = (
    "--clients", 4, "--rounds", 2, "--network", "resnet9:2", "--set", "training.epochs=1",
    "--set", "training.batch_size=16",
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("federate")
    save_npz(folder / "all.npz", *shapes(160, 1))
    (folder / "writers").write_text("\n".join(f"writer {n // 8}" for n in range(160)))
    return folder


@pytest.fixture(scope="module")
def done(folder):
    return inside(
        "federate", folder / "all.npz", "--out", folder / "out", *QUICK, "--attackers", 1,
        "--attack", "badnets", "--poison-rate", 0.5, "--aggregator", "lockdown",
        "--division", "by-group", "--groups", folder / "writers", "--set", "protocol.alpha=0.2",
    )  # fmt: skip


def test_it_says_what_came_out(done):
    assert done.returncode == 0, done.stderr
    assert "4 clients trained in 2 rounds; the server aggregated by lockdown." in done.stdout
    assert "attacked, by data-poisoning" in done.stdout
    assert "Attack success of the unfused model" in done.stdout
    assert "2 rounds of 4 clients on cpu: about" in done.stderr


def test_the_record_and_the_page_hold_every_round_and_client(done, folder):
    record = json.loads((folder / "out" / "federation.json").read_text())
    assert [line["number"] for line in record["rounds"]] == [0, 1]
    assert [len(line["clients"]) for line in record["rounds"]] == [4, 4]
    assert sum(each["attacks"] for each in record["clients"]) == 1
    assert record["protocol"]["config"]["alpha"] == 0.2
    assert set(record["rounds"][0]["seen"]) == {"fused", "unfused"}
    page = (folder / "out" / "federation.html").read_text()
    assert "client 3, round 2: norm" in page
    assert page.count('class="plot"') == 2 + 4, "two curves; suspicion, norm, cosine, overlap"
    assert "<script" not in page
    assert (folder / "out" / "model.safetensors").is_file()
    assert not (folder / "out" / "unfinished-federation").exists()


def test_what_is_there_is_replaced_only_when_that_is_said(done, folder):
    again = ("federate", folder / "all.npz", "--out", folder / "out", *QUICK)
    assert "--force replaces it" in inside(*again).stderr
    forced = inside(*again, "--force", "--participation", 0.5)
    assert forced.returncode == 0, forced.stderr
    assert "Nobody attacked." in forced.stdout
    page = (folder / "out" / "federation.html").read_text()
    assert "ranked nobody" in page and "Trained in 2 rounds" in page


@pytest.mark.parametrize(
    "given, says",
    [
        (("--attack", "badnets"), "say --attackers 1 or more"),
        (("--aggregator", "krumm"), "did you mean krum"),
        (("--client-attack", "neurotoxi"), "did you mean neurotoxin"),
        (("--division", "dirichle"), "did you mean 'dirichlet'"),
        (("--division", "by-group"), "needs the group of each"),
        (("--groups", "nowhere"), "no other division takes groups"),
        (("--aggregator", "fltrust"), "needs trusted data of the server; name them by --trusted"),
        (("--attackers", 5, "--attack", "badnets"), "--attackers in 0..4, found 5"),
        (("--attackers", -1), "--attackers in 0..4, found -1"),
        (("--attackers", 1), "does nothing but poison: say how by --attack"),
        (("--attackers", 1, "--client-attack", "dba"), "does nothing but poison"),
        (("--client-attack", "neurotoxin"), "say --attackers 1 or more"),
        (("--set", "client.radius=1"), "say --attackers 1 or more"),
        (("--participation", "nan"), "participation in (0, 1], found nan"),
        (("--set", "server.server_rate=nan"), "a server_rate above 0, found nan"),
        (("--set", "server.rounds=zero"), "a whole number"),
        (("--set", "serve.rate=1"), "unknown part 'serve'"),
        (("--set", "protocol.alpha=1"), "--protocol"),
        (("--rounds", 0), "1 round or more"),
        (("--test", "digits:test"), "expected test examples of the classes"),
        (
            ("--attackers", 1, "--attack", "badnets", "--poison-rate", "nan"),
            "must not be negative and must be finite, found nan",
        ),
    ],
)
def test_what_is_wrong_is_said(given, says, folder, tmp_path):
    ended = inside("federate", folder / "all.npz", "--out", tmp_path / "new", *QUICK, *given)
    assert ended.returncode == 2
    assert says in ended.stderr
    assert not (tmp_path / "new").exists()


def test_test_data_are_others(folder, tmp_path):
    same = ("federate", folder / "all.npz", "--test", folder / "all.npz", "--out", tmp_path, *QUICK)
    assert "is the data set that clients train on itself" in inside(*same).stderr


def test_groups_are_those_of_the_file(folder, tmp_path):
    (tmp_path / "few").write_text("one\ntwo\n")
    ended = inside(
        "federate", folder / "all.npz", "--out", tmp_path / "new", *QUICK, "--division", "by-group",
        "--groups", tmp_path / "few",
    )  # fmt: skip
    assert "expected a line for each of 160 examples, found 2" in ended.stderr


def test_groups_that_are_no_text_are_refused_and_nothing_begins(folder, tmp_path):
    (tmp_path / "torn").write_bytes(b"\xff\xfe\n")
    ended = inside(
        "federate", folder / "all.npz", "--out", tmp_path / "new", *QUICK, "--division", "by-group",
        "--groups", tmp_path / "torn",
    )  # fmt: skip
    assert ended.returncode == 2 and "expected lines of UTF-8" in ended.stderr
    assert not (tmp_path / "new").exists()


def test_a_training_that_diverges_is_reported(folder, tmp_path):
    """All updates are refused, and the losses of the record are none; no traceback."""
    ended = inside(
        "federate", folder / "all.npz", "--out", tmp_path, *QUICK, "--set",
        "training.learning_rate=nan", "--rounds", 1,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert "4 clients trained in 1 round;" in ended.stdout
    assert "In 1 round too few clients were let in, and the model stayed." in ended.stdout
    page = (tmp_path / "federation.html").read_text()
    assert "No update was let in" in page and "in 1 of 1 round: " in page
    assert re.search(r'd="M[\d.]+ [\d.]+h4"', page), "accuracy of the one round is drawn"
    record = json.loads((tmp_path / "federation.json").read_text())
    assert all("not finite" in line["refused"] for line in record["rounds"][0]["clients"])


def test_one_that_was_stopped_while_it_wrote_goes_on(folder, tmp_path):
    (tmp_path / "unfinished-federation").mkdir()
    (tmp_path / "model.safetensors").write_bytes(b"")
    again = ("federate", folder / "all.npz", "--out", tmp_path, *QUICK)
    assert inside(*again).returncode == 0
    (tmp_path / "federation.json").write_text("{}")
    assert "no result of federate" in inside(*again, "--force").stderr
