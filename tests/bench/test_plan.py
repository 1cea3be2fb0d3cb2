"""What a plan says before anything is computed."""

from dataclasses import replace

import pytest

from bench.toys import Brief, Heavy, Toy, plan_of, stored
from mithridate.attacks.poisoning import Poisoning
from mithridate.bench.cell import Task, grid
from mithridate.bench.plan import estimate, make_plan, summary
from mithridate.bench.store import Store
from mithridate.core.errors import MethodError
from mithridate.core.fit import TrainingConfig
from mithridate.detectors.controls import Constant
from mithridate.domains.image.triggers import PatchTrigger


def cells(**axes):
    task = Task("digits", 300, 100, TrainingConfig(epochs=7, batch_size=64))
    attack = Poisoning(PatchTrigger(size=2, row=-2, column=-2))
    axes = {"rates": (0.0, 0.1), "trusted": (100,), "seeds": (0, 1), **axes}
    return grid({"digits": task}, {"badnets": attack}, {"constant": Constant()}, **axes)


def test_steps_are_distinct_and_stand_behind_what_they_need():
    plan = make_plan(cells())
    keys = [step.key for step in plan.steps]
    assert len(set(keys)) == len(keys)
    seen = set()

    def there(step):
        return step.key in seen if step.stored else all(there(p) for p in step.parents)

    for step in plan.steps:
        assert all(there(parent) for parent in step.parents), step.kind()
        seen.add(step.key)
    assert [end.key for end in plan.ends] == [k for k in keys if k in {e.key for e in plan.ends}]
    assert len(plan.cells) == len(plan.ends) == 2 * 2 * 5


def test_the_order_of_the_cells_changes_no_step():
    there, back = make_plan(cells()), make_plan(cells()[::-1])
    assert {s.key for s in there.steps} == {s.key for s in back.steps}


def test_a_cell_that_is_asked_for_twice_is_refused():
    with pytest.raises(MethodError, match=r"'constant'.*asked for twice"):
        make_plan([*cells(), cells()[4]])


def test_what_is_missing_is_what_has_not_ended(tmp_path):
    a, b = Toy("a"), Toy("b", does="refuses")
    bad, brief = Toy("bad", does="breaks"), Brief("brief")
    last = Toy("last", (a, brief))
    plan = plan_of(last, b, bad)
    assert brief not in plan.steps
    empty = Store(tmp_path / "empty")
    assert plan.missing(empty) == list(plan.steps)
    assert plan.missing(stored(tmp_path / "full", last, b, bad)) == [bad]


def test_a_summary_counts():
    plan = make_plan(cells())
    missing = [s for s in plan.steps if s.kind() not in ("poison", "train")]
    found = summary(plan, missing)
    assert found["cells"] == 20 and found["cells_done"] == 0
    assert found["steps"] == len(plan.steps)
    assert found["steps_cached"] == len(plan.steps) - len(missing) == 8
    assert sum(found["missing"].values()) == len(missing) and found["missing"]["judge"] == 20


def test_an_estimate_takes_the_median_of_like_steps(tmp_path):
    first, rest = [Heavy(n) for n in range(3)], [Heavy(n) for n in range(3, 8)]
    store = stored(tmp_path, *first)
    for step, seconds in zip(first, (2.0, 3.0, 40.0), strict=True):
        note = store.steps / step.key / "step.json"
        found = note.read_text()
        cost = store.entry(step.key).cost["seconds"]
        note.write_text(found.replace(f'"seconds": {cost}', f'"seconds": {seconds}', 1))
    plan = plan_of(*first, *rest, Toy("never seen"))
    found = estimate(plan, store, plan.missing(store), probe=False)
    assert found.by_kind == {"heavy": (5, 15.0), "toy": (1, 0.0)}
    assert found.seconds == 15.0 and found.unknown == ("toy",)


def test_an_estimate_of_nothing_is_nothing(tmp_path):
    store = stored(tmp_path, Toy("a"))
    plan = plan_of(Toy("a"))
    assert estimate(plan, store, plan.missing(store)) == estimate(plan, store, [])
    assert estimate(plan, store, []).seconds == 0.0


def test_a_probe_times_the_training_and_leaves_nothing_behind(tmp_path):
    plan, store = make_plan(cells()), Store(tmp_path)
    missing = plan.missing(store)
    found = estimate(plan, store, missing)
    assert store.keys() == []
    count, seconds = found.by_kind["train"]
    assert count == 4 and 0.05 < seconds < 60
    assert found.by_kind["retrain"][1] == pytest.approx(seconds / 4 * found.by_kind["retrain"][0])
    assert "judge" in found.unknown and "train" not in found.unknown
    assert estimate(plan, store, missing, probe=False).seconds == 0.0


def spent(store, steps):
    return sum(store.entry(step.key).cost["seconds"] for step in steps)


def test_the_estimate_of_what_was_run_before_is_within_a_factor_of_two(swept):
    steps = list(swept.plan.steps)
    found = estimate(swept.plan, swept.store, steps, probe=False)
    seconds = spent(swept.store, steps)
    assert found.unknown == () and seconds / 2 < found.seconds < seconds * 2
    assert 0 < found.longest < found.seconds


def test_what_like_steps_have_cost_is_known_for_another_seed(swept):
    """Keys tell nothing of likeness: no step of the other seed was ever computed."""
    other = make_plan([replace(cell, seed=1) for cell in swept.plan.cells])
    assert not set(swept.store.keys()) & {step.key for step in other.steps}
    found = estimate(other, swept.store, list(other.steps), probe=False)
    seconds = spent(swept.store, swept.plan.steps)
    assert found.unknown == () and seconds / 2 < found.seconds < seconds * 2


def test_many_processes_take_no_less_than_the_longest_chain(tmp_path):
    first = Heavy("first")
    chain = Heavy("last", (Brief("between", (first,)),))
    store = stored(tmp_path, Heavy("other"))
    note = store.steps / Heavy("other").key / "step.json"
    cost = store.entry(Heavy("other").key).cost["seconds"]
    note.write_text(note.read_text().replace(f'"seconds": {cost}', '"seconds": 3.0', 1))
    plan = plan_of(chain, *(Heavy(n) for n in range(4)))
    found = estimate(plan, store, plan.missing(store), probe=False)
    assert (found.seconds, found.longest) == (18.0, 6.0)
    assert [found.clock(workers) for workers in (1, 2, 6)] == [18.0, 9.0, 6.0]
