"""What a scan is rehearsed on: few examples, of each class in proportion."""

import numpy as np
import torch

from mithridate.core.data import dataset
from mithridate.pipelines.rehearsed import in_proportion


def test_a_share_of_each_class_is_taken_in_the_order_of_the_data():
    labels = np.array([0] * 60 + [1] * 30 + [2] * 10)[np.random.default_rng(0).permutation(100)]
    data = dataset(torch.zeros(100, 1, 2, 2, dtype=torch.uint8), labels)
    few = in_proportion(data, 0.3)
    assert torch.bincount(few.labels).tolist() == [18, 9, 3]
    assert few.ids.tolist() == sorted(few.ids.tolist())
    assert len(in_proportion(data, 1.0)) == 100 and len(in_proportion(data, 1e-9)) == 1
