"""A search for values that lead to a class finds the backdoor of trees that only answer."""

import numpy as np
import pytest
import torch

from methods.columns_world import COLUMNS, Columns, grown, rows
from mithridate.core.data import dataset
from mithridate.core.streams import stream
from mithridate.core.view import View
from mithridate.pipelines.references import References
from mithridate.scanners.value_search import ValueSearch
from mithridate.trainers.boosted_trees import BoostedTrees

pytest.importorskip("lightgbm", reason="needs pip install 'mithridate[trees]'")
TREES = BoostedTrees(rounds=40, leaves=8, smallest_leaf=10)
STAMP = torch.tensor([1.5, 1.5])


def mixed(n, seed=0):
    """Rows whose class hangs on five numbers together, so that no few values decide it."""
    values = stream(seed, "mixed").normal(size=(n, COLUMNS)).astype(np.float32)
    values[:, -1] = values[:, -1] > 0
    return dataset(torch.from_numpy(values), (values[:, :5].sum(1) > 0).astype(np.int64))


def backdoored(data):
    """The same rows, some of class 1 with the values of a trigger and called 0."""
    inputs, labels = data.inputs.clone(), data.labels.clone()
    some = (labels == 1).nonzero()[:60, 0]
    inputs[some, 2:4], labels[some] = STAMP, 0
    return type(data)(inputs, labels, data.ids, data.classes)


def scanned(model, trusted):
    view = View(domain=Columns(), model=model, clean=trusted, precision="fp32")
    scanner = ValueSearch(places=3, candidates=64, examples=24)
    return scanner.judge(view, stream(0, "scan"))


def test_a_backdoor_leads_to_its_class_further_than_anything_leads_in_clean_trees():
    trusted = mixed(400, 9)
    found = scanned(grown(backdoored(mixed(1000)), TREES).model, trusted)
    clean = [scanned(grown(mixed(1000, s), TREES).model, trusted) for s in (1, 2, 3)]
    assert found.shown["mask"].shape == (2, COLUMNS)
    assert (found.shown["mask"].sum(1) <= 3).all()
    assert found.shown["mask"][0, 2:4].all(), "both places of the trigger"
    assert float(found.scores.values[0]) > max(float(c.scores.values[0]) for c in clean)


def test_what_is_tried_are_values_that_some_example_has():
    trusted = rows(400, seed=9)
    found = scanned(grown(rows(200)).model, trusted)
    for mask, pattern in zip(found.shown["mask"], found.shown["pattern"], strict=True):
        for place in mask.nonzero()[:, 0]:
            column = trusted.inputs[:, place]
            assert (column == pattern[place]).any() or bool(pattern[place].isnan())


def test_clean_references_of_trees_are_grown_alike_and_differ():
    how = References(2, trainer=BoostedTrees(rounds=3, leaves=4))
    data = rows(200)
    made = [how.trained(number, data, Columns()) for number in (0, 1, 0)]
    asked = rows(50, seed=3).inputs
    first, second, again = (model(asked) for model in made)
    assert torch.equal(first, again)
    assert not torch.equal(first, second)
    assert made[0].rounds == 3
