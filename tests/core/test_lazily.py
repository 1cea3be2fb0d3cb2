"""`import mithridate` is cheap, and gives what a user needs when it is asked for."""

import ast
import importlib
import inspect
import subprocess
import sys

import pytest

import mithridate
from mithridate.core.method import Attack, Detector, Repair, Trainer, Trigger
from mithridate.core.registry import find
from mithridate.core.scanner import Scanner

TRAINING = """
from mithridate import Dataset
import torch
from mithridate.core.optimisers import Adam
from mithridate.core.fast import FastTraining
from mithridate.core.fit import TrainingConfig
import mithridate.bench.plan, mithridate.cli.work.scan_data

weight = torch.ones(2, 1, 2, requires_grad=True)
configs = TrainingConfig(), FastTraining()
for optimiser in (*(config.optimiser([weight]) for config in configs), Adam([weight])):
    weight.sum().backward()
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)
    optimiser.load_state_dict(optimiser.state_dict())
"""


def imported(code):
    """The modules that a fresh Python has imported after some code."""
    code += "\nimport sys; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_the_library_imports_nothing_heavy():
    heavy = {"torch", "numpy", "sklearn", "PIL"}
    assert not heavy & imported("import mithridate, mithridate.detectors; dir(mithridate)")
    trained = imported(TRAINING)
    assert "torch" in trained
    assert "torch._dynamo" not in trained, "which takes longer than many a training"
    assert not {"scipy.stats", "sklearn", "pandas"} & trained, "a second, which few need"


def test_every_name_is_there_and_listed():
    for name in mithridate.__all__:
        assert getattr(mithridate, name) is not None
        assert name in dir(mithridate)
    assert mithridate.scan_data.__module__ == "mithridate.pipelines.front"


def test_type_checkers_are_told_the_same_names():
    tree = ast.parse(inspect.getsource(mithridate))
    told = {
        alias.name: node.module
        for block in tree.body
        if isinstance(block, ast.If)
        for node in block.body
        for alias in node.names
    }
    assert told == mithridate.HOMES


def test_a_name_that_is_not_there_is_an_ordinary_error():
    with pytest.raises(AttributeError, match="module 'mithridate' has no attribute 'scan_datas'"):
        _ = mithridate.scan_datas
    with pytest.raises(ImportError, match="Spectral"):
        from mithridate.detectors import Spectral  # noqa: F401


@pytest.mark.parametrize("kind", [Attack, Detector, Repair, Scanner, Trainer, Trigger])
def test_every_method_is_in_its_package(kind):
    for method in find(kind).values():
        package = importlib.import_module(method.__module__.rpartition(".")[0])
        assert getattr(package, method.__name__) is method
        assert method.__name__ in dir(package)


def test_a_file_is_found_before_a_class():
    from mithridate.detectors import spectral_signatures

    assert inspect.ismodule(spectral_signatures)
