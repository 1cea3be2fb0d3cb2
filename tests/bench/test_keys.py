"""A key follows what the earlier steps gave: edits that change no output keep it."""

import importlib.util
import re
import sys
from collections import Counter
from dataclasses import replace

import pytest

from bench import planted
from bench.test_digest import PACKAGE, changed, edit, fresh, kinds  # noqa: F401
from bench.toys import serially
from mithridate.attacks.poisoning import Poisoning
from mithridate.bench.cell import Rules, Task, grid
from mithridate.bench.execute import Workbench
from mithridate.bench.executors import Serial
from mithridate.bench.known import Questions
from mithridate.bench.plan import make_plan
from mithridate.bench.records import records
from mithridate.bench.remembering import note_name
from mithridate.bench.run import run
from mithridate.bench.step import Step
from mithridate.bench.steps import data as module
from mithridate.bench.steps.data import Data
from mithridate.bench.steps.train import Train
from mithridate.bench.store import Store
from mithridate.bench.verify import find_unused
from mithridate.core.errors import MethodError
from mithridate.core.fit import TrainingConfig
from mithridate.core.runtime import Runtime
from mithridate.detectors.controls import Constant
from mithridate.detectors.teco import TeCo
from mithridate.domains import catalogue
from mithridate.domains.text.triggers import WordTrigger
from mithridate.pipelines.finding import Rule

ROOT = PACKAGE.parents[1]
MORE = "\nMORE = 1\n"


def touched(text):
    """The same code with a statement that does nothing before every return."""
    return re.sub(r"^( +)return\b", r"\1pass\n\1return", text, flags=re.MULTILINE) + MORE


def smoke(**axes):
    """The smoke recipe of one seed."""
    spec = importlib.util.spec_from_file_location("smoke_recipe", ROOT / "recipes" / "smoke.py")
    config = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(config)
    return [cell for cell in config.sweep() if cell.seed == 0]


@pytest.fixture(scope="module")
def before():
    plan = make_plan(smoke())
    assert len({step.key for step in plan.steps}) == len(plan.steps) > 80
    return plan


def files(*patterns):
    return sorted(path for pattern in patterns for path in PACKAGE.glob(pattern))


UNUSED = {
    "readers and writers": ["domains/formats/*.py", "domains/catalogue.py"],
    "the reading step": ["bench/steps/data.py"],
    "what plans, stores and runs": [
        f"bench/{name}.py" for name in ("plan", "store", "known", "run", "execute", "migrations")
    ],
    "another domain": ["domains/text/*.py"],
    "networks that nobody builds": [
        "domains/image/elsewhere.py",
        "domains/image/checkpoints.py",
        "domains/elsewhere.py",
    ],
    "damage that nobody does": ["domains/image/corruptions.py", "domains/image/strong.py"],
    "other methods": ["scanners/*.py", "repairs/anp.py", "trainers/abl.py", "detectors/teco.py"],
    "what reports and serves": ["report/*.py", "report/bench/*.py", "service/*.py", "cli/**/*.py"],
}


@pytest.mark.parametrize("what", UNUSED)
def test_an_edit_that_changes_no_example_and_no_training_keeps_every_key(edit, before, what):  # noqa: F811
    found = files(*UNUSED[what])
    assert found
    for path in found:
        edit(path.relative_to(PACKAGE), touched)
    assert changed(before, make_plan(smoke())) == set()


@pytest.mark.parametrize(
    "place, moved",
    [
        ("domains/image/stealth.py", {"stealth", "judge"}),
        ("bench/steps/stealth.py", {"stealth", "judge"}),
        ("bench/steps/judge.py", {"judge"}),
        ("bench/steps/gate.py", {"gate", "detect", "retrain", "repaired", "filter", "outcome",
                                 "judge"}),
        ("pipelines/finding.py", {"detect", "retrain", "outcome", "judge"}),
    ],
)  # fmt: skip
def test_an_edit_moves_what_depends_on_it(edit, before, place, moved):  # noqa: F811
    edit(place, touched)
    assert kinds(before, changed(before, make_plan(smoke()))) == moved


@pytest.mark.parametrize(
    "place", ["core/fit.py", "core/inference.py", "domains/image/layers.py", "bench/steps/train.py"]
)
def test_an_edit_of_what_all_trainings_do_moves_all_trainings(edit, before, place):  # noqa: F811
    edit(place, touched)
    found = changed(before, make_plan(smoke()))
    every = {s.key for s in before.steps if s.kind() in ("train", "retrain", "outcome", "judge")}
    assert every <= found


def test_networks_from_elsewhere_depend_on_what_reads_them(edit):  # noqa: F811
    cells = [replace(cell, network="timm:resnet18") for cell in smoke()]
    first = make_plan(cells)
    edit("domains/image/elsewhere.py", touched)
    found = changed(first, make_plan(cells))
    assert {"train", "retrain", "repaired", "judge"} <= kinds(first, found)
    assert "poison" not in kinds(first, found)


def test_a_door_that_one_detector_goes_through_moves_that_detector(edit):  # noqa: F811
    cells = [c for c in planted.cells() if c.names[2] in ("constant", "none") and c.poison_rate]
    cells += grid(
        {"digits": planted.TASK}, {"badnets": planted.PATCH}, {"teco": TeCo()},
        rates=(planted.RATE,), trusted=(planted.TRUSTED,), seeds=(0,), rules=Rules(min_asr=0.3),
    )[-1:]  # fmt: skip
    first = make_plan(cells)
    edit("domains/image/corruptions.py", lambda text: text + MORE)
    assert changed(first, make_plan(cells)) == set(), "nobody uses the new name"
    edit("domains/image/corruptions.py", touched)
    found = changed(first, make_plan(cells))
    assert {s.detector.name() for s in first.steps if s.key in found and s.kind() == "detect"} == {
        TeCo().name()
    }
    assert kinds(first, found) == {"detect", "retrain", "outcome", "judge"}


def test_a_reader_that_gives_other_examples_moves_all_that_depends_on_them(before, monkeypatch):
    real = catalogue._digits

    def darker(split):
        source = real(split)
        source.data.inputs[0, 0, 0, 0] += 1
        return source

    monkeypatch.setattr(catalogue, "_digits", darker)
    module.source_of.cache_clear()
    try:
        after = make_plan(smoke())
    finally:
        module.source_of.cache_clear()
    assert changed(before, after) == {step.key for step in before.steps}


def test_another_setting_of_the_domain_is_another_question():
    from mithridate.bench.contents import split_digest

    split = Data("digits", 100, 50, 60, 0).value(None, None)
    first = split_digest(split[:3], split.domain)
    assert split_digest(split[:3], split.domain) == first
    assert split_digest(split[:3], replace(split.domain, crop=0.25)) != first
    for part in range(3):
        parts = list(split[:3])
        parts[part] = replace(parts[part], labels=parts[part].labels.roll(1))
        assert split_digest(parts, split.domain) != first


# what the store remembers of data


@pytest.fixture
def looked(monkeypatch):
    """Counts how often data are read for their digest."""
    times, real = [], Data.look
    monkeypatch.setattr(Data, "look", lambda self: times.append(self.name) or real(self))
    return times


@pytest.fixture
def own(tmp_path):
    """A folder of texts with two splits."""
    home = tmp_path / "own"
    home.mkdir()
    for split, n in (("train", 40), ("test", 20)):
        rows = [f"some text {i} {'good' if i % 2 else 'bad'},{i % 2}" for i in range(n)]
        (home / f"{split}.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    return home


def own_cells(home, took=0.0):
    return [
        cell
        for cell in grid(
            {"own": Task(str(home), 20, 10, TrainingConfig(epochs=1, batch_size=8))},
            {"words": Poisoning(WordTrigger())}, {"constant": Constant()}, rates=(0.0,),
            trusted=(10,), seeds=(0,), rules=Rules(Rule(0.05, 0.2, 0.01, 49), min_asr=took),
        )
        if cell.names[2] == "none"
    ]  # fmt: skip


def keys(plan):
    return [step.key for step in plan.steps]


def test_data_are_read_once_for_all_plans(own, tmp_path, looked):
    store = Store(tmp_path / "store")
    first = keys(make_plan(own_cells(own), store))
    assert keys(make_plan(own_cells(own), store)) == first
    assert looked == [str(own)]


def test_data_are_read_again_when_their_files_change(own, tmp_path, looked):
    store = Store(tmp_path / "store")
    first = keys(make_plan(own_cells(own), store))
    train = own / "train.csv"
    train.write_text(train.read_text().replace("text 3", "text three"))
    second = keys(make_plan(own_cells(own), store))
    assert len(looked) == 2 and not set(first) & set(second)
    train.touch()
    assert keys(make_plan(own_cells(own), store)) == second and len(looked) == 3


def test_data_are_read_again_when_a_reader_is_edited(own, tmp_path, looked, edit):  # noqa: F811
    store = Store(tmp_path / "store")
    first = keys(make_plan(own_cells(own), store))
    edit("domains/formats/delimited.py", lambda text: text + MORE)
    assert keys(make_plan(own_cells(own), store)) == first and len(looked) == 2


def test_a_store_is_readable_where_the_data_are_not(own, tmp_path, looked):
    store = Store(tmp_path / "store")
    cells = own_cells(own)
    run(make_plan(cells, store), store, Serial(store.folder, Runtime()))
    own.rename(tmp_path / "elsewhere")
    assert [r.status for r in records(make_plan(cells, store), store)] == ["done"]
    assert make_plan(cells, store).missing(store) == []


def test_data_that_change_under_a_plan_are_refused_and_read_again(own, tmp_path, monkeypatch):
    store = Store(tmp_path / "store")
    cells = own_cells(own)
    plan = make_plan(cells, store)
    train = own / "train.csv"
    train.write_text(train.read_text().replace("text 3", "text three"))
    module.source_of.cache_clear()
    ran = run(plan, store, Serial(store.folder, Runtime()))
    assert ran.ended == {"failed": len(plan.steps)} and store.keys() == []
    assert "changed while the sweep ran" in records(plan, store)[0].why
    again = make_plan(cells, store)
    assert run(again, store, Serial(store.folder, Runtime())).ended == {"done": len(again.steps)}


def test_data_that_differ_though_their_files_look_the_same_are_refused(own, tmp_path):
    import os

    store = Store(tmp_path / "store")
    train, cells = own / "train.csv", own_cells(own)
    first = make_plan(cells, store)
    known = train.stat()
    train.write_text(train.read_text().replace("text 3", "text 4"))
    os.utime(train, ns=(known.st_atime_ns, known.st_mtime_ns))
    module.source_of.cache_clear()
    lied = make_plan(cells, store)
    assert keys(lied) == keys(first), "the note is believed, since size and time are the same"
    assert set(run(lied, store, Serial(store.folder, Runtime())).ended) == {"failed"}
    again = make_plan(cells, store)
    assert not set(keys(again)) & set(keys(first)), "and then it is forgotten"
    assert set(run(again, store, Serial(store.folder, Runtime())).ended) == {"done"}


def test_data_that_cannot_be_read_are_planned_and_skipped_with_the_reason(tmp_path):
    store = Store(tmp_path / "store")
    plan = make_plan(own_cells(tmp_path / "nothing"), store)
    ran = run(plan, store, Serial(store.folder, Runtime()))
    assert set(ran.ended) == {"skipped"} and "nothing" in records(plan, store)[0].why


# answers found again


FIRST = """
from dataclasses import dataclass

import torch
from mithridate.bench.step import Output, Step

RAN = []


@dataclass(frozen=True, eq=False)
class First(Step):
    number: int

    shows = ()

    def run(self, given):
        RAN.append("first")
        return Output({{"total": torch.tensor({first})}})
"""

REST = """
from dataclasses import dataclass

from mithridate.bench.step import Output, Step
from weighing import weight

RAN = []


@dataclass(frozen=True, eq=False)
class Second(Step):
    earlier: Step

    heavy = True
    shows = ()

    def run(self, given):
        RAN.append("second")
        return Output({"total": weight(given(self.earlier).tensors["total"])})


@dataclass(frozen=True, eq=False)
class Third(Step):
    earlier: Step

    def run(self, given):
        RAN.append("third")
        return Output({"total": 10 * given(self.earlier).tensors["total"]})
"""


class Edited:
    """Three steps in a row in files of their own, which can be edited."""

    def __init__(self, folder, load):
        self.folder, self.load, self.store = folder, load, Store(folder / "store")

    def __call__(self, first="self.number * self.number", weight="2 * x", number=2):
        (self.folder / "weighing.py").write_text(f"def weight(x):\n    return {weight}\n")
        (self.folder / "one.py").write_text(FIRST.format(first=first))
        (self.folder / "others.py").write_text(REST)
        from bench.test_digest import forget

        forget()
        self.load(self.folder / "weighing.py", "weighing")
        one, others = (self.load(self.folder / f"{n}.py", n) for n in ("one", "others"))
        last = others.Third(others.Second(one.First(number)))
        self.done = serially(self.store, last)
        assert self.store.has(last), [f.read_text() for f in self.store.failures.iterdir()]
        return int(self.store.output(last.key).tensors["total"]), one.RAN + others.RAN, last


@pytest.fixture
def edited(tmp_path, load, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # it tells edits apart by seconds
    return Edited(tmp_path, load)


def test_what_gives_the_same_is_followed_by_nothing_new(edited):
    total, ran, first = edited(first="4")
    assert total == 80 and ran == ["first", "second", "third"]
    total, ran, other = edited(first="2 + 2")
    assert total == 80 and ran == ["first"], "the file was edited, and only the first step differs"
    assert first.key != other.key and edited.done.ended == {"done": 1}


def test_settings_that_give_the_same_have_the_same_children(edited):
    assert edited(number=2)[1] == ["first", "second", "third"]
    total, ran, _ = edited(number=-2)
    assert total == 80 and ran == ["first"]


@pytest.mark.parametrize(
    "change, total, ran",
    [
        ({"first": "5"}, 100, ["first", "second", "third"]),
        ({"weight": "3 * x"}, 120, ["second", "third"]),
        ({"weight": "x + x"}, 80, ["second", "third"]),
        ({"first": "5", "weight": "x + 3"}, 80, ["first", "second", "third"]),
    ],
)
def test_no_edit_is_answered_by_what_the_old_code_gave(edited, change, total, ran):
    edited(first="4")
    found = edited(**{"first": "4", **change})
    assert found[0] == total
    assert found[1] == ran


def test_an_edit_that_is_taken_back_computes_nothing(edited):
    first = edited()
    edited(weight="3 * x")
    assert edited()[1] == [] and first[0] == 80


def test_a_plan_adopts_what_is_known_and_a_collection_keeps_it(edited):
    edited(first="4")
    _, _, last = edited(first="2 + 2")
    from bench.toys import plan_of

    plan = plan_of(last)
    for key in find_unused([plan], edited.store):
        edited.store.remove(key)
    edited.store.forget_answers()
    assert plan.missing(edited.store) == []
    answers = [f.stem for f in edited.store.answers.iterdir()]
    assert answers and all(edited.store.find_answer(a) in set(edited.store.keys()) for a in answers)
    assert edited(first="1 + 3")[1] == ["first"], "the question is still known"


def test_what_was_adopted_is_verified_like_the_rest(edited):
    import numpy as np

    from bench.toys import plan_of
    from mithridate.bench.verify import verify

    edited(first="4")
    _, _, last = edited(first="2 + 2")
    found = verify(plan_of(last), edited.store, 10, np.random.default_rng(0))
    assert [c.same for c in found] == [True] * 3
    entry = edited.store.entry(last.key)
    assert entry.parents == (last.earlier.key,) and entry.cost["seconds"] >= 0


def test_a_torn_answer_is_not_adopted(edited):
    _, _, last = edited(first="4")
    home = edited.store.steps / last.key
    (home / "facts.json").write_text("")
    assert edited(first="2 + 2")[1].count("third") == 1


def test_random_edits_are_never_answered_by_old_results(edited):
    import random

    draw = random.Random(0)
    firsts = ["1", "2", "self.number", "3 - 1", "self.number % 2"]
    weights = ["2 * x", "x + x", "x * x", "x + 1", "x * 0"]
    computed = Counter()
    for _ in range(40):
        first, weight, number = draw.choice(firsts), draw.choice(weights), draw.choice([1, 2, 3])
        value = eval(first.replace("self.number", str(number)))
        expected = 10 * eval(weight, {"x": value})
        total, ran, _ = edited(first=first, weight=weight, number=number)
        assert total == expected
        computed.update(ran)
    assert computed["third"] < computed["second"] < 30


ATTACKS = """
from dataclasses import dataclass

from mithridate.attacks.poisoning import Poisoning


@dataclass(frozen=True)
class Again(Poisoning):
    pass
"""


def few(attack, rate=0.2):
    task = Task("digits", 200, 100, TrainingConfig(epochs=1, batch_size=64))
    cells = grid(
        {"digits": task}, {"a": attack}, {"constant": Constant()}, rates=(rate,),
        trusted=(50,), seeds=(0,),
        rules=Rules(Rule(0.05, 0.2, 0.01, 49), min_asr=0.0),
    )  # fmt: skip
    return [cell for cell in cells if cell.names[2] in ("none", "constant")]


def test_two_attacks_that_give_the_same_data_share_one_training(tmp_path, load):
    (tmp_path / "again.py").write_text(ATTACKS)
    other = load(tmp_path / "again.py", "again").Again(planted.PATCH.trigger)
    store = Store(tmp_path / "store")
    ended = []

    def note(done, total, step, end):
        ended.append((step.kind(), end.mine))

    executor = Serial(store.folder, Runtime())
    run(make_plan(few(planted.PATCH), store), store, executor)
    run(make_plan(few(other), store), store, executor, note)
    assert ("poison", True) in ended and ("judge", True) in ended
    adopted = {kind for kind, mine in ended if not mine}
    assert adopted >= {"train", "evidence"}, "equal bytes were not trained on again"
    assert not {"train", "evidence", "retrain", "detect"} & {k for k, mine in ended if mine}


def test_a_rate_that_rounds_to_nothing_is_void_with_the_reason(tmp_path):
    store = Store(tmp_path / "store")
    plan = make_plan(few(planted.PATCH, rate=0.001), store)
    run(plan, store, Serial(store.folder, Runtime()))
    found = records(plan, store)
    assert {record.status for record in found} == {"void"}
    assert all("poison rate rounds to nothing" in record.why for record in found)
    assert "at least 0.005" in found[0].why


# what a step shows is all that later steps read


def test_later_steps_read_only_what_is_shown(swept, monkeypatch):
    """Reading anything else could serve an answer that is out of date."""
    read, running = set(), []
    fields = Step.__getattribute__

    def watching(self, name):
        other = running and self is not running[-1] and type(self).shows is not None
        if other and name in type(self).__dataclass_fields__:
            read.add((type(self), name))
        return fields(self, name)

    bench = Workbench(swept.store)
    real = Workbench.__call__

    def asking(self, step):
        running.append(step)  # the value of a step is the step's own business
        try:
            return real(self, step)
        finally:
            running.pop()

    monkeypatch.setattr(Workbench, "__call__", asking)
    small_first = sorted(
        swept.plan.steps, key=lambda s: sum(swept.store.entry(s.key).files.values())
    )
    of_each = {step.kind(): step for step in small_first if not step.answers_always}
    for step in of_each.values():
        if swept.store.entry(step.key).status == "done":
            running.append(step)
            with monkeypatch.context() as patched:
                patched.setattr(Step, "__getattribute__", watching)
                with bench.runtime.active():
                    step.run(bench)
            running.pop()
    assert (Train, "data") in read and (Train, "trainer") in read, "the watch sees"
    hidden = {(kind.__name__, name) for kind, name in read if name not in kind.shows}
    assert hidden == set()


def test_no_question_is_asked_before_the_parents_are_done(tmp_path):
    from bench.toys import Toy

    store, child = Store(tmp_path), Toy("child", (Toy("parent"),))
    assert Questions(store)(child) == ""
    serially(store, Toy("parent"))
    assert Questions(store)(child) != "" and Questions(store)(Toy("parent")) != ""


def test_a_question_names_outputs_and_no_keys(swept):
    trains = [s for s in swept.plan.steps if s.kind() == "train"]
    questions = {Questions(swept.store)(step) for step in trains}
    assert len(questions) == len(trains) and not questions & {s.key for s in trains}


def test_notes_are_told_apart_by_settings():
    steps = [Data("digits", 100, 50, 60, seed) for seed in (0, 1)]
    assert note_name(steps[0]) != note_name(steps[1])
    assert note_name(steps[0]) == note_name(Data("digits", 100, 50, 60, 0))


def test_a_file_without_splits_is_not_tested_on_what_it_trains_on(tmp_path):
    lines = [f"text number {i},{'ab'[i % 2]}" for i in range(20)]
    (tmp_path / "all.csv").write_text("\n".join(["text,label", *lines]) + "\n")
    with pytest.raises(MethodError, match="same 20 examples to train and to test on"):
        Data(str(tmp_path / "all.csv"), None, 2, None, 0).value(None, None)
    for name, some in (("train", lines[:14]), ("test", lines[14:])):
        (tmp_path / "apart").mkdir(exist_ok=True)
        (tmp_path / "apart" / f"{name}.csv").write_text("\n".join(["text,label", *some]) + "\n")
    split = Data(str(tmp_path / "apart"), None, 2, None, 0).value(None, None)
    assert (len(split.suspects), len(split.test)) == (12, 6)
