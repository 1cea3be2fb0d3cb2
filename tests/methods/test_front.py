"""The jobs as functions: the same answers as the command line gives, since both make one value."""

import dataclasses
import inspect
import json

import click
import pytest
import torch
import typer
from safetensors.torch import load_file

from architecture.walk import Walk
from cli.runs import inside, report, save_npz, shapes
from mithridate import (
    Dataset,
    TrainingConfig,
    guard,
    read,
    repair,
    scan_data,
    scan_model,
    stream,
    train,
)
from mithridate.cli.groups import HowToReadOn
from mithridate.cli.program import app
from mithridate.core.errors import CannotJudge, DataError, MethodError
from mithridate.detectors.early_loss import EarlyLoss
from mithridate.detectors.spectral_signatures import SpectralSignatures
from mithridate.domains.text.domain import TextDomain
from mithridate.pipelines import kept_network
from mithridate.pipelines.ready_model_scan import ReadyModelScan
from mithridate.pipelines.ready_repair import ReadyRepair
from mithridate.pipelines.ready_scan import ReadyScan
from mithridate.pipelines.ready_training import ReadyTraining, timed
from mithridate.pipelines.scan import DataScanner, choose_fast, choose_training
from mithridate.repairs.controls import DoNothing
from mithridate.service.settings import Settings
from mithridate.trainers.fast import Fast
from mithridate.trainers.standard import Standard

NETWORK, EPOCHS = "resnet9:8", 16
QUICK = {"references": 3, "epochs": 1, "level": 0.3}


VERBS = {
    scan_data: "scan data",
    scan_model: "scan model",
    train: "train",
    repair: "repair",
    guard: "guard",
}
ELSEWHERE = {
    "scan data": {"path": "data", "device": "runtime", "strongest": "settings"},
    "scan model": {
        "file": "model",
        "data": "trusted",
        "clean_models": "references",
        "clean_scores": "references",
        "device": "runtime",
    },
    "train": {"path": "data", "set": "settings", "device": "runtime"},
    "repair": {"repair": "method", "set": "settings", "device": "runtime"},
    "guard": {"guard": "detectors", "set": "detectors", "device": "runtime"},
}
"""Flags whose work an argument of another name does."""

READING = {field.name for field in dataclasses.fields(HowToReadOn)}
SERVING = {field.name for field in dataclasses.fields(Settings)}
LEFT_OUT = {
    **dict.fromkeys(READING, "`read` takes them, and what it gives is taken here"),
    **dict.fromkeys(("out", "cleaned", "save_model", "force"), "a function gives values"),
    "yes": "a function asks no question",
    **dict.fromkeys(("inputs", "guards"), "`guard` gives what judges inputs"),
    **dict.fromkeys(("fit_only", "fitted"), "`kept_guard` writes and reads what `guard` gives"),
    **dict.fromkeys(("host", "port", *SERVING), "a function serves nobody"),
}
"""Flags that a function does not have, and why."""

NO_FLAG = {"domain", "step", "progress", "home", "settings"}
"""Arguments that mean something in Python only."""


def flags(verb):
    """The flags and arguments of a verb, with their defaults."""
    found = typer.main.get_command(app)
    for word in verb.split():
        found = found.get_command(click.Context(found), word)
    return {each.name: each.default for each in found.params if each.name != "help"}


@pytest.mark.parametrize("function", VERBS, ids=VERBS.get)
def test_a_function_takes_what_its_command_takes(function):
    verb = VERBS[function]
    known, said = inspect.signature(function).parameters, flags(verb)
    assert said, "the verb has no flags"
    elsewhere = ELSEWHERE[verb]
    fields = {f.name for f in dataclasses.fields(DataScanner)} if function is scan_data else set()
    assert set(said) - set(known) - fields - set(elsewhere) <= set(LEFT_OUT), "neither has nor says"
    assert not set(LEFT_OUT) & set(known), "left out for a reason, and there"
    assert set(elsewhere) <= set(said) and set(elsewhere.values()) <= set(known)
    assert set(known) <= set(said) | set(elsewhere.values()) | NO_FLAG
    alike = [name for name in known if name in said and name not in elsewhere]
    plain = [name for name in alike if isinstance(known[name].default, bool | int | float)]
    assert {name: known[name].default for name in plain} == {name: said[name] for name in plain}


def test_no_flag_is_left_out_that_no_command_has():
    every = {name for verb in VERBS.values() for name in flags(verb)}
    assert set(LEFT_OUT) <= every


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Suspects, trusted examples and a network that was trained on the suspects by the command."""
    folder = tmp_path_factory.mktemp("front")
    save_npz(folder / "suspects.npz", *shapes(150, 1))
    save_npz(folder / "trusted.npz", *shapes(90, 2))
    done = inside(
        "train", folder / "suspects.npz", "--epochs", EPOCHS, "--network", NETWORK, "--out",
        folder / "theirs",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def model(folder):
    return folder / "theirs" / "model.safetensors"


def same(model, file):
    """Whether a network has exactly the weights of a file."""
    kept, own = load_file(file), model.state_dict()
    return kept.keys() == own.keys() and all(torch.equal(kept[n], own[n]) for n in kept)


def test_train_gives_the_network_of_the_command(folder, model):
    outcome = train(folder / "suspects.npz", network=NETWORK, epochs=EPOCHS)
    assert same(outcome.model, model)
    assert outcome.scan is None and outcome.damage is None and outcome.losses.shape == (150, EPOCHS)


def test_train_measures_on_trusted_examples_and_keeps_the_settings_of_a_trainer(folder):
    short = TrainingConfig(epochs=1, batch_size=50)
    outcome = train(
        folder / "suspects.npz", "standard", folder / "trusted.npz", network=NETWORK, training=short
    )
    assert outcome.damage.after.n == 90 and outcome.losses.shape == (150, 1)


def test_train_refuses_what_the_command_refuses_in_the_words_of_python(folder):
    with pytest.raises(MethodError, match=r"then=drop needs trusted="):
        train(folder / "suspects.npz", then="drop")
    with pytest.raises(MethodError, match=r"epochs= and the setting training.epochs say the same"):
        timed(Standard(), 10, 3, {"training.epochs"})
    with pytest.raises(DataError, match="is the suspect data set itself"):
        train(folder / "suspects.npz", trusted=folder / "suspects.npz")


def test_a_fast_training_takes_fewer_epochs_unless_they_are_given():
    fast, usual = (timed(trainer, 10_000, None, ()).training for trainer in (Fast(), Standard()))
    assert (fast, usual) == (choose_fast(10_000), choose_training(10_000))
    assert fast.epochs < 0.7 * usual.epochs
    assert timed(Fast(), 10_000, 4, ()).training == dataclasses.replace(fast, epochs=4)
    assert (
        timed(Fast(), 10_000, None, ("training.epochs",)).training.epochs == Fast().training.epochs
    )


def test_repair_gives_the_network_of_the_command(folder, model, tmp_path):
    done = inside(
        "repair", model, "--trusted", folder / "trusted.npz", "--repair", "fine-tuning",
        "--set", "epochs=1", "--apart", 0.4, "--max-loss", 1, "--out", tmp_path / "out",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    outcome = repair(model, folder / "trusted.npz", "fine-tuning", epochs=1, apart=0.4, max_loss=1)
    assert same(outcome.model, tmp_path / "out" / "model.safetensors")
    assert not same(outcome.model, model) and outcome.damage.after.n == len(outcome.measured) == 36


def test_repair_takes_what_the_network_was_trained_on(folder, model, monkeypatch):
    suspects = folder / "suspects.npz"
    monkeypatch.setattr(ReadyRepair, "repaired", lambda self, step: self)
    job = repair(model, folder / "trusted.npz", "do-nothing", data=suspects, model_saw="both")
    assert len(job.data) == 150 and job.saw == "both" and isinstance(job.repair, DoNothing)
    with pytest.raises(DataError, match="the trusted examples themselves"):
        repair(model, suspects, "do-nothing", data=suspects)


def test_repair_trains_no_graph(folder):
    with pytest.raises(MethodError, match=r"is an ONNX graph.*as weights with network="):
        repair("their.onnx", folder / "trusted.npz")


def test_the_order_of_classes_is_said_where_nothing_else_says_it(folder, model, tmp_path):
    kept_network.save(read_model(folder, model), tmp_path / "bare.pt.safetensors",
                      kept_network.Note(NETWORK))  # fmt: skip
    bare, source = tmp_path / "bare.pt.safetensors", read(folder / "trusted.npz")
    order = (2, 0, 1)
    there = source.data
    turned = Dataset(
        there.inputs, torch.tensor([order.index(k) for k in there.labels.tolist()]), there.ids,
        tuple(there.classes[k] for k in order),
    )  # fmt: skip
    given = {"domain": source.domain, "seed": 0}
    with pytest.raises(CannotJudge, match="classes="):
        repair(bare, turned, "do-nothing", **given)
    told = repair(bare, turned, "do-nothing", classes=there.classes, **given)
    assert told.damage.before.value > 0.9
    guarded = guard(bare, turned, ["strip"], classes=there.classes, level=0.1, **given)
    assert guarded.classes == there.classes
    wrong = scan_model(bare, turned, **QUICK, **given)
    assert wrong.verdict.answer == "cannot judge" and "classes=" in wrong.verdict.why


def read_model(folder, model):
    source = read(folder / "trusted.npz")
    return kept_network.load(model, source.domain, source.data, NETWORK, stream(0, "weights"))


def test_mean_and_std_are_for_networks_from_elsewhere(folder, model):
    with pytest.raises(MethodError, match="mean= and std= are for ONNX files"):
        guard(model, folder / "trusted.npz", mean=(0.5,), std=(0.5,))


PASSED = 98 // 2
"""Half of the functions through which the request of `scan model` went before the work moved."""

CALLED_BACK = {
    ("pipelines/", "cli/terminal.py:Watch."): "is told what begins, see pipelines.announcing",
    ("core/timing.py", "pipelines/"): "the work whose time is measured, see core.timing.Run",
    ("core/", "domains/"): "the contract of a domain and of its networks, see core.domain",
    ("core/scanner.py", "scanners/"): "the contract of a scanner, see core.scanner",
    ("core/fit.py", "pipelines/ways.py"): "the rate and who takes the steps, see core.fit.Wrap",
    ("core/fit.py", "trainers/"): "the variation and the objective of a batch, see core.fit.Vary",
}
"""Which lower layers call what higher ones hand them, and why they must."""


def test_scan_model_says_what_the_command_says(folder, model, tmp_path):
    """Its work, watched meanwhile, goes down the layers, and no value goes through many hands."""
    out = tmp_path / "out"
    with Walk("cli/work/scan_model.py:run") as walk:
        done = inside(
            "scan", "model", model, "--data", folder / "trusted.npz", "--references", 3,
            "--epochs", 1, "--level", 0.3, "--scanners", "weight-statistics", "--out", out,
        )  # fmt: skip
    assert done.returncode in (0, 1), done.stderr
    assert {"file", "model", "job", "everything"} <= walk.held.keys()
    assert max(map(len, walk.held.values())) <= PASSED
    reasons = {
        (caller, callee): [lower for lower in CALLED_BACK if caller.startswith(lower[0])
                           and callee.startswith(lower[1])]
        for caller, callee in walk.climbs
    }  # fmt: skip
    assert reasons and [climb for climb, why in reasons.items() if not why] == []
    scan = scan_model(model, folder / "trusted.npz", **QUICK, scanners=["weight-statistics"],
                      home=tmp_path)  # fmt: skip
    scores = scan.scores["weight-statistics"]
    (trained,) = tmp_path.glob("references-*")
    assert trained.name in {path.name for path in out.iterdir()}, "kept alike"
    beside = scan_model(model, folder / "trusted.npz", trained, level=0.3,
                        scanners=["weight-statistics"])  # fmt: skip
    assert beside.scores["weight-statistics"].shape == scores.shape
    population = json.loads((out / "population.json").read_text("utf-8"))
    known = scan_model(model, folder / "trusted.npz", out / "population.json", level=0.3,
                       scanners=["weight-statistics"])  # fmt: skip
    assert population["form"]["network"] == NETWORK
    assert known.scores["weight-statistics"].tolist() == scores.tolist()
    assert population["scores"][0]["rows"] == scores[1:].tolist()


def test_scan_data_says_what_the_command_says(folder, model, tmp_path):
    both = (folder / "suspects.npz", folder / "trusted.npz")
    done = inside(
        "scan", "data", both[0], "--trusted", both[1], "--epochs", 1, "--permutations", 99, "--out",
        tmp_path, "--network", NETWORK, "--detectors", "spectral-signatures,early-loss",
        "--power", 0,
    )  # fmt: skip
    assert done.returncode in (0, 1, 3), done.stderr
    how = {"permutations": 99, "power": 0, "detectors": (SpectralSignatures(), EarlyLoss())}
    scan = scan_data(*both, epochs=1, network=NETWORK, **how)
    assert scan.verdict.p_value == report(tmp_path)["verdict"]["p_value"]
    given = scan_data(*both, model=model, model_saw="both", **how)
    assert [judged.detector for judged in given.judged] == [SpectralSignatures()]


def test_a_scan_takes_a_part_of_the_examples_and_may_be_quick(folder):
    both = (folder / "suspects.npz", folder / "trusted.npz")
    scan = scan_data(*both, limit=60, trusted_count=30, quick=True, power=0, permutations=99)
    assert len(scan.flagged) == 60 and len(scan.trusted) == 30
    assert scan.verdict.p_value is not None and not list(scan.model.parameters())
    with pytest.raises(DataError, match=r"suspect examples in 1..150, found 151"):
        scan_data(both[0], limit=151)
    with pytest.raises(DataError, match="trusted_count= draws from trusted="):
        scan_data(both[0], trusted_count=3)
    with pytest.raises(MethodError, match="quick=True asks no network"):
        scan_data(*both, quick=True, model="any.safetensors")


def test_mirroring_reaches_every_training(folder, model, monkeypatch):
    seen = []
    for job, name in ((ReadyTraining, "made"), (ReadyScan, "scanned"), (ReadyRepair, "repaired")):
        monkeypatch.setattr(job, name, lambda self, *_: seen.append(self))
    both = (folder / "suspects.npz", folder / "trusted.npz")
    train(both[0], network=NETWORK, flip=True, limit=40)
    scan_data(*both, flip=True)
    repair(model, both[1], "do-nothing", flip=True)
    assert [job.domain.flip for job in seen[:2]] == [True, True] and len(seen[0].data) == 40
    assert seen[2].network.domain.flip
    with pytest.raises(MethodError, match="flip=True and flip=False mean nothing"):
        train(Dataset(["a", "b"], torch.tensor([0, 1]), torch.arange(2), ("x", "y")),
              domain=TextDomain(), flip=False)  # fmt: skip


def test_a_scan_of_a_model_takes_a_part_of_the_trusted_examples(folder, model, monkeypatch):
    monkeypatch.setattr(ReadyModelScan, "scanned", lambda self, step: self)
    job = scan_model(model, folder / "trusted.npz", 3, count=45)
    assert len(job.trusted) == 45
