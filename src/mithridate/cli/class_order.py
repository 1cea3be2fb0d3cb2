"""The order of a network's classes, as a user, the file or the data say it."""

from __future__ import annotations

from pathlib import Path

from mithridate.core.errors import DataError, MethodError
from mithridate.pipelines.class_orders import classes_in_order
from mithridate.pipelines.kept_network import Note, classes_of

LARGEST = 1 << 20
"""Bytes of a file with names."""


def ordered(
    given: str, kept: Note, network: str, there: tuple[str, ...]
) -> tuple[tuple[str, ...], str]:
    """Settle the order of the classes: as given, else as the file says, else as the data have it.

    Args:
        given: The flag: names with commas between them, or a file with one on each line.
        kept: What the file of weights says.
        network: Its name.
        there: The classes of the data.

    Returns:
        The classes in the order of the outputs, and what is to be said of that, "" for nothing.

    Raises:
        MethodError: Where a class is missing or named twice, or the file says another order.
        DataError: Where the file of names cannot be read.

    """
    if not given:
        return classes_of(kept, network, there)
    classes = classes_in_order(_names(given), there)
    if kept.classes and kept.classes != classes:
        raise MethodError(
            f"--classes says {list(classes)[:10]}, but the file of the weights names its classes "
            f"itself: {list(kept.classes)[:10]}; leave --classes out"
        )
    return classes, ""


def _names(given: str) -> list[str]:
    """Read names with commas between them, or those in a file."""
    path = Path(given)
    if not path.is_file():
        return [name.strip() for name in given.split(",")]
    if path.stat().st_size > LARGEST:
        raise DataError(f"{given!r}: expected the names of classes, found a file of over 1 MiB")
    try:
        lines = path.read_text("utf-8").splitlines()
    except UnicodeDecodeError:
        raise DataError(
            f"{given!r}: expected the names of classes in UTF-8, found others"
        ) from None
    return [line.strip() for line in lines if line.strip()]
