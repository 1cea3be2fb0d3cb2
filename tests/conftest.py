"""What every test may use."""

import importlib.util
import os
from collections.abc import Generator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported
os.environ["MITHRIDATE_PIXELS"] = "0"  # nothing is left in the home of whoever tests

import numpy as np
import pytest
import torch

from mithridate.core.data import Dataset, dataset
from mithridate.core.errors import MissingExtra
from mithridate.core.streams import stream

torch.set_num_threads(1)


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call() -> Generator[None, object, object]:
    """Skip a test that asks for an extra that is not installed, with the reason."""
    return (yield from skipping_absent_extras())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Generator[None, object, object]:
    """Skip every test of a fixture that asks for an extra that is not installed."""
    return (yield from skipping_absent_extras())


def skipping_absent_extras() -> Generator[None, object, object]:
    """Turn the error into a skip only where the module is absent, and not hidden by a test."""
    try:
        return (yield)
    except MissingExtra as error:
        module = (getattr(error.__context__, "name", "") or "").partition(".")[0]
        if not module or not absent(module):
            raise
        pytest.skip(str(error))


def absent(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is None
    except ValueError:  # a test hides it
        return False


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
