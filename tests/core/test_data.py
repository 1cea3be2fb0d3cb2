import numpy as np
import pytest
import torch

from mithridate.core.data import Dataset, concatenate, dataset
from mithridate.core.errors import DataError, MithridateError


def three():
    return dataset(torch.arange(6).view(3, 2), [0, 1, 1], ["cat", "dog"])


def test_a_data_set_names_its_classes_and_numbers_its_rows():
    data = dataset(torch.zeros(3, 2), [0, 2, 1])
    assert data.classes == ("0", "1", "2")
    assert data.ids.tolist() == [0, 1, 2]
    assert len(data) == 3
    assert dataset(torch.zeros(0, 2), []).classes == ()


@pytest.mark.parametrize(
    "labels, ids, message",
    [
        ([0, 1], [0, 1, 2], "as many labels and ids as inputs: found 3 inputs, 2 labels, 3 ids"),
        ([0, 1, 1], [0, 1], "found 3 inputs, 3 labels, 2 ids"),
        ([0, 1, 2], [0, 1, 2], r"labels must lie in 0..1 .* found 0..2"),
        ([0, -1, 1], [0, 1, 2], r"found -1..1"),
    ],
)
def test_columns_that_do_not_fit_are_refused(labels, ids, message):
    with pytest.raises(DataError, match=message):
        Dataset(torch.zeros(3, 2), torch.tensor(labels), torch.tensor(ids), ("a", "b"))


def test_labels_of_another_type_are_refused():
    with pytest.raises(DataError, match=r"must be int64, found torch.int32"):
        Dataset(torch.zeros(1), torch.zeros(1, dtype=torch.int32), torch.zeros(1).long(), ("a",))


@pytest.mark.parametrize(
    "index",
    [torch.tensor([2, 0]), np.array([2, 0]), [2, 0]],
    ids=["tensor", "array", "list"],
)
def test_a_subset_keeps_ids_in_the_order_asked_for(index):
    part = three().subset(index)
    assert part.ids.tolist() == [2, 0]
    assert part.labels.tolist() == [1, 0]
    assert part.inputs.tolist() == [[4, 5], [0, 1]]
    assert part.classes == ("cat", "dog")
    assert part.subset([1]).ids.tolist() == [0]


def test_a_subset_by_truth_values():
    assert three().subset(torch.tensor([True, False, True])).ids.tolist() == [0, 2]
    assert three().subset(np.array([False, False, False])).ids.tolist() == []
    assert len(three().subset([])) == 0


def test_inputs_may_be_an_array_of_objects():
    data = dataset(np.array(["a", "b", "c"], dtype=object), [0, 1, 0])
    assert data.subset(torch.tensor([2, 0])).inputs.tolist() == ["c", "a"]


def test_two_data_sets_are_put_together():
    both = concatenate(three(), three().subset([2]))
    assert both.labels.tolist() == [0, 1, 1, 1]
    assert both.ids.tolist() == [0, 1, 2, 3]
    assert both.inputs[3].tolist() == [4, 5]


def test_only_alike_data_sets_are_put_together():
    other = dataset(torch.zeros(2, 2, dtype=torch.int64), [0, 1], ["cat", "cow"])
    with pytest.raises(DataError, match="different classes"):
        concatenate(three(), other)
    wide = dataset(torch.zeros(2, 5, dtype=torch.int64), [0, 1], ["cat", "dog"])
    with pytest.raises(DataError, match=r"different shapes: expected \[2\], found \[5\]"):
        concatenate(three(), wide)


def test_a_data_set_cannot_be_changed():
    with pytest.raises(AttributeError):
        three().labels = torch.zeros(3)


def test_every_error_of_the_library_has_one_ancestor():
    from mithridate.core import errors

    own = [e for e in vars(errors).values() if isinstance(e, type)]
    assert all(issubclass(e, MithridateError) for e in own)
    assert all(e.__name__ in (errors.__doc__ or "") for e in own), "the tree in the docstring"
