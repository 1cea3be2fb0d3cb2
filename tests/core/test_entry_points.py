"""Methods of other packages are found through entry points, and a broken one stops nobody."""

import textwrap
import warnings

import pytest

from cli.runs import inside
from mithridate.bench.admission import admit
from mithridate.bench.digest import code_digest
from mithridate.core import registry
from mithridate.core.method import Detector
from mithridate.core.registry import BrokenEntryPoint, broken_entry_points, find, find_attacks, get

MODULE = '''
"""A package of somebody else."""

from dataclasses import dataclass

import torch

from mithridate.core.method import Detector
from mithridate.core.named import NamedAttack
from mithridate.domains.image.triggers import PatchTrigger


@dataclass(frozen=True)
class FarAway(Detector):
    """Score by the distance from the mean.

    Attributes:
        power: Of the distance.
    """

    paper = "A stranger, 2026"
    known_as = ("fa",)

    power: float = 2.0

    def fit(self, view):
        return {"mean": view.features.mean(0)}

    def score(self, state, view):
        return (view.features - state["mean"]).norm(dim=1) ** self.power


@dataclass(frozen=True)
class Strip(FarAway):
    """Have the name of a method that comes with us."""


ATTACKS = (NamedAttack("tiny-patch", "A patch of one pixel.", PatchTrigger(size=1)),)
'''
POINTS = """
[mithridate.methods]
stranger = stranger_methods
missing = stranger_of_whom_nobody_heard
broken = stranger_broken
empty = stranger_methods:ATTACKS
"""


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A distribution as pip leaves it: modules, and metadata that name them."""
    (tmp_path / "stranger_methods.py").write_text(textwrap.dedent(MODULE))
    (tmp_path / "stranger_broken.py").write_text("raise RuntimeError('on [bold]fire')\n")
    folder = tmp_path / "stranger-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(POINTS)
    monkeypatch.syspath_prepend(str(tmp_path))
    registry._loaded.cache_clear()
    yield tmp_path
    registry._loaded.cache_clear()


def test_a_strangers_methods_are_found_and_a_broken_one_stops_nobody(installed):
    with pytest.warns(BrokenEntryPoint) as told:
        methods = find(Detector)
    assert {"far-away", "strip"} <= set(methods)
    assert methods["strip"].__module__ == "mithridate.detectors.strip", "ours come first"
    assert get(Detector, "fa", power=3.0).power == 3.0
    admit(get(Detector, "fa"))  # into a sweep, where the code of its module counts
    assert code_digest(methods["far-away"]) != code_digest(methods["strip"])
    assert find_attacks()["tiny-patch"].trigger.size == 1
    assert set(broken_entry_points()) == {"missing", "broken", "empty"}
    assert "RuntimeError: on [bold]fire" in broken_entry_points()["broken"]
    assert len(told) == 3


def test_the_list_tells_of_a_broken_one_once(installed):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        listed = inside("methods", "detector")
    assert not [each for each in told if each.category is BrokenEntryPoint]
    assert listed.stderr.count("entry point broken could not be used") == 1


@pytest.mark.filterwarnings("ignore::mithridate.core.registry.BrokenEntryPoint")
def test_the_command_line_lists_and_uses_them(installed, tmp_path):
    listed = inside("methods", "detector")
    assert listed.returncode == 0
    assert "far-away" in listed.stdout and "from stranger_methods" in listed.stdout
    assert "entry point broken could not be used: RuntimeError: on [bold]fire" in listed.stderr
    done = inside("poison", "digits", "--attack", "tiny-patch", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "poisoned 14 of 1,442" in done.stdout
    unknown = inside("scan", "data", "digits", "--detectors", "far-awai", "--out", tmp_path / "s")
    assert unknown.returncode == 2
    assert "did you mean far-away?" in unknown.stderr and "(entry point missing" in unknown.stderr


def test_without_them_nothing_is_said():
    registry._loaded.cache_clear()
    assert "far-away" not in find(Detector)
    assert not {"missing", "broken"} & set(broken_entry_points())
