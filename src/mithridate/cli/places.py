"""Where a verb writes: folders are looked at before the work begins, and not after."""

from __future__ import annotations

from pathlib import Path

from mithridate.core.errors import DataError


def report_folder(out: Path) -> None:
    """Refuse a file in the place of the folder for a report.

    Raises:
        DataError: There is one.

    """
    if out.exists() and not out.is_dir():
        raise DataError(f"{str(out)!r}: expected a folder for the report, found a file")


def empty_folder(out: Path, what: str) -> None:
    """Refuse a folder in which something is already.

    Args:
        out: The folder.
        what: What it is for, in words.

    Raises:
        DataError: It holds something, or is a file.

    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(
            f"{str(out)!r}: expected a new or empty folder for {what}, found something there; "
            "choose another"
        )
