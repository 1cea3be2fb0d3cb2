"""Sweeps on Ray: a node dies in the middle of one, and nothing is lost or done twice."""

import copy
import dataclasses
import json
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench import ray_sweep
from bench.slow_steps import Slow, tree
from mithridate.bench import ray_executor
from mithridate.bench.choose_executor import executor
from mithridate.bench.executors import Processes, Serial
from mithridate.bench.plan import Plan
from mithridate.bench.ray_executor import RayExecutor, Shared
from mithridate.bench.run import run
from mithridate.bench.store import Store
from mithridate.core.errors import DataError, MethodError, MissingExtra
from mithridate.core.runtime import Runtime


@pytest.fixture
def cluster():
    pytest.importorskip("ray", reason="needs the extra: pip install 'mithridate[ray]'")
    from bench.ray_cluster import Cluster

    with Cluster() as started:
        yield started


def begun(cluster, on, store, notes):
    """Start a sweep in a process of its own."""
    notes.mkdir()
    command = [sys.executable, ray_sweep.__file__, on, str(store), str(notes)]
    env = {**cluster.env, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def written(notes):
    """What each step noted, as pairs of what happened and the process it happened in."""
    return {
        file.name: [(what, int(pid)) for what, pid in map(str.split, file.read_text().splitlines())]
        for file in notes.iterdir()
    }


def stopped_in_the_middle(node, notes, sweep):
    """Wait until a worker of a node computes a step, and stop it there."""
    from bench.ray_cluster import descendants

    until = time.monotonic() + 90
    while time.monotonic() < until and sweep.poll() is None:
        workers = set(descendants(node.pid))
        for key, lines in written(notes).items():
            if lines[-1:] and lines[-1][0] == "began" and lines[-1][1] in workers:
                os.kill(lines[-1][1], signal.SIGSTOP)
                if written(notes)[key] == lines:
                    return key
                os.kill(lines[-1][1], signal.SIGCONT)  # it was just done: take the next
        time.sleep(0.02)
    raise AssertionError("the node computed nothing")


def answered(sweep):
    out, err = sweep.communicate(timeout=120)
    assert sweep.returncode == 0, err.decode()[-3000:]
    spoken = [line for line in out.splitlines() if line.startswith((b"{", b"["))]
    return json.loads(spoken[-1])  # Ray itself may speak before and after


def outputs(store, keys):
    return {key: int(store.output(key).tensors["total"]) for key in keys}


@pytest.mark.timeout(240)
def test_a_node_dies_and_every_step_still_ends_once_with_the_same_output(cluster, tmp_path):
    steps = ray_sweep.steps(tmp_path / "notes")
    keys = [step.key for step in steps]
    node = cluster.add()
    sweep = begun(cluster, f"ray:{cluster.address}", tmp_path / "store", tmp_path / "notes")
    try:
        killed = stopped_in_the_middle(node, tmp_path / "notes", sweep)
        dead = cluster.kill(node)
        said = answered(sweep)
    finally:
        sweep.kill()
    store, notes = Store(tmp_path / "store"), written(tmp_path / "notes")
    assert said["ended"] == {"done": len(steps)}
    assert said["lost"] >= 1, "a step was being computed where the node died"
    assert said["slots"] == [2, 1], "the node counts no more"
    assert store.keys() == sorted(keys), "each has one output"
    assert not list(store.folder.glob(".shared-*")), "the marks of the nodes are gone"
    # what was begun again is what was lost; what was not lost was begun once
    assert sorted(notes) == sorted(keys)
    again = {key for key, lines in notes.items() if [w for w, _ in lines].count("began") > 1}
    assert killed in again
    assert len(again) <= said["lost"]
    assert all([w for w, _ in notes[key]] == ["began", "ended"] for key in keys if key not in again)
    assert notes[killed][-1][0] == "ended"
    assert notes[killed][-1][1] not in dead
    # the same, computed here one after the other: only where the notes lie differs
    here = tree(ray_sweep.LEAVES)
    serial = Store(tmp_path / "serial")
    run(Plan((), (), tuple(here)), serial, Serial(serial.folder, Runtime()))
    expected = outputs(serial, [step.key for step in here])
    assert list(outputs(store, keys).values()) == list(expected.values())
    assert store.facts(keys[0])["threads"] == "1"


@pytest.fixture
def shared(tmp_path):
    found = Shared(tmp_path / "store", "sign")
    found.folder.mkdir()
    found.mark.write_text("sign")
    return found


def test_a_node_without_the_store_says_so_and_makes_none(shared, tmp_path):
    elsewhere = dataclasses.replace(shared, folder=tmp_path / "elsewhere")
    with pytest.raises(DataError, match="does not see the store"):
        ray_executor._check_sight(elsewhere, patience=0.0)
    assert not elsewhere.folder.exists()


def test_a_node_with_another_store_under_the_same_path_says_so(shared):
    shared.mark.write_text("of another sweep")
    with pytest.raises(DataError, match="does not see the store"):
        ray_executor._check_sight(shared, patience=0.0)


def test_a_node_without_the_data_says_so(shared, tmp_path):
    ray_executor._check_sight(dataclasses.replace(shared, data=str(tmp_path)), patience=0.0)
    with pytest.raises(DataError, match="does not see the data: expected the folder /nowhere"):
        ray_executor._check_sight(dataclasses.replace(shared, data="/nowhere"), patience=0.0)


def test_a_node_answers_in_a_file_that_is_seen_here(shared):
    host = ray_executor._look(shared, "n1")
    assert json.loads(shared.answer("n1").read_text()) == {"host": host}


def test_a_late_file_is_waited_for(shared):
    late = shared.answer("late")
    write = [sys.executable, "-c", f"import time; time.sleep(0.3); open({str(late)!r}, 'w')"]
    with subprocess.Popen(write):
        assert ray_executor._seen(late)


def test_other_code_on_a_node_computes_nothing(shared):
    """The key travels with a step; a node whose code gives another key would spoil the store."""
    step = Slow(1)
    old = copy.copy(step)
    old.__dict__["key"] = "0" * 32
    job = pickle.dumps((old,))
    with pytest.raises(DataError, match="has other code for the step slow"):
        ray_executor._compute(job, shared, Runtime(), [])
    assert not (shared.folder / "steps").exists()
    ended = ray_executor._compute(pickle.dumps((step,)), shared, Runtime(), [])
    assert [(end.key, end.status) for end in ended] == [(step.key, "done")]


def test_other_code_of_a_step_that_is_not_stored_is_seen_too(monkeypatch):
    parent = Slow(1)
    child = Slow(2, (parent,))
    assert child.key
    parent.__dict__["key"] = "0" * 32
    again = dataclasses.replace(child)  # its own key holds that of the parent
    ray_executor._check_code(again)
    monkeypatch.setattr(Slow, "stored", False)
    with pytest.raises(DataError, match="has other code"):
        ray_executor._check_code(again)


def test_steps_are_imported_from_the_paths_of_recipes(shared, tmp_path, monkeypatch):
    (tmp_path / "recipes").mkdir()
    source = Path(sys.modules[Slow.__module__].__file__).read_text()
    (tmp_path / "recipes" / "only_there.py").write_text(source)
    monkeypatch.setattr(sys, "path", [*sys.path])
    here = [*sys.path]
    sys.path.append(str(tmp_path / "recipes"))
    only = __import__("only_there")
    step = only.Slow(1)
    job = pickle.dumps((step,))
    assert step.key
    del sys.modules["only_there"]
    sys.path[:] = here
    with pytest.raises(DataError, match="cannot import what a step needs"):
        ray_executor._compute(job, shared, Runtime(), [])
    ended = ray_executor._compute(job, shared, Runtime(), [str(tmp_path / "recipes")])
    assert [end.status for end in ended] == ["done"]
    del sys.modules["only_there"]


def test_lost_workers_give_no_answer_and_refusals_are_raised(monkeypatch):
    ray = pytest.importorskip("ray", reason="needs the extra: pip install 'mithridate[ray]'")
    known = ray.exceptions

    def giving(error):
        def get(_):
            raise error

        monkeypatch.setattr(ray, "get", get)
        return ray_executor._result(None)

    for lost in (
        known.WorkerCrashedError(), known.NodeDiedError("gone"), known.OutOfMemoryError("full"),
        known.OwnerDiedError("0" * 56, None, ""),
    ):  # fmt: skip
        assert giving(lost) is None
    with pytest.raises(DataError, match="not seen"):
        giving(known.RayTaskError("look", "", DataError("not seen")).as_instanceof_cause())
    with pytest.raises(known.RayTaskError, match="ZeroDivisionError"):
        giving(known.RayTaskError("f", "ZeroDivisionError", ZeroDivisionError()))
    with pytest.raises(known.RuntimeEnvSetupError):
        giving(known.RuntimeEnvSetupError("no environment"))


def test_without_ray_the_error_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtra, match=r"pip install 'mithridate\[ray\]'"):
        RayExecutor(tmp_path, Runtime(), None, [])


def test_a_cluster_that_does_not_answer_is_an_error_at_once(tmp_path):
    ray = pytest.importorskip("ray", reason="needs the extra: pip install 'mithridate[ray]'")
    assert not ray.is_initialized()
    for place in ("ray:127.0.0.1:9", "ray://127.0.0.1:9"):
        with pytest.raises(MethodError, match=r"no Ray cluster could be joined at .*127\.0"):
            executor(place, tmp_path / "store", Runtime(), 1, [])
    assert not (tmp_path / "store").exists()


def test_places_are_chosen_by_their_names(tmp_path, monkeypatch):
    asked = []

    class Noted:
        def __init__(self, folder, runtime, address, paths, workers=None):
            asked.append((address, workers))

    monkeypatch.setattr("mithridate.bench.choose_executor.RayExecutor", Noted)
    for place in ("ray", "ray:auto", "ray:10.0.0.1:6379", "ray://head:10001"):
        assert isinstance(executor(place, tmp_path, Runtime(), 3, []), Noted)
    assert asked == [(None, 3), ("auto", None), ("10.0.0.1:6379", None), ("ray://head:10001", None)]
    assert isinstance(executor("serial", tmp_path, Runtime(), 3, []), Serial)
    local = executor("local", tmp_path, Runtime(), 3, [])
    assert isinstance(local, Processes)
    assert local.slots == 3
    local.close()
    for wrong in ("", "ray:", "ray:6379", "ray:host:", "cluster"):
        with pytest.raises(MethodError, match="expected one of local, serial, ray, ray:auto"):
            executor(wrong, tmp_path, Runtime(), 1, [])
