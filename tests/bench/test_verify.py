"""Verifying finds what was altered, and collecting takes only what nobody needs."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import safe_open

from bench.toys import HABITS, Toy, plan_of, raising, serially, stored
from mithridate.bench.step import Output
from mithridate.bench.verify import difference, find_unused, verify


def flip(file, place):
    data = bytearray(file.read_bytes())
    data[place] ^= 1
    file.write_bytes(bytes(data))


def checked(plan, store, sample=1000):
    return verify(plan, store, sample, np.random.default_rng(0))


def tree(folder):
    steps = [Toy(n) for n in range(4)]
    last = Toy("last", (Toy("sum", tuple(steps)), Toy("refused", does="refuses")))
    return plan_of(last, Toy("void", does="is void")), stored(
        folder, last, Toy("void", does="is void")
    )


def test_an_honest_store_passes_with_every_way_to_end(tmp_path):
    plan, store = tree(tmp_path)
    found = checked(plan, store)
    assert len(found) == len(plan.steps) == 8 and all(c.same for c in found)
    assert [c.key for c in found] == [s.key for s in plan.steps]
    assert {store.entry(k).status for k in list(store.keys())} == {"done", "skipped", "void"}


def test_a_real_step_of_every_kind_comes_out_the_same(swept):
    of_each = {
        step.kind(): step
        for step in swept.plan.steps
        if swept.store.entry(step.key).status == "done"
    }
    assert of_each.keys() == {
        "poison", "train", "evidence", "detect", "tune", "oracletune", "retrain", "outcome",
        "repaired", "gate", "stealth", "judge", "filter",
    }  # fmt: skip
    found = checked(replace(swept.plan, steps=tuple(of_each.values())), swept.store)
    assert len(found) == len(of_each) and [c for c in found if not c.same] == []


def test_a_flipped_bit_of_a_tensor_is_found(tmp_path):
    plan, store = tree(tmp_path)
    step = plan.steps[2]
    file = store.steps / step.key / "tensors.safetensors"
    flip(file, -8)  # the lowest byte of the last number, little end first
    with safe_open(file, "pt") as opened:
        assert int(opened.get_tensor("total")) == 0
    assert store.entry(step.key).key == step.key, "its size tells nothing"
    wrong = [c for c in checked(plan, store) if not c.same]
    assert wrong[0].key == step.key and wrong[0].what == "total: differs by up to 1"
    assert {c.kind for c in wrong} == {"toy"} and len(wrong) == 2, "it, and the sum made of it"


def test_a_flipped_bit_of_real_weights_is_found(swept):
    step = swept.end("destroying").defended.model
    file = swept.store.steps / step.key / "tensors.safetensors"
    before = file.read_bytes()
    try:
        flip(file, -3)
        found = checked(replace(swept.plan, steps=(step,)), swept.store)
        assert [c.same for c in found] == [False] and "differs by up to" in found[0].what
    finally:
        file.write_bytes(before)


def test_a_flipped_bit_of_the_header_is_found(tmp_path):
    plan, store = tree(tmp_path)
    flip(store.steps / plan.steps[2].key / "tensors.safetensors", 9)
    wrong = [c.key for c in checked(plan, store) if not c.same]
    assert plan.steps[2].key in wrong


def test_facts_of_the_same_size_that_are_none_are_found(tmp_path):
    plan, store = tree(tmp_path)
    file = store.steps / plan.steps[2].key / "facts.json"
    file.write_text("x" * file.stat().st_size)
    assert plan.steps[2].key in [c.key for c in checked(plan, store) if not c.same]


def test_a_step_that_breaks_now_is_told_as_different(tmp_path, monkeypatch):
    plan, store = tree(tmp_path)
    monkeypatch.setitem(HABITS, "", raising(ZeroDivisionError("today")))
    found = {c.key: c for c in checked(plan, store)}
    assert "ZeroDivisionError" in found[plan.steps[0].key].what


def test_other_facts_and_another_end_are_found(tmp_path):
    plan, store = tree(tmp_path)
    one, two = plan.steps[0], plan.steps[1]
    (store.steps / one.key / "facts.json").write_text('{"name": "other"}')
    note = store.steps / two.key / "step.json"
    note.write_text(json.dumps({**json.loads(note.read_text()), "status": "void"}))
    (store.steps / one.key / "step.json").write_text(
        (store.steps / one.key / "step.json").read_text().replace("13", "17")
    )
    found = {c.key: c for c in verify_all_that_can_be_read(plan, store)}
    assert found[one.key].what == "facts differ: name"
    assert found[two.key].what == "was void, is done"


def verify_all_that_can_be_read(plan, store):
    for step in plan.steps:  # sizes are made to fit, as a liar would
        home = store.steps / step.key
        note = json.loads((home / "step.json").read_text())
        sizes = {f.name: f.stat().st_size for f in home.iterdir() if f.name != "step.json"}
        (home / "step.json").write_text(json.dumps({**note, "files": sizes}))
    return checked(plan, store)


def test_verifying_writes_nothing(tmp_path):
    plan, store = tree(tmp_path)
    before = {f: f.stat().st_mtime_ns for f in store.folder.rglob("*")}
    checked(plan, store)
    assert {f: f.stat().st_mtime_ns for f in store.folder.rglob("*")} == before


def test_a_sample_has_its_size_and_depends_on_the_stream_alone(tmp_path):
    plan, store = tree(tmp_path)

    def keys(seed, n):
        return [c.key for c in verify(plan, store, n, np.random.default_rng(seed))]

    assert len(keys(0, 3)) == len(set(keys(0, 3))) == 3
    assert keys(0, 3) == keys(0, 3) and len({tuple(keys(s, 3)) for s in range(9)}) > 1
    told = []
    verify(plan, store, 2, np.random.default_rng(0), told.append)
    assert len(told) == 2


A = torch.tensor([1.0, float("nan")])


@pytest.mark.parametrize(
    "first, second, said",
    [
        (Output({"a": A}), Output({"a": A.clone()}), ""),
        (Output({"a": A}), Output({"a": 2 * A}), "differs by up to"),
        (Output({"a": A}), Output({"a": A.double()}), "torch.float32 against [2] torch.float64"),
        (Output({"a": A}), Output({"a": A[:1]}), "[2] torch.float32 against [1]"),
        (Output({"a": A}), Output({"b": A}), "only one has the tensor 'a'"),
        (Output({}, {"cost": 1}), Output({}, {"cost": 2}), ""),
        (Output({}, {"a": (1, 2)}), Output({}, {"a": [1, 2]}), ""),
        (Output({}, {"a": float("nan")}), Output({}, {"a": float("nan")}), ""),
        (Output({}, {"a": 1}), Output({}, {}), "facts differ: a"),
    ],
)  # fmt: skip
def test_differences_are_told(first, second, said):
    found = difference(first, second)
    assert (said in found) if said else found == ""


def test_zero_is_not_what_is_not_a_number():
    zero = Output({"a": torch.tensor([1.0, 0.0])})
    assert difference(Output({"a": A}), zero) and difference(zero, Output({"a": A}))


def test_only_what_no_plan_needs_is_unused(tmp_path):
    shared, old = Toy("shared"), Toy("old")
    one, two = Toy("one", (shared,)), Toy("two", (shared,))
    gone = Toy("gone", (shared, old))
    store = stored(tmp_path, one, two, gone)
    plans = [plan_of(one), plan_of(two)]
    assert find_unused(plans, store) == sorted([old.key, gone.key])
    assert find_unused([*plans, plan_of(gone)], store) == []
    for key in find_unused(plans, store):
        store.remove(key)
    assert serially(store, one, two).computed == 0
