"""A text of LightGBM is data: what is broken, endless or of another kind is refused."""

import numpy as np
import pytest

from mithridate.core.boosted import rounded_down
from mithridate.core.errors import DataError
from mithridate.core.lightgbm_file import read_lightgbm

TREE = """
num_leaves=3
num_cat=1
split_feature=0 1
threshold=0.5 0
decision_type=10 1
left_child=1 -1
right_child=-2 -3
leaf_value=1 2 3
leaf_count=10 20 30
cat_boundaries=0 2
cat_threshold=5 2
is_linear=0
shrinkage=0.1
"""

MODEL = f"""tree
version=v4
num_class=1
num_tree_per_iteration=1
label_index=0
max_feature_idx=1
objective=binary sigmoid:1
feature_names=size kind
feature_infos=[0:1] 0:1

Tree=0{TREE}

end of trees

pandas_categorical:[["a", "b"]]
"""


def test_it_reads_splits_sets_and_names():
    held = read_lightgbm(MODEL, "it")
    (tree,) = held.trees
    assert held.columns == ("size", "kind")
    assert held.sets == {1: ("a", "b")}
    assert (held.classes, held.scale, held.base) == (2, 1.0, (0.0,))
    assert tree.codes[1].tolist() == [0.0, 2.0, 33.0]
    assert tree.kind.tolist() == [2, 3]
    assert tree.missing_left.tolist() == [True, False]
    assert tree.value.tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    "before, after, told",
    [
        ("tree\n", "trees of another", "expected a model as LightGBM"),
        ("objective=binary sigmoid:1", "objective=regression", "tell classes apart"),
        ("objective=binary sigmoid:1", "objective=multiclass num_class:3", "tell classes apart"),
        ("num_tree_per_iteration=1", "num_tree_per_iteration=4", "trees for 2 classes"),
        ("feature_names=size kind", "feature_names=size size", "a name for each column"),
        ("max_feature_idx=1", "max_feature_idx=9", "a name for each column"),
        ("left_child=1 -1", "left_child=0 -1", "lead elsewhere"),
        ("left_child=1 -1", "left_child=1 1", "lead elsewhere"),
        ("right_child=-2 -3", "right_child=-2 -2", "lead elsewhere"),
        ("split_feature=0 1", "split_feature=0 7", "expected columns 0 to 1"),
        ("split_feature=0 1", "split_feature=0", "expected 2 numbers, found 1"),
        ("leaf_value=1 2 3", "leaf_value=1 nan 3", "expected finite numbers"),
        ("leaf_value=1 2 3", "leaf_value=1 x 3", "expected numbers"),
        ("threshold=0.5 0", "threshold=nan 0", "expected finite numbers"),
        ("threshold=0.5 0", "threshold=0.5 3", "expected sets 0 to 0"),
        ("num_leaves=3", "num_leaves=999999999999", "one number each"),
        ("num_leaves=3", "num_leaves=1e99", "finite numbers in range"),
        ("is_linear=0", "is_linear=1", "one number each"),
        ("cat_boundaries=0 2", "cat_boundaries=0 99999999", "sets one after the other"),
        ("cat_boundaries=0 2", "cat_boundaries=2 0", "sets one after the other"),
        ("cat_threshold=5 2", "cat_threshold=5", "expected 2 numbers"),
        ("decision_type=10 1", "decision_type=14 1", "ways of missing values"),
        ("num_cat=1", "num_cat=77", "expected 78 numbers"),
        ('[["a", "b"]]', '[["a"], ["b"]]', "which code is which"),
        ('[["a", "b"]]', '[["a"', "categories as JSON"),
    ],
)
def test_what_is_no_such_text_is_refused(before, after, told):
    assert before in MODEL
    with pytest.raises(DataError, match=told):
        read_lightgbm(MODEL.replace(before, after, 1), "it")


def test_thresholds_say_the_same_of_single_precision():
    exact = np.array([0.1, 1 / 3, -1 / 3, 1e30, np.inf, 0.5])
    small = rounded_down(exact)
    assert small.dtype == np.float32
    assert (small <= exact).all()
    for near, bound in zip(small, exact, strict=True):
        for value in (near, np.nextafter(near, np.float32(np.inf))):
            assert (value <= near) == (float(value) <= bound)
