"""`mithridate repair`: from weights to weights with a card, and what is refused."""

import copy
import json
from collections import OrderedDict

import pytest
import torch
from safetensors.torch import load_file, save_file

from cli.runs import inside, save_npz, save_tree, shapes, stamped
from cli.test_train import card, same, weights

NET = """from torch import nn
def build(classes):
    return nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(),
                         nn.AdaptiveMaxPool2d((6, 1)), nn.Flatten(), nn.Linear(48, classes))
"""


def own_network():
    """A network of nobody's library, trained by a loop of the user's."""
    scope = {}
    exec(NET, scope)
    torch.manual_seed(0)
    net, (images, labels) = scope["build"](3), shapes(120, 1)
    optimiser = torch.optim.Adam(net.parameters(), 0.02)
    for _ in range(60):
        loss = torch.nn.functional.cross_entropy(net(images[:, None].float() / 255), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return net.eval()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A poisoned set, trusted examples, and a network that was trained on the former."""
    folder = tmp_path_factory.mktemp("data")
    images, labels = shapes(120, 1)
    stamped(images, labels, 12)
    save_npz(folder / "poisoned.npz", images, labels)
    save_npz(folder / "trusted.npz", *shapes(90, 2))
    save_npz(folder / "few.npz", *shapes(8, 2))
    save_npz(folder / "two.npz", *shapes(60, 2, classes=2))
    save_npz(folder / "four.npz", *shapes(60, 2)[:1], torch.arange(60) % 4)
    done = inside("train", folder / "poisoned.npz", "--epochs", 8, "--out", folder / "model")
    assert done.returncode == 0, done.stderr
    (folder / "broken.safetensors").write_bytes(b"no tensors")
    tensors = load_file(folder / "model" / "model.safetensors")
    torch.save(tensors, folder / "model.pt")
    save_file({"other": torch.zeros(1)}, folder / "other.safetensors")
    return folder


@pytest.fixture(scope="module")
def repaired(data, tmp_path_factory):
    """A repair with suspects, by the default repair."""
    out = tmp_path_factory.mktemp("repair") / "out"
    done = inside(
        "repair", data / "model" / "model.safetensors", "--trusted", data / "trusted.npz",
        "--data", data / "poisoned.npz", "--model-saw", "neither", "--out", out,
        "--set", "rates=0.02,0.05", "--set", "planting=80",
    )  # fmt: skip
    return done, out


def test_the_repaired_network_and_its_card_are_written(data, repaired):
    done, out = repaired
    assert done.returncode in (0, 1), "an own backdoor may be left, and that is said"
    assert ("REPAIRED" in done.stdout) == bool(done.returncode), done.stdout
    assert sorted(path.name for path in out.iterdir()) == [
        "card.html", "card.json", "model.safetensors",
    ]  # fmt: skip
    found = card(out)
    assert found["verb"] == "repair" and found["method"]["name"] == "self-chosen"
    assert len(found["own"]) == 2 and "backdoors of its own" in found["ended"]
    assert found["method"]["used"] == ["clean", "model"]
    assert found["measured"] == found["damage"]["after"]["n"] == 27
    assert found["changed"]["n"] == 120 and len(found["scans"]) == 2
    assert found["cost"]["backward"] > 0 and found["cost"]["seconds"] > 0
    before, after = weights(data / "model"), weights(out)
    assert before.keys() == after.keys() and not same(before, after)


def test_what_is_said_before_and_after(repaired):
    done, out = repaired
    assert "read 90 trusted examples (image, npz), 3 classes; suspect examples: 120" in done.stderr
    assert "repairing by self-chosen on cpu: about" in done.stderr
    assert "Accuracy on 27 trusted examples set apart:" in done.stdout
    assert "Verdict before:" in done.stdout and "Verdict by the repaired network:" in done.stdout
    assert "Its own backdoor, " in done.stdout and "be of another kind" in done.stdout
    assert f"wrote {out / 'model.safetensors'}" in done.stdout


def repair(data, out, *more, model="model/model.safetensors", by="do-nothing"):
    return inside(
        "repair", data / model, "--trusted", data / "trusted.npz", "--repair", by, "--out", out,
        *more,
    )  # fmt: skip


def test_doing_nothing_changes_nothing_and_a_pt_file_will_do(data, tmp_path):
    for number, model in enumerate(("model/model.safetensors", "model.pt")):
        out = tmp_path / str(number)
        done = repair(data, out, model=model)
        assert done.returncode == 0, done.stderr
        assert same(weights(data / "model"), weights(out))
        found = card(out)
        assert found["damage"]["changed"]["value"] == 0 == found["damage"]["fall"]
        assert found["scans"] == [] and found["changed"] is None


def test_repairs_can_be_chained_and_the_note_survives(data, repaired, tmp_path):
    _, out = repaired
    done = repair(data, tmp_path / "again", "--set", "epochs=1", by="fine-tuning",
                  model=out / "model.safetensors")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert card(tmp_path / "again")["method"]["config"]["epochs"] == 1
    assert card(tmp_path / "again")["network"]["classes"] == ["0", "1", "2"]


def test_classes_are_matched_by_name_and_not_by_number(tmp_path):
    tree = save_tree(tmp_path / "all", *shapes(60, 1), name="i")
    assert inside("train", tree, "--out", tmp_path / "m").returncode == 0
    part = save_tree(tmp_path / "part", *shapes(60, 2), name="j")
    for path in (part / "class 0").iterdir():
        path.unlink()
    (part / "class 0").rmdir()
    done = inside(
        "repair", tmp_path / "m" / "model.safetensors", "--trusted", part, "--repair",
        "do-nothing", "--out", tmp_path / "out",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = card(tmp_path / "out")["damage"]
    assert [each["after"]["n"] for each in found["classes"]] == [0, 6, 6]
    assert found["before"]["value"] > 0.8, "the labels were shifted"


REFUSED = {
    "no weights": ({"model": "nowhere.safetensors"}, (), "no such file"),
    "broken weights": ({"model": "broken.safetensors"}, (), "found neither"),
    "other weights": ({"model": "other.safetensors"}, (), "do not fit"),
    "no such repair": ({"by": "fine-tunning"}, (), "did you mean fine-tuning"),
    "no such setting": ({}, ("--set", "epoch=3"), "no setting 'epoch'"),
    "suspects that are trusted": ({}, ("--data", "trusted.npz"), "trusted examples themselves"),
    "suspects of more classes": ({}, ("--data", "four.npz"), "name the classes alike"),
    "trusted of more classes": ({}, ("--trusted", "four.npz"), "name the classes alike"),
    "too few trusted": ({"by": "fine-tuning"}, ("--trusted", "few.npz"), "at least 10 trusted"),
    "nothing set apart": ({}, ("--apart", 0), "between 0 and 1"),
    "more than all lost": ({}, ("--max-loss", 2), "--max-loss"),
    "an unknown origin": ({}, ("--model-saw", "all"), "neither, suspect, both"),
    "over the model": ({}, ("--out", "model", "--force"), "which is to be read"),
    "over the data": ({}, ("--out", ".", "--force"), "which is to be read"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_done_ends_in_one_clear_line_and_leaves_nothing(what, data, monkeypatch):
    monkeypatch.chdir(data)
    changes, arguments, expected = REFUSED[what]
    before = sorted(path.name for path in data.iterdir())
    done = repair(data, "nothing", *arguments, **changes)
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    assert expected in done.stderr
    assert sum(line.startswith("error: ") for line in done.stderr.splitlines()) == 1
    assert sorted(path.name for path in data.iterdir()) == before


def test_a_note_from_outside_says_what_it_likes_and_runs_nothing(data, tmp_path):
    tensors = load_file(data / "model" / "model.safetensors")
    notes = {
        "[1]": 0, '"x"': 0, '{"network": 3}': 2, '{"classes": "abc", "settings": [1]}': 0,
        '{"trainer": "os.system"}': 2, "{": 2, "[" * 100_000: 2,
        json.dumps({"trainer": "standard", "settings": {"recipe": "x"}}): 2,
    }  # fmt: skip
    for number, (note, expected) in enumerate(notes.items()):
        file = tmp_path / f"{number}.safetensors"
        save_file(tensors, file, metadata={"mithridate": note})
        done = repair(data, tmp_path / f"out{number}", model=file)
        assert done.returncode == expected, (note[:50], done.stderr)
        assert "a bug" not in done.stderr


def test_a_stopped_repair_writes_nothing(data, tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("mithridate.repairs.controls.DoNothing.repair", stop)
    done = repair(data, tmp_path / "out")
    assert done.returncode == 130
    assert "stopped: nothing was written" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.fixture
def destroying(monkeypatch):
    """Let the repair that does nothing give a network that answers one class for everything."""

    def destroy(_, view, rng):
        model = copy.deepcopy(view.model)
        last = [part for part in model.modules() if isinstance(part, torch.nn.Linear)][-1]
        torch.nn.init.zeros_(last.weight)
        return model.eval()

    monkeypatch.setattr("mithridate.repairs.controls.DoNothing.repair", destroy)


def test_a_repair_that_costs_too_much_gives_the_old_weights_back(data, destroying, tmp_path):
    done = repair(data, tmp_path / "out", "--data", data / "poisoned.npz")
    assert done.returncode == 1, done.stderr
    assert same(weights(data / "model"), weights(tmp_path / "out"))
    found = card(tmp_path / "out")
    assert found["undone"] and found["max_loss"] == 0.05 and found["damage"]["loss"]["value"] > 0.3
    assert found["scans"] == [] and "nothing was changed" in " ".join(found["done"])
    assert "NOT REPAIRED" in done.stdout and "--max-loss" in done.stdout
    assert "Nothing was repaired" in done.stdout
    assert "Not repaired" in (tmp_path / "out" / "card.html").read_text("utf-8")


def test_whoever_allows_the_loss_gets_the_repaired_network(data, destroying, tmp_path):
    done = repair(data, tmp_path / "out", "--max-loss", 1)
    assert done.returncode == 0, done.stderr
    assert not same(weights(data / "model"), weights(tmp_path / "out"))
    assert not card(tmp_path / "out")["undone"] and "badly damaged" in done.stdout


def under(prefix, tensors):
    return OrderedDict((prefix + name, value) for name, value in tensors.items())


def checkpoints(tensors):
    """Files as training scripts leave them; what of it is to come back, and where."""
    halves = {n: v.half() if v.is_floating_point() else v for n, v in tensors.items()}
    parallel = under("module._orig_mod.", tensors)
    lone = {**under("model.", tensors), "criterion.weight": torch.ones(3)}
    return {
        "plain.pt": (tensors, (), tensors),
        "parallel.pt": (parallel, (), parallel),
        "nested.pt": ({"model": tensors, "optimizer": {}, "epoch": 3}, ("model",), tensors),
        "part.pt": ({"netC": tensors, "best": torch.tensor(0.9)}, ("netC",), tensors),
        "lightning.ckpt": ({"state_dict": lone, "epoch": 1}, ("state_dict",), lone),
        "halves.pt": (halves, (), halves),
    }  # fmt: skip


def test_weights_come_back_under_the_keys_that_they_had(data, tmp_path):
    """A network of the user's own, in files as the cases of checkpoints have them."""
    (tmp_path / "nets.py").write_text(NET)
    tensors = own_network().state_dict()
    for name, (whole, path, wanted) in checkpoints(tensors).items():
        torch.save(whole, tmp_path / name)
        out = tmp_path / f"{name}-out"
        done = repair(data, out, "--network", f"python:{tmp_path / 'nets.py'}:build",
                      model=tmp_path / name)  # fmt: skip
        assert done.returncode == 0, (name, done.stderr)
        back = torch.load(out / "model.pt", weights_only=True)
        for word in path:
            back = back[word]
        assert list(back) == list(wanted) and same(back, wanted), name
        assert all(back[n].dtype == wanted[n].dtype for n in wanted), name
        assert same(load_file(out / "model.safetensors"), wanted), name


def test_a_file_of_safetensors_keeps_its_prefix_and_is_read_again(data, tmp_path):
    tensors = load_file(data / "model" / "model.safetensors")
    save_file(under("module.", tensors), tmp_path / "m.safetensors")
    model, out = tmp_path / "m.safetensors", tmp_path / "first"
    assert repair(data, out, model=model).returncode == 0
    assert not (out / "model.pt").exists()
    assert load_file(out / "model.safetensors").keys() == under("module.", tensors).keys()
    assert repair(data, tmp_path / "second", model=out / "model.safetensors").returncode == 0
    assert same(weights(out), weights(tmp_path / "second"))
