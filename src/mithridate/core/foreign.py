"""Folders of networks that other libraries describe: plain settings of bounded size, and no code.

Only what a caller lists is taken from a configuration. The libraries' own readers would also obey
settings that name code, downloads and compilers.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import nn

from mithridate.core.errors import DataError
from mithridate.core.extras import import_extra

WEIGHTS = ("model.safetensors", "pytorch_model.bin")
"""What a checkpoint calls its weights."""

LARGEST_FILE = 1 << 20
"""Bytes of a configuration."""

MOST_WEIGHTS = 1_000_000_000
"""Of a network, 4 GB; and at most one for each byte of the file of weights, where that is there."""

WIDTHS = (1, 16_384)
"""Of a number without bounds of its own."""


@contextmanager
def quietly() -> Iterator[None]:
    """Leave out what transformers writes on the terminal while it opens weights."""
    log = maker("transformers", "huggingface").utils.logging
    level, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity(log.CRITICAL)
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(level)
        if bars:
            log.enable_progress_bar()


def check_size(model: nn.Module, folder: Path) -> None:
    """Refuse a network that is larger than its file could fill; raises DataError."""
    size = sum(t.numel() for t in (*model.parameters(), *model.buffers()))
    files = [folder / name for name in WEIGHTS if (folder / name).is_file()]
    most = min([MOST_WEIGHTS, *(max(file.stat().st_size, 1 << 20) for file in files)])
    if size > most:
        raise DataError(
            f"{str(folder)!r}: config.json describes {size:,} weights, at most {most:,} are built"
        )


def check(
    key: str, value: Any, where: str, bounds: Mapping[str, tuple[float, float]],
    known: Collection[str],
) -> None:  # fmt: skip
    """Refuse a value of a setting that is not plain or not within its bounds.

    Args:
        key: the name of the setting.
        value: what the file says.
        where: the folder, for the message.
        bounds: of numbers, by the name of the setting; others lie in `WIDTHS`.
        known: strings that a setting may be.

    Raises:
        DataError: where it is anything else.
    """
    low, high = bounds.get(key, WIDTHS)
    several = list_of(value)
    fine = len(several) <= 8 and all(
        isinstance(v, bool) or v in known if isinstance(v, bool | str)
        else is_number(v) and low <= v <= high
        for v in several
    )  # fmt: skip
    if key == "depths" and fine:
        fine = sum(several) <= high
    if not fine:
        raise DataError(
            f"{where!r}: expected {key} to be a known name or {low} to {high}, found "
            f"{str(value)[:80]}"
        )


def read_json(path: Path) -> dict[str, Any]:
    """Read settings by name; raises DataError where there are none."""
    if not path.is_file() or path.stat().st_size > LARGEST_FILE:
        raise DataError(f"{str(path)!r}: expected a configuration of at most 1 MiB, found none")
    try:
        content = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{str(path)!r}: expected JSON, found none ({first_line(error)})") from None
    if not isinstance(content, dict):
        raise DataError(f"{str(path)!r}: expected settings by name")
    return content


def maker(module: str, extra: str) -> Any:
    """Import a library that defines networks; raises MissingExtra."""
    return import_extra(module, f"networks of {module} need it: pip install 'mithridate[{extra}]'")


def first_line(error: BaseException) -> str:
    """What an error says, in one line."""
    return str(error).strip().partition("\n")[0][:200]


def list_of(value: Any) -> Sequence[Any]:
    """Give a list as it is, and anything else as the one member of a list."""
    return value if isinstance(value, list) else [value]


def is_number(value: Any) -> bool:
    """Whether a value of JSON is a number, and finite."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
