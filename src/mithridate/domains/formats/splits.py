"""The parts of a data set that their names tell: train, test and validation."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar

from mithridate.core.errors import DataError
from mithridate.core.spelling import option
from mithridate.domains.formats.source import Reading

SPLITS = {
    "train": "train", "training": "train", "test": "test", "testing": "test",
    "validation": "validation", "valid": "validation", "val": "validation", "dev": "validation",
}  # fmt: skip

Part = TypeVar("Part")


def split_words(name: str) -> list[str]:
    """Give the splits that the words of a file's name tell."""
    words = re.split(r"[-_. \d]+", name.rpartition(".")[0].lower() or name.lower())
    return [SPLITS[word] for word in words if word in SPLITS]


def choose_split(by_split: Mapping[str, Part], reading: Reading) -> Part:
    """Take the split that was asked for, else the only one, else train; and say so."""
    there = sorted(by_split)
    chosen = reading.split or (there[0] if len(there) == 1 else "train")
    if chosen not in by_split:
        raise DataError(
            f"{str(reading.root)!r}: expected split {chosen!r}, found {', '.join(there)}; "
            f"choose one with {option('split')}"
        )
    reading.notes.append(f"Split {chosen!r} was read, of {', '.join(there)}.")
    return by_split[chosen]
