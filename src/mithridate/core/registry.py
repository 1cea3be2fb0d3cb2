"""Finding methods by kind and name: whatever stands in the packages of methods is found.

So are methods of other packages that name them in an entry point of the group
`mithridate.methods`: a module, a class, or a `NamedAttack`.
"""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import inspect
import pkgutil
import warnings
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import metadata
from types import ModuleType
from typing import Any, TypeVar, cast

from mithridate.core.errors import MethodError, MithridateError, UnknownMethod, origin
from mithridate.core.method import Attack, Method
from mithridate.core.named import NamedAttack

HOMES = (
    "domains", "attacks", "detectors", "scanners", "trainers", "repairs", "aggregators", "clients",
)  # fmt: skip
"""The packages that hold methods."""

GROUP = "mithridate.methods"
"""The group of entry points by which other packages bring methods."""

NAMED = "a named attack"

M = TypeVar("M", bound=Method)


class BrokenEntryPoint(UserWarning):
    """An entry point of another package gave no method; the rest is not touched by it."""


def find(kind: type[M]) -> dict[str, type[M]]:
    """Find every method of a kind, by name, in alphabetical order."""
    _modules()
    inside = tuple(f"mithridate.{home}." for home in HOMES)
    methods: dict[str, type[M]] = {}
    for method in _subclasses(kind):
        if method.__module__.startswith(inside):  # no base class, and nothing of somebody's tests
            other = methods.setdefault(method.name(), method)
            if other is not method:
                raise _same_name(method.name(), other.__module__, method.__module__)
    outside = [thing for thing in _outside() if inspect.isclass(thing) and issubclass(thing, kind)]
    return dict(sorted({**{m.name(): m for m in outside}, **methods}.items()))  # ours come first


def kinds() -> list[type[Method]]:
    """Give the kinds of methods, in alphabetical order: what a method directly inherits from."""
    _modules()
    bases = [kind for kind in Method.__subclasses__() if not dataclasses.is_dataclass(kind)]
    mine = [kind for kind in bases if kind.__module__.startswith("mithridate.")]
    return sorted(mine, key=lambda kind: kind.kind)


def by_any_name(kind: type[M]) -> dict[str, type[M]]:
    """Find every method of a kind under each of its names; its own one comes before the others."""
    methods = find(kind)
    more = {name: method for method in methods.values() for name in method.names()}
    return {**more, **methods}


def resolve(kind: type[M], name: str) -> type[M]:
    """Find a method by any of its names; raises UnknownMethod with what may have been meant."""
    methods = by_any_name(kind)
    if name not in methods and _plain(name) not in methods:
        meant = _meant(_article(kind.kind), _plain(name), methods, find(kind))
        raise UnknownMethod(f"unknown {kind.kind} {name!r}: {meant}")
    return methods.get(name) or methods[_plain(name)]


def get(kind: type[M], name: str, **fields: Any) -> M:
    """Build a method by name with some of its fields.

    Raises:
        UnknownMethod: with the nearest names.
        MethodError: where a field does not exist.
    """
    method = resolve(kind, name)
    known = {f.name for f in dataclasses.fields(cast(Any, method))}
    wrong = sorted(set(fields) - known)
    if wrong:
        raise MethodError(f"{name} has no field {wrong[0]!r}; its fields: {sorted(known)}")
    return method(**fields)


def find_attacks() -> dict[str, NamedAttack]:
    """Find the attacks of the literature by name, in alphabetical order."""
    outside = [thing for thing in _outside() if isinstance(thing, NamedAttack)]
    mine: dict[str, NamedAttack] = {}
    homes: dict[str, str] = {}
    for place, attack in _listed():
        if mine.setdefault(attack.name, attack) != attack:
            raise _same_name(attack.name, homes[attack.name], place)
        homes.setdefault(attack.name, place)
    return dict(sorted({**{attack.name: attack for attack in outside}, **mine}.items()))


def reference(attack: NamedAttack) -> tuple[str, tuple[str, ...]]:
    """Give the paper of an attack and its links: its own, or those of its form or its trigger."""
    form = resolve(cast(Any, Attack), attack.form)
    source = form if attack.trigger is None or attack.form != "poisoning" else type(attack.trigger)
    return attack.paper or source.paper, attack.links or source.links


def find_attack(name: str) -> NamedAttack:
    """Find an attack of the literature by any of its names.

    Raises:
        UnknownMethod: with what may have been meant.
    """
    attacks = _attacks_by_any_name()
    if name not in attacks and _plain(name) not in attacks:
        meant = _meant(NAMED, _plain(name), attacks, find_attacks())
        raise UnknownMethod(f"unknown attack {name!r}: {meant}")
    return attacks.get(name) or attacks[_plain(name)]


def _attacks_by_any_name() -> dict[str, NamedAttack]:
    attacks = find_attacks()
    return {**{alias: a for a in attacks.values() for alias in a.known_as}, **attacks}


def domain_of(thing: type[Method] | NamedAttack) -> str:
    """Name the domain in whose folder a method or an attack stands; empty for one of every domain.

    An attack of another package is of the domain of its trigger.
    """
    places = {attack.name: place for place, attack in _listed()}
    if isinstance(thing, type):
        place = thing.__module__
    else:
        place = places.get(thing.name) or type(thing.trigger).__module__
    parts = place.split(".")
    return parts[2] if parts[:2] == ["mithridate", "domains"] else ""


def _listed() -> list[tuple[str, NamedAttack]]:
    """The attacks that our modules list, each with the name of its module."""
    return [(module.__name__, attack) for module in _modules() for attack in _attacks_of(module)]


def _attacks_of(module: ModuleType) -> tuple[NamedAttack, ...]:
    """The attacks that a module lists; raises MethodError where `ATTACKS` holds something else."""
    given = vars(module).get("ATTACKS", ())
    listed = given if isinstance(given, tuple | list) else (given,)
    others = [type(thing).__name__ for thing in listed if not isinstance(thing, NamedAttack)]
    if others or listed is not given:
        raise MethodError(
            f"{module.__name__}: expected ATTACKS to be a tuple of NamedAttack, found "
            f"{others[0] if others else 'a NamedAttack alone'}; one attack is written "
            "ATTACKS = (NamedAttack(...),) with a comma before the last bracket"
        )
    return tuple(listed)


def _same_name(name: str, first: str, second: str) -> MethodError:
    return MethodError(
        f"{first} and {second} both hold something called {name!r}; give the new one another name"
    )


def comes_with_us(method: type[Method]) -> bool:
    """Whether a method is part of this package."""
    return method.__module__.startswith("mithridate.")


def broken_entry_points() -> dict[str, str]:
    """What was wrong with entry points of other packages, by their names."""
    return dict(_loaded()[1])


def _meant(mine: str, name: str, known: Iterable[str], there: Iterable[str]) -> str:
    """What may have been meant by a name, names of other kinds included, and what there is.

    Args:
        mine: the kind that was asked for, in words.
        known: its names, other names included.
    """
    places = _places()
    near = difflib.get_close_matches(name, list(known), n=3)
    far = difflib.get_close_matches(name, places, n=1)
    hints = []
    if name in places:
        hints = [f"{name} is {places[name]}, not {mine};"]
    elif near or far:
        meant = " or ".join(near) if near else f"{far[0]}, {places[far[0]]}"
        hints = [f"did you mean {meant}?"]
    hints += [f"(entry point {point} {why})" for point, why in broken_entry_points().items()]
    return " ".join([*hints, f"available: {', '.join(there)}"])


def _places() -> dict[str, str]:
    """What every name of a method or an attack stands for, in words."""
    methods = {name: _article(kind.kind) for kind in kinds() for name in by_any_name(kind)}
    return {**dict.fromkeys(_attacks_by_any_name(), NAMED), **methods}


def _article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _plain(name: str) -> str:
    """A name as it would be spelled here: ANP is anp, fine_pruning is fine-pruning."""
    return name.strip().lower().replace("_", "-").replace(" ", "-")


def _subclasses(kind: type[M]) -> Iterator[type[M]]:
    """Every complete method below a kind."""
    queue: list[type[M]] = list(kind.__subclasses__())
    while queue:
        method = queue.pop()
        queue += method.__subclasses__()
        if dataclasses.is_dataclass(method):
            if not inspect.isabstract(method):
                yield method
        elif _is_forgotten(method):
            raise MethodError(
                f"{method.__module__}: {method.__name__} is a {method.kind} but no frozen "
                "dataclass, so it would not be found; write @dataclass(frozen=True) above it"
            )


def _is_forgotten(method: type[Method]) -> bool:
    """Whether a class in a package of methods lacks its decorator; `_Name` and kinds need none."""
    inside = method.__module__.startswith(tuple(f"mithridate.{home}." for home in HOMES))
    return inside and not method.__name__.startswith("_") and "kind" not in vars(method)


@cache
def _modules() -> tuple[ModuleType, ...]:
    """Import every module of the packages of methods."""
    modules: list[ModuleType] = []
    for home in HOMES:
        package = importlib.import_module(f"mithridate.{home}")
        files = pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
        modules += [_imported(file.name) for file in files]
    return tuple(modules)


def _imported(name: str) -> ModuleType:
    """Import a module; raises MethodError with its name where it cannot be imported."""
    try:
        return importlib.import_module(name)
    except MithridateError as error:
        raise MethodError(f"{name}: {error}") from error
    except Exception as error:  # whatever the code of a new method does
        why = f"{type(error).__name__}: {error}"
        raise MethodError(f"{name} cannot be imported: {why}; {origin(error)}") from error


def _outside() -> list[type[Method] | NamedAttack]:
    """The methods and attacks of other packages."""
    return _loaded()[0]


@cache
def _loaded() -> tuple[list[type[Method] | NamedAttack], dict[str, str]]:
    """Load the entry points of other packages; what cannot be loaded is said and left out."""
    things: list[type[Method] | NamedAttack] = []
    broken: dict[str, str] = {}
    for point in metadata.entry_points(group=GROUP):
        try:
            given = list(_given(point.load()))
        except Exception as error:  # whatever a stranger's module does when it is imported
            given, why = [], f"{type(error).__name__}: {error}"
        else:
            why = "" if given else f"{point.value} holds no method: no frozen dataclass of a kind"
        things += given
        if why:
            broken[point.name] = f"could not be used: {why}"
            warnings.warn(f"entry point {point.name} {broken[point.name]}", BrokenEntryPoint, 2)
    return things, broken


def _given(thing: object) -> Iterator[type[Method] | NamedAttack]:
    """The methods and named attacks that an entry point stands for."""
    if isinstance(thing, ModuleType):
        for value in list(vars(thing).values()):
            if getattr(value, "__module__", None) == thing.__name__:
                yield from _given(value)
        yield from _attacks_of(thing)
    elif isinstance(thing, NamedAttack) or (
        isinstance(thing, type) and issubclass(thing, Method) and dataclasses.is_dataclass(thing)
    ):
        yield thing
