"""Settings from the command line, as `--set trigger.size=3`, read as the fields' types say."""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar, cast

from mithridate.core.errors import MethodError
from mithridate.core.method import Method
from mithridate.core.registry import find, get

M = TypeVar("M", bound=Method)


def split(given: Iterable[str], parts: Mapping[str, object]) -> dict[str, dict[str, str]]:
    """Sort settings such as "trigger.size=3" by the part that they belong to.

    Raises MethodError where one is not written so, or its part is not among `parts`.
    """
    found: dict[str, dict[str, str]] = {part: {} for part in parts}
    for setting in given:
        name, equals, value = setting.partition("=")
        part, dot, field = name.strip().partition(".")
        if not (equals and dot and field):
            raise MethodError(
                f"expected --set PART.FIELD=VALUE, as trigger.size=3; found {setting!r}"
            )
        if part not in found:
            raise MethodError(f"{setting!r}: unknown part {part!r}: {near(part, found)}")
        found[part][field.strip()] = value.strip()
    return found


def plain(given: Iterable[str]) -> dict[str, str]:
    """Read settings of one method, such as "epochs=3" or, within a part of it, "recipe.rate=0.1".

    Raises MethodError where one is not written so, or is set twice.
    """
    found: dict[str, str] = {}
    for setting in given:
        name, equals, value = setting.partition("=")
        field = name.strip()
        if not (equals and field):
            raise MethodError(f"expected --set FIELD=VALUE, as epochs=3; found {setting!r}")
        if field in found:
            raise MethodError(f"{field!r} is set twice; say it once")
        found[field] = value.strip()
    return found


def near(name: str, known: Iterable[str]) -> str:
    """Say which name was meant, and which there are."""
    names = list(known)
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}available: {', '.join(names)}"


def build(kind: type[M], name: str, given: Mapping[str, str]) -> M:
    """Build a method by name, its settings read as the types of its fields.

    Raises UnknownMethod, or MethodError where a setting is unknown, missing or of another type.
    """
    method = find(kind).get(name)
    if method is None:
        return get(kind, name)  # raises, with the nearest names
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


def _values(name: str, kind: Any, given: Mapping[str, str]) -> dict[str, Any]:
    """Read the values of some fields of a dataclass; "a.b" is the field b of its field a."""
    fields, hints = {f.name: f for f in dataclasses.fields(kind)}, typing.get_type_hints(kind)
    values: dict[str, Any] = {}
    for path, text in given.items():
        field, dot, inside = path.partition(".")
        if field not in fields:
            raise MethodError(f"{name} has no setting {field!r}: {near(field, fields)}")
        if dot:
            part = values.get(field, _default(fields[field]))
            if not dataclasses.is_dataclass(part) or isinstance(part, type):
                raise MethodError(f"{name}: {field!r} has no parts; set {field}=VALUE")
            inner = _values(f"{name}.{field}", type(part), {inside: text})
            values[field] = dataclasses.replace(part, **inner)
            continue
        try:
            values[field] = value_of(text, hints[field])
        except ValueError as error:
            raise MethodError(f"{name}: expected {field} to be {error}; found {text!r}") from None
    return values


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return None if field.default is dataclasses.MISSING else field.default


def value_of(text: str, wanted: Any) -> Any:
    """Read a value of a type; raises ValueError that says what was expected, in words."""
    origin, inside = typing.get_origin(wanted), typing.get_args(wanted)
    if origin in (typing.Union, types.UnionType):
        return _one_of(text, inside)
    if origin is typing.Literal:
        return _chosen(text, {str(value): value for value in inside})
    if origin is tuple:
        return _tuple(text, inside)
    if wanted is bool:
        return _chosen(text.lower(), {"true": True, "false": False})
    if wanted is str:
        return text
    if wanted in (int, float):
        return _number(text, wanted)
    raise ValueError("set from Python: the command line cannot spell such a value")


def _number(text: str, wanted: type[int] | type[float]) -> int | float:
    try:
        return wanted(text)
    except ValueError:
        raise ValueError("a whole number" if wanted is int else "a number") from None


def _chosen(text: str, values: dict[str, Any]) -> Any:
    if text not in values:
        raise ValueError(f"one of {', '.join(values)}")
    return values[text]


def _one_of(text: str, kinds: tuple[Any, ...]) -> Any:
    if type(None) in kinds and text.lower() == "none":
        return None
    wanted = []
    for kind in kinds:
        if kind is not type(None):
            try:
                return value_of(text, kind)
            except ValueError as error:
                wanted.append(str(error))
    raise ValueError(" or ".join([*wanted, *(["none"] if type(None) in kinds else [])]))


def _tuple(text: str, kinds: tuple[Any, ...]) -> tuple[Any, ...]:
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        return tuple(value_of(part, kinds[0]) for part in parts)
    if len(parts) != len(kinds):
        raise ValueError(f"{len(kinds)} values with commas between them")
    return tuple(value_of(part, kind) for part, kind in zip(parts, kinds, strict=True))
