"""Small sweeps of real cells that several tests read."""

import importlib.util
import shutil
import sys

import pytest

from bench import planted
from mithridate.bench.executors import Serial
from mithridate.bench.plan import make_plan
from mithridate.bench.records import records
from mithridate.bench.run import run
from mithridate.bench.store import Store
from mithridate.core.runtime import Runtime


class Swept:
    """A plan that was run in this process, and its store.

    begun: a store whose answers are taken over.
    """

    def __init__(self, cells, folder, begun=None):
        if begun is not None:
            shutil.copytree(begun.folder, folder, dirs_exist_ok=True)
        self.plan, self.store = make_plan(cells), Store(folder)
        self.ran = run(self.plan, self.store, Serial(self.store.folder, Runtime()))
        self.records = records(self.plan, self.store)

    def __call__(self, defence, rate=planted.RATE, tuning="default"):
        """The record of a cell."""
        asked = {"defence": defence, "rate": rate, "tuning": tuning}
        found = [r for r in self.records if asked.items() <= r.cell.items()]
        assert len(found) == 1, f"{asked}: {len(found)} records"
        return found[0]

    def end(self, *cell, **axes):
        """The last step of a cell."""
        key = self(*cell, **axes).key
        return next(end for end in self.plan.ends if end.key == key)


@pytest.fixture(scope="session")
def swept(tmp_path_factory):
    """Digits with a patch: no attack, one that takes, one that does not; planted defences."""
    return Swept(planted.cells(), tmp_path_factory.mktemp("swept"))


@pytest.fixture
def load(monkeypatch):
    """Import a file under a name, as `cells_of` does."""

    def load(file, name):
        spec = importlib.util.spec_from_file_location(name, file)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        return module

    return load
