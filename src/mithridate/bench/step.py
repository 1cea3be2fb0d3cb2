"""One step of an experiment: a frozen dataclass whose key names everything that it depends on.

The fields of a step are its settings, methods and earlier steps. Two steps with the same key give
the same output, so each is computed once, whatever number of cells need it. The key says what is
asked for, and is known before anything runs; what is known once the earlier steps have run, their
outputs, is in a second name, by which an answer is found again under another key (`known.py`).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from operator import attrgetter
from types import ModuleType
from typing import Any, ClassVar, Protocol, TypeAlias

import torch
from torch import nn

from mithridate.bench.digest import code_digest, source_file
from mithridate.bench.doors import door_digest
from mithridate.core.method import Method
from mithridate.core.runtime import Runtime

SCHEMA = 2
"""Of what is stored; a new number recomputes everything."""

Naming: TypeAlias = "Callable[[Step], str]"
"""How an earlier step is spelt in the name of a later one."""


@dataclass(frozen=True, eq=False)
class Output:
    """What a step leaves behind: tensors, and facts that JSON can hold."""

    tensors: dict[str, torch.Tensor] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)


class Given(Protocol):
    """Hands a step the outputs of the steps that it depends on, and the place to compute at."""

    runtime: Runtime
    origin: dict[str, str]

    def __call__(self, step: Step) -> Any:
        """Give the value of an earlier step; raises NotDone where it has none."""

    def output(self, step: Step) -> Output:
        """Give the bare output of an earlier step."""

    def cost(self, step: Step) -> dict[str, float]:
        """Give what an earlier step cost when it was computed."""

    def watched(self, model: nn.Module) -> nn.Module:
        """Give the same model, its passes counted from now on."""


class NotDone(Exception):
    """A step ended without an output. status: "skipped", "void" or "failed"; why: in words.

    Args:
        passing: whether another run may end otherwise, so that this is no answer to keep.
    """

    def __init__(self, status: str, why: str, passing: bool = False) -> None:
        super().__init__(f"{status}: {why}")
        self.status, self.why = status, why
        self.passing = passing or status == "failed"


class Step:
    """One step. Subclasses are frozen dataclasses with `eq=False`: equality is that of the keys."""

    stored: ClassVar[bool] = True
    """Whether the output is kept; what is cheap to make again is not."""
    heavy: ClassVar[bool] = False
    """Whether it trains a model, and so is worth a process of its own."""
    answers_always: ClassVar[bool] = False
    """Whether it runs even where a parent ended without an output."""
    shows: ClassVar[tuple[str, ...] | None] = None
    """The fields that later steps may read beside the output; None for all of them."""

    @classmethod
    def kind(cls) -> str:
        """The class name in lower case."""
        return cls.__name__.lower()

    def run(self, given: Given) -> Output:
        """Compute the output."""
        raise NotImplementedError

    def value(self, output: Output, given: Given) -> Any:
        """Turn the output into what later steps work with."""
        return output

    def outside(self) -> str:
        """What the step depends on beside its fields and code, e.g. the contents of a file."""
        return ""

    @cached_property
    def key(self) -> str:
        """H(schema, kind, settings, code, keys of the parents), 32 hexadecimal digits."""
        return self.named_now()

    def named_now(self) -> str:
        """Compute the key again from the code as it is in this process."""
        return self.name_by(attrgetter("key"))

    def name_by(self, name_of: Naming) -> str:
        """Name the step by its settings, its code and its parents, these as `name_of` has it."""
        fields = tuple(f.name for f in _fields(self))
        return self._hash(fields, type(self), name_of, kind=self.kind(), outside=self.outside())

    def name_shown(self, gave: str, name_of: Naming) -> str:
        """Name what later steps can see: the output, fields that they may read, and `value`.

        How the output came about is no part of it.

        Args:
            gave: the digest of the output.
        """
        if self.shows is None:
            fields = tuple(f.name for f in _fields(self))
            return self._hash(fields, type(self), name_of, gave=gave)
        home = sys.modules[type(self).value.__module__]
        return self._hash(self.shows, home, name_of, gave=gave)

    def _hash(
        self, names: tuple[str, ...], code: type | ModuleType, name_of: Naming, **more: str
    ) -> str:
        fields = {name: getattr(self, name) for name in names}
        parts = {
            "schema": SCHEMA,
            "code": code_digest(code),
            "fields": {name: _name_value(value, name_of) for name, value in fields.items()},
            "domain": self._domain_code(code, fields),
            **more,
        }
        spelt = json.dumps(parts, sort_keys=True)
        return hashlib.blake2b(spelt.encode(), digest_size=16).hexdigest()

    def _domain_code(self, code: type | ModuleType, fields: dict[str, Any]) -> str:
        """The digest of what this code, and that of methods in these fields, can ask a domain."""
        sources = (source_file(thing) for thing in (code, *_kinds(fields)))
        files = frozenset(file for file in sources if file)
        return door_digest(self.domain, files, self.strings)

    @cached_property
    def domain(self) -> type | None:
        """The class of the domain of the data that the step is about, as far as it is known."""
        known = (parent.domain for parent in self.parents)
        return next((domain for domain in known if domain is not None), None)

    @cached_property
    def strings(self) -> frozenset[str]:
        """The strings among the settings of the step and of all that it depends on."""
        parts = (part for f in _fields(self) for part in _parts(getattr(self, f.name)))
        own = frozenset(part for part in parts if isinstance(part, str))
        return own.union(*(parent.strings for parent in self.parents))

    def holds(self, value: Any) -> bool:
        """Whether a value is what the key was made of, for a step that is named by its value."""
        return True

    @property
    def parents(self) -> tuple[Step, ...]:
        """The earlier steps among the fields."""
        return tuple(
            part
            for f in _fields(self)
            for part in _parts(getattr(self, f.name))
            if isinstance(part, Step)
        )

    @property
    def settings(self) -> dict[str, Any]:
        """The fields that are no steps, as plain values."""
        fields = {f.name: getattr(self, f.name) for f in _fields(self)}
        return {n: plain(v) for n, v in fields.items() if not isinstance(v, Step)}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Step) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


def _fields(value: Any) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(value)


def _parts(value: Any) -> Iterator[Any]:
    """A value and everything inside it, earlier steps not opened."""
    yield value
    inside: Iterable[Any] = ()
    if isinstance(value, (tuple, list, set, frozenset)):
        inside = value
    elif isinstance(value, dict):
        inside = value.values()
    elif dataclasses.is_dataclass(value) and not isinstance(value, (Step, type)):
        inside = (getattr(value, f.name) for f in _fields(value))
    for item in inside:
        yield from _parts(item)


def _name_value(value: Any, name_of: Naming) -> Any:
    """A field as part of a name: a step is as `name_of` has it, the rest its settings and code."""
    if isinstance(value, Step):
        return name_of(value)
    kinds = _kinds(value)
    codes = [f"{kind.__qualname__} {code_digest(kind)}" for kind in kinds]
    spelt = plain(value, name_of)
    return {"settings": spelt, "code": codes} if codes else spelt


def _kinds(value: Any) -> list[type]:
    """The classes of methods and other dataclasses inside a value, steps left out."""
    parts = [part for part in _parts(value) if not isinstance(part, Step)]
    return [type(part) for part in parts if dataclasses.is_dataclass(part)]


def plain(value: Any, name_of: Naming | None = None) -> Any:
    """Give a setting as JSON holds it; raises TypeError where that is not possible.

    Args:
        name_of: how steps inside it are spelt, by default by their keys.
    """
    if isinstance(value, Step):
        return (name_of or attrgetter("key"))(value)
    if isinstance(value, Method):
        return {k: plain(v, name_of) for k, v in value.config().items()}
    if isinstance(value, (tuple, list)):
        return [plain(item, name_of) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted(plain(item, name_of) for item in value)
    if isinstance(value, dict):
        return {str(k): plain(v, name_of) for k, v in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name), name_of) for f in _fields(value)}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"a setting must be plain, found {type(value).__name__}: {value!r}")
