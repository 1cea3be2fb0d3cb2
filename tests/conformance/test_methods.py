"""What every method of every kind keeps to; no method is named here."""

import dataclasses
import json
import re

import pytest

from conformance.worlds import every, required
from mithridate.core.docstrings import parsed
from mithridate.core.method import Method
from mithridate.report.catalogue import meanings_of

METHODS = every(Method)


def ids(method):
    return f"{method.kind}-{method.name()}"


each = pytest.mark.parametrize("method", METHODS.values(), ids=ids)


def test_names_are_unique_over_all_kinds():
    kinds = [kind for kind in Method.__subclasses__() if not dataclasses.is_dataclass(kind)]
    assert sum(len(every(kind)) for kind in kinds) == len(METHODS)


@each
def test_a_method_is_a_frozen_value(method):
    assert method.__dataclass_params__.frozen
    if not required(method):
        first, second = method(), method()
        assert first == second
        assert hash(first) == hash(second)
        assert repr(first) == repr(second)
        for field in dataclasses.fields(method):
            with pytest.raises(dataclasses.FrozenInstanceError):
                setattr(first, field.name, None)


@each
def test_the_constructor_only_stores(method):
    assert not hasattr(method, "__post_init__"), "checks belong where the values are used"


@each
def test_the_first_line_says_what_it_does(method):
    assert method.__doc__, "a method needs a docstring of its own"
    summary = method.summary()
    assert re.fullmatch(r"[A-Z][^.]*(\.[^ ][^.]*)*\.", summary), f"one plain sentence: {summary!r}"
    assert len(summary) <= 100


@each
def test_every_setting_has_an_entry_of_its_own(method):
    meanings = meanings_of(method)
    silent = [f.name for f in dataclasses.fields(method) if not meanings.get(f.name)]
    assert not silent, f"{method.name()}: say in `Attributes:` what these mean: {silent}"
    own = parsed(method.__doc__ or "").meanings
    stale = sorted(set(own) - {f.name for f in dataclasses.fields(method)})
    assert not stale, f"{method.name()} explains what it has not: {stale}"


def test_a_name_within_a_word_explains_nothing():
    @dataclasses.dataclass(frozen=True)
    class Vague(Method):
        """Generate at the rated pace.

        Attributes:
            pace: generated at this rate.
        """

        rate: float = 0.5
        pace: float = 1.0

    assert set(meanings_of(Vague)) == {"pace"}


@each
def test_the_configuration_is_plain_values(method):
    if not required(method):
        config = method().config()
        assert config["method"] == method.name()
        assert set(config) == {"method", *(f.name for f in dataclasses.fields(method))}
        json.dumps(config)
