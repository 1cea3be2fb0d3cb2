"""Settings of methods spelled out, such as "trigger.size=3", read as the fields' types say."""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar, cast

from mithridate.core.errors import MethodError
from mithridate.core.method import Method
from mithridate.core.registry import resolve

M = TypeVar("M", bound=Method)
V = TypeVar("V")

FORMER = {
    "recipe": "training", "rate": "learning_rate", "decay": "weight_decay",
    "smoothing": "label_smoothing", "radius": "sam_radius", "statistics": "batch_statistics",
    "amount": "poison_rate",
}  # fmt: skip
"""Earlier names of fields, which commands and the notes of kept networks may still hold."""


def name_near(name: str, known: Iterable[str]) -> str:
    """Say which name was meant, and which there are."""
    names = list(known)
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}available: {', '.join(names)}"


def build(kind: type[M], name: str, given: Mapping[str, str]) -> M:
    """Build a method by name, its settings read as the types of its fields.

    Raises UnknownMethod, or MethodError where a setting is unknown, missing or of another type.
    """
    method = resolve(kind, name)
    fields = {f.name: f for f in dataclasses.fields(cast(Any, method))}
    values = _values(name, method, given)
    unset = [
        f.name
        for f in fields.values()
        if f.name not in values
        and f.default is dataclasses.MISSING
        and f.default_factory is dataclasses.MISSING
    ]
    if unset:
        raise MethodError(
            f"{name} needs a value for {unset[0]!r}: --set {kind.kind}.{unset[0]}=..."
        )
    return method(**values)


def read_settings(value: Method, given: Mapping[str, str]) -> dict[str, Any]:
    """Read other settings for a method that is there, as the types of its fields.

    Raises:
        MethodError: where a setting is unknown or of another type.
    """
    return _values(value.name(), type(value), given, value)


def changed_by(value: V, name: str, given: Mapping[str, str]) -> V:
    """Give a dataclass that is no method with other settings, read as the types of its fields.

    Args:
        value: What holds the settings.
        name: How it is called in messages.
        given: The settings as they were written.

    Raises:
        MethodError: where a setting is unknown or of another type.
    """
    known = cast(Any, value)
    return cast(V, dataclasses.replace(known, **_values(name, type(known), given, known)))


def _values(name: str, kind: Any, given: Mapping[str, str], start: object = None) -> dict[str, Any]:
    """Read the values of some fields of a dataclass; "a.b" is the field b of its field a.

    Args:
        start: holds what the parts are before, by default what the dataclass says.
    """
    fields, hints = {f.name: f for f in dataclasses.fields(kind)}, typing.get_type_hints(kind)
    values: dict[str, Any] = {}
    for path, written in given.items():
        field, dot, inside = path.partition(".")
        field = field if field in fields else FORMER.get(field, field)
        if field not in fields:
            raise MethodError(f"{name} has no setting {field!r}: {name_near(field, fields)}")
        if dot:
            part = values.get(field, getattr(start, field, _default(fields[field])))
            values[field] = _with_inside(name, field, part, {inside: written})
            continue
        try:
            values[field] = value_of(written, hints[field])
        except ValueError as error:
            raise MethodError(
                f"{name}: expected {field} to be {error}; found {written!r}"
            ) from None
    return values


def _with_inside(name: str, field: str, part: Any, given: Mapping[str, str]) -> Any:
    """Give a part of a dataclass, which is one itself, other values of some fields."""
    if not dataclasses.is_dataclass(part) or isinstance(part, type):
        raise MethodError(f"{name}: {field!r} has no parts; set {field}=VALUE")
    inner = _values(f"{name}.{field}", type(part), given, part)
    return dataclasses.replace(part, **inner)


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return None if field.default is dataclasses.MISSING else field.default


def value_of(written: str, wanted: Any) -> Any:
    """Read a value of a type; raises ValueError that says what was expected, in words."""
    origin, inside = typing.get_origin(wanted), typing.get_args(wanted)
    if origin in (typing.Union, types.UnionType):
        return _one_of(written, inside)
    if origin is typing.Literal:
        return _chosen(written, {str(value): value for value in inside})
    if origin is tuple:
        return _tuple(written, inside)
    if wanted is bool:
        return _chosen(written.lower(), {"true": True, "false": False})
    if wanted is str:
        return written
    if wanted in (int, float):
        return _number(written, wanted)
    raise ValueError("set from Python: the command line cannot spell such a value")


def _number(written: str, wanted: type[int] | type[float]) -> int | float:
    try:
        return wanted(written)
    except ValueError:
        raise ValueError("a whole number" if wanted is int else "a number") from None


def _chosen(written: str, values: dict[str, Any]) -> Any:
    if written not in values:
        raise ValueError(f"one of {', '.join(values)}")
    return values[written]


def _one_of(written: str, kinds: tuple[Any, ...]) -> Any:
    if type(None) in kinds and written.lower() == "none":
        return None
    wanted = []
    for kind in kinds:
        if kind is not type(None):
            try:
                return value_of(written, kind)
            except ValueError as error:
                wanted.append(str(error))
    raise ValueError(" or ".join([*wanted, *(["none"] if type(None) in kinds else [])]))


def _tuple(written: str, kinds: tuple[Any, ...]) -> tuple[Any, ...]:
    parts = [part.strip() for part in written.split(",") if part.strip()]
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        return tuple(value_of(part, kinds[0]) for part in parts)
    if len(parts) != len(kinds):
        raise ValueError(f"{len(kinds)} values with commas between them")
    return tuple(value_of(part, kind) for part, kind in zip(parts, kinds, strict=True))
