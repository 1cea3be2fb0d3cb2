"""A step is named by all that it depends on, and by nothing else."""

import dataclasses
import pickle
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.toys import Brief, Heavy, Toy
from mithridate.bench.step import Step, plain
from mithridate.core.method import Method
from mithridate.detectors.early_loss import EarlyLoss
from mithridate.detectors.spectral_signatures import SpectralSignatures

scalars = (
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.0, 1.0, -1.0, 0.5, 1e300])
    | st.sampled_from(["", "1", "1.0", "true", "null", "None", "[]", ",", '"', "é", "\u2028"])
)  # fmt: skip
values = st.recursive(scalars, lambda inside: st.lists(inside, max_size=3).map(tuple), max_leaves=5)


@settings(max_examples=150, deadline=None)
@given(values, values)
def test_settings_that_differ_have_keys_that_differ(first, second):
    # repr tells 1 from 1.0 from True, which == does not
    assert (Toy(first).key == Toy(second).key) is (repr(first) == repr(second))


def test_one_the_number_the_fraction_and_true_are_three_settings():
    keys = {Toy(value).key for value in (1, 1.0, True, "1", "True", (1,))}
    assert len(keys) == 6, "a float for an int computes anew, and never serves the wrong result"


def test_every_field_is_part_of_the_key():
    first = Toy("a", (Toy("b"),), "refuses", "here")
    others = [
        dataclasses.replace(first, name="c"), dataclasses.replace(first, earlier=()),
        dataclasses.replace(first, earlier=(Toy("c"),)), dataclasses.replace(first, does=""),
        dataclasses.replace(first, notes="there"),
    ]  # fmt: skip
    assert len({step.key for step in [first, *others]}) == 6


def test_the_order_and_the_number_of_the_earlier_steps_count():
    a, b = Toy("a"), Toy("b")
    assert len({Toy("c", steps).key for steps in ((a, b), (b, a), (a,), (a, b, b), ())}) == 5


def test_a_change_far_up_changes_all_that_depend_on_it():
    def chain(first):
        return Toy("c", (Brief("b", (Toy(first),)),))

    assert chain("a").key == chain("a").key != chain("other").key


def test_the_kind_is_part_of_the_key():
    assert len({kind("a").key for kind in (Toy, Heavy, Brief)}) == 3
    assert Heavy("a").kind() == "heavy"


@dataclass(frozen=True, eq=False)
class Holding(Step):
    """Hold anything."""

    thing: object


@dataclass(frozen=True)
class Outer(Method):
    """Hold a method."""

    inner: object
    more: object = None


def test_a_method_counts_with_its_settings_and_its_name_however_deep():
    def key(detector):
        return Holding(Outer((1, Outer(detector)))).key

    detectors = (EarlyLoss(), EarlyLoss(epochs=2), SpectralSignatures())
    assert len({key(detector) for detector in detectors}) == 3
    assert key(EarlyLoss()) == key(EarlyLoss(epochs=5)), "a default that is spelt out is the same"


@pytest.mark.parametrize(
    "held", [[EarlyLoss()], {"a": EarlyLoss()}, Outer([EarlyLoss()])], ids=["list", "dict", "inner"]
)
def test_the_code_of_a_method_counts_in_a_list_and_in_a_dictionary(monkeypatch, held):
    from mithridate.bench import step

    before, real = Holding(held).key, step.code_digest
    other = {EarlyLoss: "edited"}
    monkeypatch.setattr(step, "code_digest", lambda kind: other.get(kind) or real(kind))
    assert Holding(held).key != before


@pytest.mark.parametrize("held", [[Toy("a")], {"a": Toy("a")}, Outer(Toy("a"))])
def test_a_step_that_is_part_of_the_key_is_a_parent_or_refused(held):
    try:
        step = Holding(held)
        assert step.key and [parent.key for parent in step.parents] == [Toy("a").key]
    except TypeError:
        pass


def test_equal_steps_are_those_with_equal_keys():
    assert Toy("a") == Toy("a") and len({Toy("a"), Toy("a"), Toy("b")}) == 2
    assert Toy("a") != Heavy("a") and Toy("a") != "a"


def test_a_key_travels_with_its_step():
    step = Toy("a", (Toy("b"),))
    key = step.key
    there = pickle.loads(pickle.dumps(step))
    assert there.key == key and there.parents[0].key == Toy("b").key
    assert dataclasses.replace(there, name="c").key != key, "and is not handed on to others"


def test_a_setting_that_is_not_plain_is_refused():
    for wrong in (object(), np.int64(3), lambda: 1, {1, "a", object()}):
        with pytest.raises(TypeError):
            _ = Toy(wrong).key


def test_settings_are_told_without_the_steps():
    step = Holding(Toy("b"))
    assert step.settings == {} and Toy("a", does="x").settings["does"] == "x"
    assert plain({"b": (1, {3, 2}), 1: None}) == {"b": [1, [2, 3]], "1": None}
