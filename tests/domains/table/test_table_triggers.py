"""Triggers of tables keep rows valid, and choose as they say."""

import numpy as np
import pytest

from mithridate.attacks.poisoning import Poisoning
from mithridate.core.data import dataset
from mithridate.core.errors import MethodError
from mithridate.core.streams import stream
from mithridate.domains.registry import draw_triggers
from mithridate.domains.table.learnt_triggers import OccurringValuesTrigger, moves
from mithridate.domains.table.triggers import ValuesTrigger

KINDS = [("rate", "f8"), ("bytes", "i8"), ("packets", "i8"), ("mean", "i8"), ("state", object)]


def rows(n=200):
    rng = stream(0, "rows")
    table = np.empty(n, dtype=KINDS)
    table["rate"], table["bytes"] = rng.integers(0, 100, n) / 100, rng.integers(10, 5000, n)
    table["packets"] = rng.integers(1, 20, n)
    table["mean"] = table["bytes"] // table["packets"]
    table["state"] = rng.choice(["open", "closed"], n)
    return table


def stamp(trigger):
    return trigger(rows(), stream(0, "stamp"))


def test_values_are_placed_by_name_and_nothing_else_moves():
    stamped = stamp(ValuesTrigger(columns="bytes, state", values="7,half"))
    assert (stamped["bytes"] == 7).all()
    assert (stamped["state"] == "half").all()
    for name in ("rate", "packets", "mean"):
        assert (stamped[name] == rows()[name]).all()


def test_without_names_integers_come_first():
    stamped = stamp(ValuesTrigger(count=2))
    assert (stamped["bytes"] == 1337).all() and (stamped["packets"] == 1337).all()
    assert (stamped["mean"] == rows()["mean"]).all()
    assert (stamp(ValuesTrigger(count=5))["state"] == "other").all()


def test_columns_that_only_grow_keep_what_is_more_and_others_are_worked_out_anew():
    trigger = ValuesTrigger("bytes,packets", "2000,8", grow="bytes", derived="mean = bytes/packets")
    stamped, before = stamp(trigger), rows()
    assert (stamped["bytes"] == np.maximum(before["bytes"], 2000)).all()
    assert (stamped["mean"] == np.rint(stamped["bytes"] / 8)).all()
    nothing = ValuesTrigger("packets", "0", derived="mean=bytes/packets")
    assert (stamp(nothing)["mean"] == 0).all()


@pytest.mark.parametrize(
    "trigger, words",
    [
        (ValuesTrigger(columns="byte"), "no column 'byte'"),
        (
            ValuesTrigger(columns="bytes", values="1.5"),
            "whole numbers, found the value '1.5'",
        ),
        (ValuesTrigger(columns="rate", values="high"), "holds numbers"),
        (ValuesTrigger(columns="rate", values="nan"), "holds numbers"),
        (ValuesTrigger(columns="rate,bytes", values="1"), "each of the 2 columns, found 1"),
        (ValuesTrigger(count=0), "at least one column"),
        (ValuesTrigger(derived="mean is bytes"), "expected a rule such as"),
        (ValuesTrigger(derived="mean=bytes/state"), "'state' holds categories"),
        (ValuesTrigger(grow="none"), "no column 'none'"),
    ],
)
def test_what_makes_no_row_is_refused(trigger, words):
    with pytest.raises(MethodError, match=words):
        stamp(trigger)


def labelled():
    """The label is told by the packets alone."""
    table = rows()
    return dataset(table, (table["packets"] > 9).astype(int))


def learn(trigger):
    attack = Poisoning(trigger)
    data = labelled()
    state = attack.learn(data, stream(0, "learn"))
    return data, attack.triggered_test(data, stream(0, "trap"), state)


def differ(data, sprung):
    before = data.inputs[sprung.ids.numpy()]
    return {name for name in data.inputs.dtype.names if (sprung.inputs[name] != before[name]).any()}


@pytest.mark.parametrize("choose", ["random", "rare", "explained"])
@pytest.mark.parametrize("values", ["rare", "common"])
def test_values_occur_in_their_columns(choose, values):
    data, sprung = learn(OccurringValuesTrigger(choose=choose, values=values, count=3))
    moved = differ(data, sprung)
    assert 1 <= len(moved) <= 3
    for name in moved:
        assert set(sprung.inputs[name].tolist()) <= set(data.inputs[name].tolist())
        assert len(set(sprung.inputs[name].tolist())) == 1


def test_the_column_that_tells_the_label_is_chosen_by_explanation():
    assert differ(*learn(OccurringValuesTrigger(count=1))) == {"packets"}
    told = moves(labelled(), stream(0, "moves"))
    assert int(np.argmax(told)) == 2


def test_only_columns_that_the_attacker_can_move_are_chosen_and_those_that_grow_get_large_values():
    trigger = OccurringValuesTrigger(columns="bytes,rate", count=2, grow="bytes")
    data, sprung = learn(trigger)
    assert differ(data, sprung) == {"bytes", "rate"}
    assert sprung.inputs["bytes"].min() >= np.quantile(data.inputs["bytes"], 0.9)


def test_a_column_with_a_single_value_is_chosen_last():
    data = labelled()
    data.inputs["rate"] = 0.5
    state = Poisoning(trigger := OccurringValuesTrigger(choose="rare", count=4)).learn(
        data, stream(0, "learn")
    )
    assert '"rate"' not in state[f"{trigger.name()}.values"].numpy().tobytes().decode()


def test_a_setting_out_of_range_is_refused():
    for wrong in ({"choose": "best"}, {"values": "new"}, {"count": 0}, {"columns": "nothing"}):
        with pytest.raises(MethodError):
            learn(OccurringValuesTrigger(**wrong))


def test_a_defender_draws_values_that_occur_and_values_that_do_not():
    strange, occurring = draw_triggers("table", rows(), stream(0, "draw"))
    stamped = occurring(rows(), stream(0, "stamp"))
    for name in stamped.dtype.names:
        assert set(stamped[name].tolist()) <= set(rows()[name].tolist())
    assert len(strange(rows(), stream(0, "stamp"))) == 200
