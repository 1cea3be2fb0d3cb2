"""Examples drawn at random: a part of all, or suspects for somebody to check, with their record.

Axes: n suspects, k drawn examples.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mithridate.core.data import Dataset
from mithridate.core.errors import DataError
from mithridate.core.files import write_json
from mithridate.core.fingerprint import digests, fingerprint
from mithridate.core.streams import stream
from mithridate.domains.formats.source import Draw

RECORD, DATA = "drawn.json", "data"
"""The record and the folder of the examples, in the folder that is written."""

SCHEMA = "mithridate-draw/1"
LARGEST = 2**26
"""Bytes of a record that is read."""


@dataclass(frozen=True)
class CheckedDraw:
    """What became of the examples that were drawn for somebody to check.

    Attributes:
        drawn: How many there were.
        rejected: The names of those that were deleted or changed, so somebody rejected them.

    """

    drawn: int
    rejected: tuple[str, ...]


@dataclass(frozen=True)
class Drawn:
    """Which examples were drawn.

    Attributes:
        source: The SHA-256 of the suspects, as `core.fingerprint` has it.
        seed: From which they were drawn.
        ids: Of the drawn, [k].
        classes: The name of the class of each, [k].
        digests: Of each raw input, hexadecimal, [k].

    """

    source: str
    seed: int
    ids: tuple[int, ...]
    classes: tuple[str, ...]
    digests: tuple[str, ...]

    @staticmethod
    def of(data: Dataset, chosen: Dataset, seed: int) -> Drawn:
        """Record what was chosen of some data."""
        return Drawn(
            fingerprint(data),
            seed,
            tuple(chosen.ids.tolist()),
            tuple(chosen.classes[label] for label in chosen.labels.tolist()),
            tuple(each.hex() for each in digests(chosen.inputs)),
        )

    def write(self, folder: Path) -> None:
        """Write the record into a folder."""
        write_json(folder / RECORD, {"schema": SCHEMA, **asdict(self)})

    def checked(self, trusted: Dataset, data: Dataset, names: Sequence[str]) -> CheckedDraw | None:
        """Say which are not among the trusted examples any more, as they were.

        Args:
            trusted: What is left of the drawn examples.
            data: The suspects; None is given where the examples were drawn from others.
            names: Of the suspects.

        """
        if self.source != fingerprint(data):
            return None
        classes = (trusted.classes[label] for label in trusted.labels.tolist())
        there = set(zip(classes, (each.hex() for each in digests(trusted.inputs)), strict=True))
        known = zip(self.ids, zip(self.classes, self.digests, strict=True), strict=True)
        gone = tuple(names[number] for number, each in known if each not in there)
        return CheckedDraw(len(self.ids), gone)


def _counts(sizes: Any, count: int) -> Any:
    """Divide a number of examples among classes, to each its share and at least one; int[c].

    Args:
        sizes: int64[c], of all examples; a class without any gets none.
        count: In all.
    """
    shares = count * sizes / sizes.sum()
    wanted = np.where(sizes > 0, np.maximum(1, np.floor(shares)), 0).astype(int)
    while wanted.sum() != count:
        step = 1 if wanted.sum() < count else -1
        missing = step * (shares - wanted)
        missing[(sizes == 0) | (wanted == sizes) if step > 0 else wanted <= 1] = -np.inf
        wanted[missing.argmax()] += step
    return wanted


def draw_by_class(data: Dataset, count: int, seed: int) -> Dataset:
    """Draw so many examples at random, of each class its share and at least one, in their order.

    Raises:
        DataError: where there are fewer examples, or fewer are asked for than there are classes.

    """
    sizes = torch.bincount(data.labels, minlength=len(data.classes)).numpy()
    held = int((sizes > 0).sum())
    if not held <= count <= len(data):
        raise DataError(
            f"expected to draw {held} to {len(data)} examples, one of each class at least; found "
            f"{count}"
        )
    rng = stream(seed, "draw", "checked")
    rows = [
        rng.permutation(np.flatnonzero(data.labels.numpy() == label))[:many]
        for label, many in enumerate(_counts(sizes, count))
    ]
    return data.subset(np.sort(np.concatenate(rows)))


def draw_examples(data: Dataset, count: int | None, seed: int, what: str) -> Dataset:
    """Draw so many examples at random, in their order; all where no number is given.

    Raises:
        DataError: where there are fewer, or fewer than one is asked for.
    """
    draw = drawing(count, seed, what)
    return data if draw is None else data.subset(draw(len(data)))


def drawing(count: int | None, seed: int, what: str) -> Draw | None:
    """Say which of some examples `draw_examples` draws, for a reader that decodes no others."""
    if count is None:
        return None

    def rows_of(there: int) -> NDArray[np.int64]:
        if not 1 <= count <= there:
            raise DataError(f"expected a number of {what} examples in 1..{there}, found {count}")
        return np.sort(stream(seed, "draw", what).permutation(there)[:count])

    return rows_of


def drawn_in(where: str) -> str:
    """Give the path of the examples in a folder of `mithridate draw`, and any other path as it is.

    Raises:
        DataError: where the folder holds a damaged record.

    """
    return where if recorded(Path(where)) is None else str(Path(where) / DATA)


def recorded(folder: Path) -> Drawn | None:
    """Read the record in a folder; None where there is none.

    Raises:
        DataError: where it is none of ours, or damaged.

    """
    path = folder / RECORD
    if not path.is_file():
        return None
    try:
        if path.stat().st_size > LARGEST:
            raise ValueError("it is too large")
        content: Any = json.loads(path.read_text("utf-8"))
        if not isinstance(content, dict) or content.pop("schema", None) != SCHEMA:
            raise ValueError("it is of another kind")
        columns = [tuple(content[name]) for name in ("ids", "classes", "digests")]
        if len({len(column) for column in columns}) != 1:
            raise ValueError("its columns differ in length")
        return Drawn(str(content["source"]), int(content["seed"]), *columns)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(
            f"{str(path)!r}: expected the record of `mithridate draw`, found another file "
            f"({error}); draw again, or give the folder {DATA!r} beside it"
        ) from None
