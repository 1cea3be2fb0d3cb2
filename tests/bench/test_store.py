"""What is in the store is whole, and written once."""

import json
import os
import signal
import time
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

import mithridate.bench
from bench.toys import Toy, plan_of, serially, stored, total
from mithridate.bench import store as module
from mithridate.bench.step import SCHEMA, Output
from mithridate.bench.store import Store
from mithridate.core.errors import DataError

STEP = Toy("a")
COST, ORIGIN = {"seconds": 0.5}, {"python": "3"}


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def put(store, number, step=STEP, **more):
    output = Output({"total": torch.tensor(number)}, {"number": number})
    store.save(step, output, COST, ORIGIN, **more)


def test_what_was_put_in_comes_out(store):
    shared = torch.arange(12).view(3, 4)
    tensors = {
        "turned": shared.T, "same": shared, "none": torch.zeros(0, 3), "one": torch.tensor(2.5),
        "flags": torch.tensor([True, False]), "half": torch.ones(2, dtype=torch.bfloat16),
        "held": torch.nn.Parameter(torch.ones(2)),
    }  # fmt: skip
    facts = {"a": [1, 2.5, None, {"b": "é"}]}
    step = Toy("a", (Toy("b"), Toy("c")))
    store.save(step, Output(tensors, facts), COST, ORIGIN)
    out = store.output(step.key)
    assert out.facts == facts == store.facts(step.key)
    assert out.tensors.keys() == tensors.keys()
    for name, value in tensors.items():
        assert torch.equal(out.tensors[name], value) and out.tensors[name].dtype == value.dtype
    entry = store.entry(step.key)
    assert (entry.kind, entry.status, entry.why) == ("toy", "done", "")
    assert entry.parents == (Toy("b").key, Toy("c").key)
    assert (entry.cost, entry.origin) == (COST, ORIGIN) and entry.settings["name"] == "a"
    assert store.keys() == [step.key] and store.has(step) and not store.has(STEP)


def test_a_crash_between_files_leaves_nothing_that_counts(store, monkeypatch):
    class Crash(BaseException):
        pass

    write = Path.write_text

    def crashing(path, *arguments):
        if path.name == "step.json":
            raise Crash
        return write(path, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_text", crashing)
        with pytest.raises(Crash):
            put(store, 1)
    assert store.keys() == [] and not store.has(STEP)
    assert plan_of(STEP).missing(store) == [STEP]
    left = list(store.unfinished.iterdir())
    assert len(left) == 1 and (left[0] / "tensors.safetensors").exists()
    put(store, 2)
    assert store.keys() == [STEP.key] and total(store, STEP) == 2


def test_what_killed_writers_left_is_swept_once_it_is_old(store):
    for name, age in (("old", 7200), ("new", 0)):
        (store.unfinished / name).mkdir()
        (store.unfinished / name / "file").write_text("x")
        os.utime(store.unfinished / name, (time.time() - age,) * 2)
    assert store.sweep_unfinished(older_than=3600) == 1
    assert [f.name for f in store.unfinished.iterdir()] == ["new"]


def torn(path):
    path.write_bytes(path.read_bytes()[:-3])


@pytest.mark.parametrize(
    "harm",
    [
        lambda home: torn(home / "step.json"),
        lambda home: (home / "step.json").write_text(""),
        lambda home: (home / "step.json").write_text("[]"),
        lambda home: (home / "step.json").write_text("{}"),
        lambda home: torn(home / "tensors.safetensors"),
        lambda home: torn(home / "facts.json"),
        lambda home: (home / "tensors.safetensors").unlink(),
        lambda home: (home / "step.json").unlink(),
        lambda home: [f.unlink() for f in home.iterdir()],
    ],
    ids=range(9),
)
def test_a_torn_step_is_found_and_computed_again(tmp_path, harm):
    child = Toy("child", (STEP,))
    store = stored(tmp_path, child)
    harm(store.steps / STEP.key)
    with pytest.raises(DataError, match="run again"):
        store.entry(STEP.key)
    missing = plan_of(child).missing(store)
    assert missing == [STEP] and store.keys() == [child.key]
    assert serially(store, child).ended == {"done": 1}
    assert total(store, STEP) == 1 and plan_of(child).missing(store) == []


def test_the_second_writer_of_a_key_is_dropped(store):
    put(store, 1)
    put(store, 2)
    assert total(store, STEP) == 1 and store.facts(STEP.key) == {"number": 1}
    assert store.keys() == [STEP.key] and not list(store.unfinished.iterdir())


def test_many_writers_of_a_key_leave_one_whole_output(store):
    go, children = store.folder / "go", []
    for number in range(6):
        pid = os.fork()
        if not pid:
            while not go.exists():
                pass
            try:
                put(store, number)
                os._exit(0)
            except BaseException:
                os._exit(1)
        children.append(pid)
    go.touch()
    assert all(os.waitpid(pid, 0)[1] == 0 for pid in children)
    assert store.keys() == [STEP.key] and not list(store.unfinished.iterdir())
    assert store.entry(STEP.key).key == STEP.key
    assert total(store, STEP) == store.facts(STEP.key)["number"]


def holder(store, key):
    """A process that holds a claim until it is killed."""
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        with store.claim(key) as mine:
            os.write(write, b"y" if mine else b"n")
            time.sleep(30)
        os._exit(0)
    os.close(write)
    said = os.read(read, 1)
    os.close(read)
    assert said == b"y"
    return pid


def test_a_claim_is_for_one_process_and_dies_with_it(store):
    pid = holder(store, "key")
    with store.claim("key") as mine, store.claim("other") as another:
        assert not mine and another
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    with store.claim("key") as mine:
        assert mine
        with store.claim("key") as second:
            assert not second, "nor for two at once in one process"
    with store.claim("key") as mine:
        assert mine, "and it is given back"


def test_a_claim_is_given_back_where_the_step_breaks(store):
    with pytest.raises(ZeroDivisionError), store.claim("key"):
        raise ZeroDivisionError
    with store.claim("key") as mine:
        assert mine


def test_a_claim_is_for_one_even_where_it_is_given_back_meanwhile(store, monkeypatch):
    first = store.claim("key")
    assert first.__enter__()
    lock, waiting = module.fcntl.flock, [first]

    def slow(file, how):
        if waiting:  # between opening and locking, the one who held it lets go
            waiting.pop().__exit__(None, None, None)
        return lock(file, how)

    monkeypatch.setattr(module.fcntl, "flock", slow)
    with store.claim("key") as mine, store.claim("key") as other:
        assert not (mine and other)
    with store.claim("key") as mine:
        assert mine, "who asks again gets it"


def test_nothing_in_a_store_could_run_code(tmp_path):
    store = stored(tmp_path, Toy("b", (Toy("a"),)), Toy("c", does="breaks"))
    files = [f for f in store.folder.rglob("*") if f.is_file()]
    assert {f.suffix for f in files} == {".json", ".safetensors"}
    for file in files:
        if file.suffix == ".json":
            json.loads(file.read_text())
        else:
            with safe_open(file, "pt") as opened:
                assert list(opened.keys()) == ["total"]
    home = Path(mithridate.bench.__file__).parent
    sources = [home / "store.py", home / "execute.py", *(home / "steps").glob("*.py")]
    for source in sources:
        text = source.read_text()
        code = text.replace("no pickle", "")
        for word in ("import pickle", "allow_pickle", "torch.load", "torch.save", "marshal"):
            assert word not in code, f"{source.name}: {word}"


def test_a_store_of_a_newer_version_is_refused_and_left_alone(tmp_path):
    stored(tmp_path, STEP)
    note = tmp_path / "store.json"
    assert json.loads(note.read_text()) == {"schema": SCHEMA}
    note.write_text(json.dumps({"schema": SCHEMA + 1}))
    with pytest.raises(DataError, match=f"schema {SCHEMA + 1}.*knows {SCHEMA}; use the version"):
        Store(tmp_path)
    assert json.loads(note.read_text()) == {"schema": SCHEMA + 1}
    note.write_text(json.dumps({"schema": "two"}))
    with pytest.raises(DataError, match="schema two"):
        Store(tmp_path)


def test_removing_frees_what_it_says(tmp_path):
    store = stored(tmp_path, Toy("b", (STEP,)))
    size = sum(f.stat().st_size for f in (store.steps / STEP.key).iterdir())
    assert store.remove(STEP.key) == size > 0
    assert store.keys() == [Toy("b", (STEP,)).key] and not list(store.unfinished.iterdir())


def test_a_failure_is_kept_until_the_step_is_done(store):
    assert store.failure(STEP.key) is None
    store.fail(STEP, "no reason", "trace")
    assert store.failure(STEP.key)["why"] == "no reason" and not store.has(STEP)
    put(store, 1)
    assert store.failure(STEP.key) is None


def test_a_status_other_than_done_is_an_end(store):
    put(store, 1, status="void", why="it did not take")
    assert (store.entry(STEP.key).status, store.entry(STEP.key).why) == ("void", "it did not take")
    assert plan_of(STEP).missing(store) == []
