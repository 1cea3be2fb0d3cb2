"""What a command reads, looked for before anything is imported that takes seconds."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from mithridate.core.errors import DataError
from mithridate.domains.named_sets import describe_missing, is_named


def check_inputs(given: Mapping[str, Any], data: Collection[str], files: Collection[str]) -> None:
    """Refuse data and files that are not there.

    Args:
        given: The values of all flags.
        data: Flags that name data: a path, a named set, or either with a colon and a split.
        files: Flags that name a file or a folder.

    Raises:
        DataError: One is not there.

    """
    for flag in files:
        if given.get(flag) is not None and not Path(given[flag]).exists():
            raise DataError(f"{str(given[flag])!r}: no such file; expected a model")
    for flag in data:
        where = given.get(flag)
        if where is None or Path(where).exists():
            continue
        before = str(where).rpartition(":")[0]
        name = before or str(where)
        if not is_named(name) and not (before and Path(before).exists()):
            raise DataError(describe_missing(str(where), name))
