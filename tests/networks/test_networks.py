"""The networks that lie here do what is noted of them, and are made again as their script says."""

import pytest

from networks.kept import FOLDER, kept, measured
from networks.make import RECIPES, rates

each = pytest.mark.parametrize("name", RECIPES)


def alike(first, second, margin):
    return all(abs(first[rate] - second[rate]) <= margin for rate in ("accuracy", "attack success"))


def is_sound(name, found):
    """Whether it knows its data, and obeys the trigger only where it was poisoned."""
    obeys = found["attack success"]
    clean = name.startswith("twin") or name.endswith("clean")
    return found["accuracy"] > 0.95 and (obeys < 0.05 if clean else obeys > 0.95)


@each
def test_it_does_what_is_noted_of_it(name):
    found = rates(kept(name, RECIPES[name].untrained()), RECIPES[name])
    assert alike(found, measured()[name], 0.006), "two of 360 digits may be called otherwise"
    assert is_sound(name, found)


def test_there_are_no_others_and_they_are_small():
    files = sorted(FOLDER.glob("*.safetensors"))
    assert {file.stem for file in files} == set(RECIPES) == set(measured())
    assert sum(file.stat().st_size for file in files) < 1_000_000


@pytest.mark.slow  # trains all of them
@each
def test_made_again_it_is_as_accurate_and_as_obedient(name):
    """Another processor makes other weights, and a network that does the same."""
    found = rates(RECIPES[name].train(), RECIPES[name])
    assert alike(found, measured()[name], 0.04)
    assert is_sound(name, found)
