"""A run can be stopped, killed and begun again anywhere, and every step is computed once."""

import contextlib
import json
import os
import pickle
import signal
import time
from collections import Counter
from pathlib import Path

import pytest
import torch

from bench.test_digest import forget
from bench.toys import TESTS, Brief, FallingPool, Heavy, Toy, plan_of, ran, serially, total, words
from mithridate.attacks.poisoning import Poisoning
from mithridate.bench import run as module
from mithridate.bench.cell import Rules, Task, grid
from mithridate.bench.execute import execute_all
from mithridate.bench.executors import Processes, Serial
from mithridate.bench.plan import Plan, make_plan
from mithridate.bench.run import TRIES, run
from mithridate.bench.store import Store
from mithridate.core.fit import TrainingConfig
from mithridate.core.runtime import Runtime
from mithridate.detectors.controls import Constant
from mithridate.domains.image.triggers import PatchTrigger
from mithridate.pipelines.finding import Rule


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


@pytest.fixture
def notes(tmp_path):
    (tmp_path / "notes").mkdir()
    return str(tmp_path / "notes")


def names(notes):
    return Counter(name for name, _ in ran(notes))


@contextlib.contextmanager
def pool(store, workers):
    there = Processes(store.folder.resolve(), Runtime(), workers, [TESTS])
    try:
        yield there
    finally:
        there.close()


def in_a_child(work):
    """Do something in a forked process; gives its id."""
    pid = os.fork()
    if pid:
        return pid
    try:
        work()
        os._exit(0)
    except BaseException:
        os._exit(1)


def alive(pid):
    """Whether a process runs; one that nobody has buried yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def until(true, seconds=20.0):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def test_steps_run_after_what_they_need_and_a_second_run_computes_nothing(store, notes):
    first = [Toy(n, notes=notes) for n in range(3)]
    both = [Toy("sum", tuple(first), notes=notes), Heavy("more", (first[0],), notes=notes)]
    last = Toy("last", tuple(both), notes=notes)
    done = serially(store, last)
    assert done.ended == {"done": 6} and done.lost == 0
    assert total(store, last) == 1 + 4 + 2
    order = [name for name, _ in ran(notes)]
    assert sorted(order) == sorted(["0", "1", "2", "sum", "more", "last"])
    assert order[-1] == "last" and order.index("sum") > max(order.index(n) for n in "012")
    again = serially(store, last)
    assert again.computed == 0 and len(ran(notes)) == 6


def test_a_step_that_is_not_kept_stands_for_what_it_needs(store, notes):
    first = Toy("first", notes=notes)
    between = Brief("between", (first,))
    last = Toy("last", (between,))
    assert serially(store, last).ended == {"done": 2}
    assert total(store, last) == 3 and not store.has(between)


def test_what_is_refused_is_skipped_with_its_words_and_so_is_what_needs_it(store, notes):
    bad = Toy("bad", does="refuses", notes=notes)
    child = Toy("child", (Toy("good"), bad), notes=notes)
    grandchild = Toy("grandchild", (Brief("between", (child,)),), notes=notes)
    assert serially(store, grandchild).ended == {"done": 1, "skipped": 3}
    for step in (bad, child, grandchild):
        assert words(store, step) == ("skipped", "refused on purpose")
    assert names(notes) == {"bad": 1}, "what needs it was not even begun"
    assert serially(store, grandchild).computed == 0, "an answer, which is not asked for again"


def test_what_breaks_has_failed_with_its_trace_and_is_run_again(store, notes):
    bad = Toy("bad", does="breaks once", notes=notes)
    child = Toy("child", (bad,), notes=notes)
    other = Toy("other", notes=notes)
    assert serially(store, child, other).ended == {"failed": 2, "done": 1}
    assert words(store, bad) == ("failed", "ZeroDivisionError: the first time")
    assert words(store, child) == ("failed", "ZeroDivisionError: the first time")
    assert "break_once" in store.failure(bad.key)["trace"]
    assert store.keys() == [other.key], "a failure is no answer"
    assert serially(store, child, other).ended == {"done": 2}
    assert names(notes) == {"bad": 2, "child": 1, "other": 1}
    assert store.failure(bad.key) is None and store.failure(child.key) is None
    assert total(store, child) == 2


def test_a_broken_contract_is_a_bug_and_no_refusal(store):
    bad = Toy("bad", does="breaks its contract")
    assert serially(store, bad).ended == {"failed": 1}
    assert words(store, bad) == ("failed", "ContractError: scores must be finite")


def test_void_goes_on_to_what_needs_it(store):
    bad = Toy("bad", does="is void")
    child = Toy("child", (bad,))
    assert serially(store, child).ended == {"void": 2}
    assert words(store, child) == ("void", "the attack did not take")


def test_what_the_machine_lacks_is_asked_for_again_once_it_is_there(store, notes):
    bad = Toy("bad", does="lacks an extra once", notes=notes)
    serially(store, bad)
    serially(store, bad)
    assert words(store, bad) == ("done", "")


def test_an_output_that_cannot_be_kept_fails_its_step_and_not_the_run(store):
    bad, other = Toy("bad", does="gives what nothing can keep"), Toy("other")
    assert serially(store, bad, other).ended == {"failed": 1, "done": 1}
    assert words(store, bad)[0] == "failed"


def test_a_step_that_leaves_fails_and_the_run_goes_on(store):
    bad, other = Toy("bad", does="leaves"), Toy("other")
    assert serially(store, bad, other).ended == {"failed": 1, "done": 1}


def test_progress_is_told_of_every_step_once(store):
    steps = [Toy(n) for n in range(5)]
    told = []
    serially(store, *steps, progress=lambda *said: told.append(said))
    assert [(done, of) for done, of, _, _ in told] == [(n, 5) for n in range(1, 6)]
    assert {step.key for _, _, step, _ in told} == {step.key for step in steps}


def kept(store):
    """All that a store holds of every step, but for what is measured anew."""
    found = {}
    for key in list(store.keys()):
        files = {f.name: f.read_bytes() for f in (store.steps / key).iterdir()}
        note = json.loads(files.pop("step.json"))
        facts = json.loads(files.pop("facts.json"))
        for measured in ("cost", "origin", "files"):
            note.pop(measured), facts.pop(measured, None)
        found[key] = (note, facts, files)
    return found


def small_cells():
    recipe = TrainingConfig(epochs=1, batch_size=64)
    attack = Poisoning(PatchTrigger(size=2, row=-2, column=-2, style="white"))
    cells = grid(
        {"digits": Task("digits", 200, 100, recipe)}, {"badnets": attack},
        {"constant": Constant()}, rates=(0.2,), trusted=(50,), seeds=(0,),
        rules=Rules(Rule(0.05, 0.2, 0.01, 49), min_asr=0.0),
    )  # fmt: skip
    return [c for c in cells if c.names[2] in ("none", "perfect-filter", "do-nothing", "constant")]


def test_processes_leave_the_same_store_as_one_process(tmp_path):
    first = [Toy(n) for n in range(12)]
    toys = plan_of(Toy("a", tuple(first[:6])), Heavy("b", tuple(first[3:])), *first)
    cells = make_plan(small_cells())
    both = Plan((), (), (*toys.steps, *cells.steps))
    here, there = Store(tmp_path / "here"), Store(tmp_path / "there")
    run(both, here, Serial(here.folder, Runtime()))
    with pool(there, 2) as workers:
        assert run(both, there, workers).ended == {"done": len(both.steps)}
    one, two = kept(here), kept(there)
    assert len(one) == len(both.steps) and {e.kind for e in map(here.entry, one)} >= {"train"}
    assert one == two
    assert any(files for _, _, files in one.values())


def test_a_killed_worker_loses_nothing_and_a_deadly_step_fails_in_the_end(
    store, notes, monkeypatch
):
    monkeypatch.setattr(module, "TRIES", 2)  # each takes the start of a process
    steps = [Heavy(n, does="dies once" if n == 2 else "", notes=notes) for n in range(5)]
    deadly = Toy("deadly", tuple(steps), does="dies", notes=notes)
    with pool(store, 1) as workers:
        done = run(plan_of(deadly), store, workers)
    assert done.ended == {"done": 5, "failed": 1} and done.lost >= 3
    assert [total(store, step) for step in steps] == [1] * 5
    assert words(store, deadly)[0] == "failed" and "died 2 times" in words(store, deadly)[1]
    counted = names(notes)
    assert counted["deadly"] == 2
    assert {n: counted[str(n)] for n in range(5)} == {0: 1, 1: 1, 2: 2, 3: 1, 4: 1}


def test_a_deadly_step_alone_in_flight_fails_alone(store):
    first = Toy("first")
    deadly = Heavy("deadly", (first,), does="dies")
    other = Heavy("other", (deadly,))
    done = run(plan_of(other), store, FallingPool(store.folder))
    assert done.ended == {"done": 1, "failed": 2} and done.lost == TRIES


def test_a_deadly_step_takes_no_innocent_of_its_job_with_it(store):
    steps = [Toy(n, does="dies" if n == 1 else "") for n in range(4)]
    run(plan_of(*steps), store, FallingPool(store.folder, slots=1))
    assert [words(store, step)[0] for step in steps] == ["done", "failed", "done", "done"]


def test_a_deadly_step_takes_no_innocent_of_another_worker_with_it(store):
    steps = [Heavy(n, does="dies" if n == 0 else "") for n in range(3)]
    run(plan_of(*steps), store, FallingPool(store.folder, slots=2))
    assert [words(store, step)[0] for step in steps] == ["failed", "done", "done"]


def test_workers_go_with_their_killed_driver_and_the_next_run_finishes(store, notes):
    quick = [Heavy(f"quick{n}", notes=notes) for n in range(3)]
    slow = [Heavy("slow", tuple(quick), does="waits", notes=notes)]
    plan = plan_of(Toy("last", tuple(slow), notes=notes))

    def drive():
        with pool(store, 1) as workers:
            run(plan, store, workers)

    driver = in_a_child(drive)
    until(lambda: "slow" in names(notes))
    workers = {pid for _, pid in ran(notes)}
    assert driver not in workers and all(map(alive, workers))
    os.kill(driver, signal.SIGKILL)
    os.waitpid(driver, 0)
    until(lambda: not any(map(alive, workers)), seconds=3.0)
    assert store.keys() == sorted(step.key for step in quick)
    Path(notes, "go").touch()
    done = run(plan, store, Serial(store.folder, Runtime()))
    assert done.ended == {"done": 2}
    counted = names(notes)
    assert all(counted[f"quick{n}"] == 1 for n in range(3)), "what had ended was not done again"
    assert counted["slow"] == 2 and counted["last"] == 1


def two_runs(store, notes):
    first = [Heavy(n, does="naps", notes=notes) for n in range(10)]
    plan = plan_of(Toy("last", tuple(first), notes=notes))
    counts = [Path(notes) / "a", Path(notes) / "b"]

    def work(count):
        done = run(plan, store, Serial(store.folder, Runtime()))
        count.write_text(json.dumps(done.ended))

    children = [in_a_child(lambda count=count: work(count)) for count in counts]
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
    assert len(store.keys()) == 11
    return counts


def test_two_runs_on_one_store_share_the_work_and_do_nothing_twice(store, notes):
    two_runs(store, notes)
    assert set(names(notes).values()) == {1} and len(names(notes)) == 11
    by_process = Counter(pid for _, pid in ran(notes))
    assert len(by_process) == 2 and min(by_process.values()) >= 3, "both took part"


def test_a_run_counts_only_the_steps_that_it_computed(store, notes):
    counts = two_runs(store, notes)
    assert sum(sum(json.loads(count.read_text()).values()) for count in counts) == 11


def test_a_run_waits_for_a_step_that_another_process_holds(store, notes):
    step = Toy("held", notes=notes)

    def hold():
        with store.claim(step.key) as mine:
            Path(notes, "holds").touch()
            time.sleep(0.4 if mine else 0)

    child = in_a_child(hold)
    until(Path(notes, "holds").exists)
    began = time.monotonic()
    assert serially(store, step).ended == {"done": 1}
    assert time.monotonic() - began > 0.2
    os.waitpid(child, 0)


def test_workers_use_one_thread(store):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        seen = []

        class Looking(Toy):
            def run(self, given):
                seen.append(torch.get_num_threads())
                return super().run(given)

        serially(store, Looking("looks"))
        assert seen == [1] and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


STEP = """
from dataclasses import dataclass

import torch

from mithridate.bench.step import Output, Step

@dataclass(frozen=True, eq=False)
class Edited(Step):
    def run(self, given):
        return Output({{"total": torch.tensor({answer})}})
"""


def test_code_that_was_edited_since_the_plan_gives_no_output_under_the_old_key(
    store, load, tmp_path
):
    file = tmp_path / "edited.py"
    file.write_text(STEP.format(answer=1))
    step = load(file, "edited").Edited()
    key, sent = step.key, pickle.dumps((step,))
    file.write_text(STEP.format(answer=2))
    load(file, "edited")  # as a worker does that begins after the edit
    forget()
    received = pickle.loads(sent)
    ended = execute_all(received, store.folder, Runtime())
    assert ended[0].status == "failed" and store.keys() == [] and received[0].key == key


@pytest.mark.parametrize("text", ["def half(", None], ids=["half an edit", "gone"])
def test_a_file_that_cannot_be_read_fails_its_steps_and_not_the_run(store, load, tmp_path, text):
    file = tmp_path / "edited.py"
    file.write_text(STEP.format(answer=1))
    step, other = load(file, "edited").Edited(), Toy("other")
    plan = plan_of(step, other)
    if text is None:
        file.unlink()
    else:
        file.write_text(text)
    forget()
    done = run(plan, store, Serial(store.folder, Runtime()))
    assert done.ended == {"failed": 1, "done": 1}


def test_a_skip_that_may_pass_is_told_as_skipped_and_so_is_what_needs_it(store, notes):
    bad = Toy("bad", does="lacks an extra once", notes=notes)
    child = Toy("child", (bad,), notes=notes)
    assert serially(store, child).ended == {"skipped": 2}
    assert store.failure(child.key)["why"] == "install the extra" and store.keys() == []
    assert serially(store, child).ended == {"done": 2}
