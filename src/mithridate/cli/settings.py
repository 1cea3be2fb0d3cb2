"""Settings from the command line, as `--set trigger.size=3`, sorted by what they belong to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

from mithridate.core.errors import MethodError
from mithridate.core.method import Method
from mithridate.core.registry import get
from mithridate.core.settings import name_near

M = TypeVar("M", bound=Method)


def methods_named(kind: type[M], names: str) -> tuple[M, ...]:
    """Build the methods of a kind that a text names, with commas between them and each once.

    Raises:
        UnknownMethod: where there is none of that name.
    """
    each = dict.fromkeys(name.strip() for name in names.split(",") if name.strip())
    return tuple(get(kind, name) for name in each)


def split(given: Iterable[str], parts: Mapping[str, object]) -> dict[str, dict[str, str]]:
    """Sort settings such as "trigger.size=3" by the part that they belong to.

    Raises:
        MethodError: where one is not written so, or its part is not among `parts`.
    """
    groups: dict[str, dict[str, str]] = {part: {} for part in parts}
    for setting in given:
        name, equals, value = setting.partition("=")
        part, dot, field = name.strip().partition(".")
        if not (equals and dot and field):
            raise MethodError(
                f"expected --set PART.FIELD=VALUE, as trigger.size=3; found {setting!r}"
            )
        if part not in groups:
            raise MethodError(f"{setting!r}: unknown part {part!r}: {name_near(part, groups)}")
        groups[part][field.strip()] = value.strip()
    return groups


def parse_settings(given: Iterable[str]) -> dict[str, str]:
    """Read settings of one method, such as "epochs=3" or, within a part of it, "training.epochs=3".

    Raises:
        MethodError: where one is not written so, or is set twice.
    """
    settings: dict[str, str] = {}
    for setting in given:
        name, equals, value = setting.partition("=")
        field = name.strip()
        if not (equals and field):
            raise MethodError(f"expected --set FIELD=VALUE, as epochs=3; found {setting!r}")
        if field in settings:
            raise MethodError(f"{field!r} is set twice; say it once")
        settings[field] = value.strip()
    return settings
