"""What a path or a name on the command line stands for.

Axes: n examples.
"""

from __future__ import annotations

from dataclasses import replace

from mithridate.cli.groups import HowToRead
from mithridate.core.data import Dataset
from mithridate.domains.catalogue import open_source
from mithridate.domains.formats import Source
from mithridate.domains.formats.arriving import inputs_like
from mithridate.domains.formats.source import Draw
from mithridate.pipelines.drawing import drawn_in
from mithridate.pipelines.examples import beside


def find_source(
    where: str, how: HowToRead, *, unlabelled: bool = False, draw: Draw | None = None
) -> Source:
    """Read a file, a folder or a named set, of which "cifar10:test" names a split.

    A folder that `mithridate draw` wrote stands for the examples in it.

    Args:
        where: The path or the name.
        how: How a file or a folder is read; its split counts where the name says none.
        unlabelled: Whether labels may be absent.
        draw: Says which examples are kept, see `drawing`; None keeps all.

    Raises:
        DataError: There is no such data, or a named set of images has another size than is asked
            for.

    """
    return open_source(
        drawn_in(where), how.split, unlabelled=unlabelled, draw=draw, **how.options()
    )


def trusted_beside(source: Source, where: str, how: HowToRead, draw: Draw | None = None) -> Dataset:
    """Read trusted examples, which have the classes of the suspects in `source`.

    Raises:
        DataError: where they are the suspects themselves, or of other classes.
    """
    return beside(source, find_source(where, how, draw=draw), "trusted")


def own_ids_of(source: Source, data: Dataset) -> dict[str, list[str]]:
    """Give the values by which a source itself names some of its rows, by column; {} for none."""
    own = source.own_ids
    return {} if own is None else {own.column: [own.values[row] for row in data.ids.tolist()]}


def arriving_like(trusted: Dataset, where: str, how: HowToRead) -> Dataset:
    """Read inputs as they arrive at a service: labels may be absent, or all of one class.

    Raises:
        DataError: where they are of another kind or shape than the trusted examples.

    """
    arriving = find_source(where, how, unlabelled=True).data
    return replace(arriving, inputs=inputs_like(trusted.inputs, arriving.inputs, where))


def names_of(source: Source, data: Dataset) -> list[str]:
    """Give the names of some rows of a source."""
    return [source.names[row] for row in data.ids.tolist()]
