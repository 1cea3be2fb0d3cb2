"""What every test may use."""

import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported

import numpy as np
import pytest
import torch

from mithridate.core.data import Dataset, dataset
from mithridate.core.streams import stream

torch.set_num_threads(1)


@pytest.fixture
def rng() -> np.random.Generator:
    """A random stream that is the same in every run."""
    return stream(0, "test")


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of real data sets; the test is skipped where there is none."""
    folder = os.environ.get("MITHRIDATE_DATA", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("needs real data: set MITHRIDATE_DATA to a folder that holds them")
    return Path(folder)


@pytest.fixture(scope="session")
def digits() -> Dataset:
    """The 1,797 digits that scikit-learn carries, uint8[n, 1, 8, 8] in ten classes."""
    from sklearn.datasets import load_digits

    loaded = load_digits()
    return dataset(torch.from_numpy(loaded.images * 15.9375).byte()[:, None], loaded.target)
