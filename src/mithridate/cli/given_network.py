"""A network that a user gives, as the flags say it is read."""

from __future__ import annotations

from pathlib import Path

from mithridate.cli.groups import WhichNetwork
from mithridate.cli.terminal import note
from mithridate.core.errors import DataError, MethodError
from mithridate.core.runtime import Runtime
from mithridate.pipelines.given_network import GivenNetwork
from mithridate.pipelines.network_reading import NetworkReading
from mithridate.stats.intervals import Interval

LARGEST = 1 << 20
"""Bytes of a file with names."""


def reading_of(which: WhichNetwork) -> NetworkReading:
    """Read the flags that say how a network in a file is read.

    Raises:
        MethodError: Where numbers are expected and others stand.
        DataError: Where the file with the names of the classes cannot be read.

    """
    return NetworkReading(
        which.network, which.part, names_in(which.classes), numbers(which.mean), numbers(which.std),
        names_in(which.tree_columns),
    )  # fmt: skip


def numbers(words: str) -> tuple[float, ...]:
    """Read numbers with commas between them."""
    try:
        return tuple(float(word) for word in words.split(",") if word.strip())
    except ValueError:
        raise MethodError(f"expected numbers with commas between them, found {words!r}") from None


def names_in(given: str) -> tuple[str, ...]:
    """Read names with commas between them, or those in a file, one on each line."""
    path = Path(given)
    if not given or not path.is_file():
        return tuple(name.strip() for name in given.split(",")) if given else ()
    if path.stat().st_size > LARGEST:
        raise DataError(f"{given!r}: expected the names of classes, found a file of over 1 MiB")
    try:
        lines = path.read_text("utf-8").splitlines()
    except UnicodeDecodeError:
        raise DataError(
            f"{given!r}: expected the names of classes in UTF-8, found others"
        ) from None
    return tuple(line.strip() for line in lines if line.strip())


def accuracy_told(given: GivenNetwork, runtime: Runtime, seed: int) -> Interval:
    """Ask the trusted examples whether a network is read as it was trained, and say so.

    Args:
        given: The network.
        runtime: Where it is computed.
        seed: Of everything that is drawn at random.

    Returns:
        Its accuracy on the trusted examples.

    Raises:
        CannotJudge: It is not, so that nothing that is measured of it would mean anything.

    """
    if given.file is not None and given.file.doubt:
        note(given.file.doubt)
    for doubt in getattr(given.model, "doubts", ()):
        note(doubt)
    plausible = given.plausible(runtime, seed)
    note(plausible.described())
    return plausible.believed()
