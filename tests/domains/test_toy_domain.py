"""A domain is one folder and one line: sequences of events pass scan, train, guard, page, bench."""

import csv
import json
import shutil

import numpy as np
import pytest
import torch

from cli.runs import inside
from mithridate.attacks.goals import AllToOne
from mithridate.attacks.poisoning import Poisoning
from mithridate.attacks.selections import RandomSelection
from mithridate.bench.cell import Rules, Task, grid
from mithridate.bench.execute import execute_all
from mithridate.bench.plan import make_plan
from mithridate.bench.records import records
from mithridate.bench.store import Store
from mithridate.core.domain import Domain
from mithridate.core.errors import DataError
from mithridate.core.fit import TrainingConfig
from mithridate.core.runtime import Runtime
from mithridate.core.streams import stream
from mithridate.detectors.spectral_signatures import SpectralSignatures
from mithridate.domains.formats import read
from mithridate.domains.registry import DOMAINS, domain_named, known_domains, reader_of, register
from mithridate.pipelines.finding import Rule
from mithridate.pipelines.planting import Ground
from mithridate.service.reading import Reader, Refused
from toy_domain.triggers import EventTrigger

EVENTS = ("login", "read", "write", "list", "logout", "print", "copy", "move")


@pytest.fixture(scope="module", autouse=True)
def registered():
    """The one line."""
    register("events", "toy_domain")
    yield
    del DOMAINS["events"]


def sequences(n, seed):
    """Two classes: the first reads much, the second writes much."""
    rng = stream(seed, "events")
    labels = rng.integers(0, 2, n)
    chance = np.full((2, len(EVENTS)), 0.1)
    chance[0, 1] = chance[1, 2] = 0.3
    rows = [rng.choice(EVENTS, 8, p=chance[y]) for y in labels]
    return [(">".join(row), ("reader", "writer")[y]) for row, y in zip(rows, labels, strict=True)]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Suspects, trusted and test examples as CSV files."""
    folder = tmp_path_factory.mktemp("events")
    for seed, (name, n) in enumerate({"train": 300, "trusted": 120, "test": 100}.items()):
        with (folder / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("events", "label"), *sequences(n, seed)])
    return folder


def test_it_is_a_domain_like_any_other(files):
    source = read(files / "train.csv")
    assert isinstance(source.domain, Domain)
    assert source.domain == domain_named("events")
    assert next(d.name for d in known_domains()) == "events", "it is asked before the others"
    assert source.data.classes == ("reader", "writer")
    assert (
        source.domain.unpack(source.domain.pack(source.data.inputs)) == source.data.inputs
    ).all()


def test_others_are_read_as_before(tmp_path):
    (tmp_path / "t.csv").write_text("text,label\n" + "a good film,1\na bad one,0\n" * 30)
    assert read(tmp_path / "t.csv").domain.name == "text"
    with pytest.raises(DataError, match="without a column of it"):
        read(tmp_path / "t.csv", domain="events")


def test_an_unknown_domain_is_refused_with_those_there_are(files):
    with pytest.raises(DataError, match=r"events, image, .*or text"):
        read(files / "train.csv", domain="smell")
    with pytest.raises(DataError, match=r"events, image, .*text"):
        domain_named("smell")


def test_the_command_line_scans_and_reports_it(files, tmp_path):
    done = inside(
        "scan", "data", files / "train.csv", "--trusted", files / "trusted.csv",
        "--out", tmp_path / "out", "--epochs", 4, "--yes", "--power", 0,
    )  # fmt: skip
    assert done.returncode in (0, 3), done.stderr
    assert "(events, csv)" in done.stdout + done.stderr
    page = (tmp_path / "out" / "report.html").read_text()
    assert "&gt;" in page and "pictures" not in page


def test_the_command_line_trains_and_guards_it(files, tmp_path):
    out = tmp_path / "trained"
    done = inside("train", files / "train.csv", "--out", out, "--epochs", 6, "--yes")
    assert done.returncode == 0, done.stderr
    card = json.loads((out / "card.json").read_text())
    assert card["network"]["domain"] == "events"
    kept = tmp_path / "guard"
    done = inside(
        "guard", out / "model.safetensors", "--trusted", files / "trusted.csv",
        "--guard", "mahalanobis", "--fit-only", kept, "--level", 0.1,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert kept.is_dir() and "events" in (kept / "guard.json").read_text()


def test_requests_are_read_by_the_domain():
    reader = Reader(domain_named("events"), domain_named("events").prepare(["a>b"]), most=2)
    body = json.dumps({"inputs": ["login>read", "login>write"]}).encode()
    assert list(reader.together(reader.read("application/json", body).inputs)) == [
        "login>read", "login>write",
    ]  # fmt: skip
    with pytest.raises(Refused):
        reader.read("application/json", b'{"input": "no events"}')
    assert reader_of("events").requests((12,)).media == ()


def test_backdoors_are_planted_in_it(files):
    data = read(files / "train.csv").data
    ground = Ground(data, torch.arange(len(data)), (0, 1), domain_named("events"))
    copy, planted = ground.planted(ground.backdoors(0.1), stream(0, "plant"))
    assert [each.backdoor.kind for each in planted] == ["event"]
    carriers = [value.startswith("event") for value in copy.inputs]
    assert sum(carriers) == len(planted[0].rows) == 30


def test_a_bench_cell_judges_it(files, tmp_path):
    home = tmp_path / "set"
    home.mkdir()
    for name, part in (("train.csv", "train.csv"), ("trusted.csv", "test.csv")):
        shutil.copy(files / name, home / part)
    task = Task(str(home), 200, 60, TrainingConfig(epochs=8, batch_size=32))
    attack = Poisoning(EventTrigger(), AllToOne(0), RandomSelection(0.1))
    rules = Rules(Rule(0.05, 0.2, 0.01, 49), min_asr=0.0)
    cells = grid(
        {"events": task}, {"event": attack}, {"spectral": SpectralSignatures()},
        rates=(0.1,), trusted=(40,), seeds=(0,), rules=rules,
    )  # fmt: skip
    plan, store = make_plan(cells), Store(tmp_path / "store")
    execute_all(plan.steps, store.folder, Runtime())
    kept = records(plan, store)
    assert kept and all(record.status == "done" for record in kept), [r.why for r in kept]
