"""Real data that several tests read."""

from functools import cache

import pytest

from mithridate.domains.formats import Limits, read


@pytest.fixture(scope="session")
def real(data_folder):
    """Gives the test split of a real set by its name; each is read once."""

    @cache
    def real(name):
        return read(data_folder / name / "test.parquet", limits=Limits(pixels=32 * 32))

    return real
