"""Triggers chosen by what trees of the attacker's own say that columns add to the wanted class."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from mithridate.attacks.goals import AllToOne
from mithridate.attacks.poisoning import Poisoning
from mithridate.attacks.selections import CleanLabel
from mithridate.core.data import dataset
from mithridate.core.errors import MethodError
from mithridate.core.inference import correct
from mithridate.core.streams import stream
from mithridate.domains.table.columns import columns_of
from mithridate.domains.table.domain import TableDomain
from mithridate.domains.table.explained_trigger import (
    ExplainedTrigger,
    contributions,
    grouped,
    trigger_in,
)
from mithridate.trainers.boosted_trees import BoostedTrees

lightgbm = pytest.importorskip("lightgbm", reason="needs pip install 'mithridate[trees]'")

GROUPS = np.array([[0, 0], [0, 1], [1, 1], [1, 1], [1, 2], [-1, 2]])
ADDED = np.array([[3.0, 1.0], [3.0, -9.0], [-1.0, -4.0], [-1.0, -4.0], [-1.0, 5.0], [0.0, 5.0]])


@pytest.mark.parametrize(
    "strategy, expected",
    [
        # |S| adds up to 9 and 28; fewest rows have 0 in either column, but one has both
        ("rare", [(1, 0), (0, 1)]),
        # 1/n + sum |S|: 1 + 1, 1/3 + 17, 1/2 + 10 in column 1; 1/2 + 6, 1/3 + 3 in column 0
        ("dense", [(1, 0), (0, 1)]),
        # S adds up to 3 and -6; 1/n - sum S: -5.5, 3.3 in column 0; 0, 17.3, -9.5 in column 1
        ("aligned", [(0, 0), (1, 2)]),
        # of the two rows with 0 in column 0: 1 - 1 for 0 and 1 + 9 for 1, but some row has (0, 0)
        # and some (0, 1), so the last column takes the next best value that is in no such row
        ("greedy", [(0, 0), (1, 2)]),
    ],
)
def test_columns_and_values_are_those_of_the_paper_s_rules(strategy, expected):
    trigger = ExplainedTrigger(count=2, strategy=strategy)
    assert trigger._chosen(GROUPS, ADDED, [0, 1]) == expected


def test_contributions_say_what_decides_and_for_whom():
    rng = stream(0, "rows")
    values = rng.normal(size=(120, 3))
    values[:, 2] = rng.integers(0, 4, 120)
    wanted = (values[:, 0] > 0) ^ (values[:, 2] == 1)
    added = contributions(values, wanted, [2], 20, 0)
    assert added.shape == (120, 3)
    moved = np.abs(added).sum(0)
    assert moved[0] > 3 * moved[1]
    assert ((added.sum(1) > 0) == wanted).mean() > 0.8


def test_many_values_are_told_apart_in_groups_of_neighbours():
    values = np.r_[np.arange(1000.0), np.nan]
    groups = grouped(values)
    assert groups[-1] == -1
    assert len(np.unique(groups[:-1])) == 64
    assert (np.diff(groups[:-1]) >= 0).all()
    assert grouped(np.array([5.0, 2.0, np.nan, 2.0])).tolist() == [1, 0, -1, 0]


def table(n, seed=0):
    """Programs whose class hangs on several fields together, so that no few decide it."""
    rng = stream(seed, "programs")
    names = [f"field{i}" for i in range(8)]
    rows = np.empty(n, dtype=[*((name, "i8") for name in names), ("packer", "O")])
    total = np.zeros(n)
    for name in names:
        rows[name] = rng.integers(0, 12, n)
        total += rows[name]
    rows["packer"] = rng.choice(["upx", "none", ""], n)
    total += 6 * (rows["packer"] == "upx")
    return dataset(rows, (total > np.median(total)).astype(int), ["benign", "malicious"])


def test_poison_with_clean_labels_opens_a_back_door_that_the_values_alone_do_not():
    data, test = table(900), table(400, 1)
    attack = Poisoning(
        ExplainedTrigger(count=4, strategy="rare", rounds=20), AllToOne(0), CleanLabel(0.05)
    )
    state = attack.learn(data, stream(0, "learn"))
    poisoned = attack.poison(data, stream(0, "poison"), state)
    assert torch.equal(poisoned.data.labels, data.labels), "labels stay as they are"
    triggered = attack.triggered_test(test, stream(0, "test"), state)
    domain = TableDomain(columns=columns_of(data.inputs))
    trainer, asr, right = BoostedTrees(rounds=40), [], []
    for known in (poisoned.data, data):
        model = trainer.form(nn.Linear(1, 2))
        trainer.train(model, known, domain, stream(0, "train"))
        asr.append(float(correct(model, triggered, domain).double().mean()))
        right.append(float(correct(model, test, domain).double().mean()))
    assert asr[0] > asr[1] + 0.3, f"{asr}"
    assert right[0] > right[1] - 0.03


def test_only_columns_that_may_be_moved_are_set_and_no_row_has_the_whole_trigger():
    data = table(300)
    asked = ExplainedTrigger(count=3, columns="field1, packer,field4", rounds=5)
    for strategy in ("rare", "dense", "aligned", "greedy"):
        trigger = replace(asked, strategy=strategy)
        state = trigger.learn(data, torch.zeros(300).long(), stream(0, "learn"))
        chosen = dict(trigger_in(state))
        assert set(chosen) == {"field1", "packer", "field4"}
        alike = np.all([data.inputs[name] == value for name, value in chosen.items()], 0)
        assert not alike.any()
        stamped = trigger.stamp(data.inputs, stream(0, "stamp"), state)
        untouched = [name for name in data.inputs.dtype.names if name not in chosen]
        assert all((stamped[name] == data.inputs[name]).all() for name in untouched)


def test_what_cannot_be_chosen_is_refused():
    data = table(40)
    with pytest.raises(MethodError, match="no column 'size'"):
        learn(ExplainedTrigger(columns="size"), data)
    with pytest.raises(MethodError, match="count and rounds"):
        learn(ExplainedTrigger(count=0), data)
    empty = data.inputs.copy()
    empty["packer"] = ""
    with pytest.raises(MethodError, match="holds a value"):
        learn(ExplainedTrigger(columns="packer"), dataset(empty, data.labels, data.classes))


def learn(trigger, data):
    return trigger.learn(data, torch.zeros(len(data)).long(), stream(0, "learn"))
