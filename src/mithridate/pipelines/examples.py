"""Examples in any form that a user has them, and others beside them.

Axes: n examples.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from mithridate.core.data import Dataset, of_classes
from mithridate.core.domain import Domain
from mithridate.core.errors import DataError, MethodError
from mithridate.domains.catalogue import open_source
from mithridate.domains.formats import Source
from mithridate.domains.registry import laid_out_like
from mithridate.pipelines.drawing import draw_examples, drawing, drawn_in

Examples: TypeAlias = str | Path | Source | Dataset
"""A path, the name of a set ("digits", "digits:test"), what `read` gave, or a data set."""

THE_SAME = {
    "trusted": "is the suspect data set itself; trusted examples are others, of the same kind, "
    "that somebody has checked",
    "test": "is the data set that clients train on itself; test data are others of the same kind",
    "suspect": "are the trusted examples themselves; suspects are what the network may have been "
    "trained on, and may be left out",
}
"""What is said where examples are compared with themselves, by what they should be."""


def opened(
    data: Examples, count: int | None = None, seed: int = 0, what: str = "suspect"
) -> Source | Dataset:
    """Read a path or a named set; give what was read or made already as it is.

    A folder that `mithridate draw` wrote stands for the examples in it.

    Args:
        data: The examples in any form.
        count: How many of them are drawn at random, see `draw_examples`; None for all.
        seed: Of the draw.
        what: They are, "suspect" or "trusted".

    """
    if isinstance(data, Dataset):
        return draw_examples(data, count, seed, what)
    if isinstance(data, Source):
        return replace(data, data=draw_examples(data.data, count, seed, what))
    return open_source(drawn_in(str(data)), draw=drawing(count, seed, what))


def examples_of(data: Examples, domain: Domain | None = None) -> tuple[Dataset, Domain]:
    """Give the examples, and the domain that says what their inputs are.

    Args:
        data: The examples in any form.
        domain: Theirs, where another is meant than the one that reading them gives.

    Raises:
        DataError: They cannot be read.
        MethodError: A data set is given and no domain.

    """
    there = opened(data)
    if isinstance(there, Source):
        return there.data, domain or there.domain
    if domain is None:
        raise MethodError(
            "expected domain=... beside a Dataset, which does not say what its inputs are; "
            "give the domain of the source that it was read from"
        )
    return there, domain


def beside(
    first: Source | Dataset, other: Source | Dataset, what: str, classes: tuple[str, ...] = ()
) -> Dataset:
    """Give examples that are compared with others, with labels that mean the same.

    Args:
        first: Those that were there before.
        other: The ones to give.
        what: They are, "trusted", "test" or "suspect".
        classes: The classes to give them, () for those of the first.

    Raises:
        DataError: They are the first ones themselves, or of other classes or columns.

    """
    if isinstance(other, Source) and _is_same(first, other):
        raise DataError(f"{str(other.origin)!r} {THE_SAME[what]}")
    mine = first.data if isinstance(first, Source) else first
    theirs = other.data if isinstance(other, Source) else other
    theirs = theirs.with_inputs(laid_out_like(mine.inputs, theirs.inputs))
    return of_classes(theirs, classes or mine.classes, what)


def _is_same(first: Source | Dataset, other: Source) -> bool:
    """Whether both were read from the same files."""
    if not isinstance(first, Source):
        return False
    return (first.origin, first.names, first.part) == (other.origin, other.names, other.part)
