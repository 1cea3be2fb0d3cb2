"""One step of an experiment: a frozen dataclass whose key names everything that it depends on.

The fields of a step are its settings, methods and earlier steps. Two steps with the same key give
the same output, so each is computed once, whatever number of cells need it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Protocol

import torch
from torch import nn

from mithridate.bench.digest import code_digest
from mithridate.core.method import Method
from mithridate.core.runtime import Runtime

SCHEMA = 1
"""Of what is stored; a new number recomputes everything."""


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
        parts = {
            "schema": SCHEMA,
            "kind": self.kind(),
            "code": code_digest(type(self)),
            "fields": {f.name: _name_value(getattr(self, f.name)) for f in _fields(self)},
            "outside": self.outside(),
        }
        spelt = json.dumps(parts, sort_keys=True)
        return hashlib.blake2b(spelt.encode(), digest_size=16).hexdigest()

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


def _name_value(value: Any) -> Any:
    """A field as part of a key: a step is its key, anything else its settings and its code."""
    if isinstance(value, Step):
        return value.key
    parts = [p for p in _parts(value) if not isinstance(p, Step)]
    kinds = [type(p) for p in parts if dataclasses.is_dataclass(p)]
    codes = [f"{kind.__qualname__} {code_digest(kind)}" for kind in kinds]
    return {"settings": plain(value), "code": codes} if codes else plain(value)


def plain(value: Any) -> Any:
    """Give a setting as JSON holds it; raises TypeError where that is not possible."""
    if isinstance(value, Method):
        return {k: plain(v) for k, v in value.config().items()}
    if isinstance(value, Step):
        return value.key
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted(plain(item) for item in value)
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in _fields(value)}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"a setting must be plain, found {type(value).__name__}: {value!r}")
