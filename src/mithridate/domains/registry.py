"""The kinds of data that the library knows: one folder and one line each.

The folder of a domain holds
    domain.py    DOMAIN, the dataclass that keeps the contract of `core.domain.Domain`
    reading.py   choose_columns, gather, requests: how its inputs are read; see `InputReader`
    showing.py   show: how its inputs look on a page; see `core.showing.Shown`
    stamping.py  draw: triggers that a defender draws at random; a domain may be without
    usual.py     usual_triggers: those that attackers use most, by kind; a domain may be without
and whatever else it needs: networks, triggers, attacks, stealth. What trains imports domain.py
alone, so that editing a reader makes no result stale.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from typing import Any, Protocol, TypeAlias, cast

import numpy as np

from mithridate.core.data import Inputs
from mithridate.core.domain import Domain
from mithridate.core.errors import CannotJudge, DataError
from mithridate.core.showing import Shown
from mithridate.core.spelling import option

Stamp: TypeAlias = Callable[[Inputs, np.random.Generator], Inputs]
"""Puts a trigger on raw inputs[n]; what differs between inputs comes from the stream."""

DOMAINS = {
    "image": "mithridate.domains.image",
    "sound": "mithridate.domains.sound",
    "observation": "mithridate.domains.observation",
    "table": "mithridate.domains.table",
    "text": "mithridate.domains.text",
}
"""The folder of each domain, by its name. They are asked in this order, and the last one takes what
is left; `register` puts a new one before the others."""


def register(name: str, folder: str) -> None:
    """Make another domain known, before those that are.

    Args:
        name: the `name` of the domain.
        folder: its package, e.g. "events.domain_of_events".
    """
    known = {n: f for n, f in DOMAINS.items() if n != name}
    DOMAINS.clear()
    DOMAINS.update({name: folder, **known})


for _point in metadata.entry_points(group="mithridate.domains"):
    register(_point.name, _point.value)  # of other packages; nothing of them is imported yet


@dataclass(frozen=True, eq=False)
class Table:
    """The columns of a table, and what they hold.

    Attributes:
        columns: all of them, in order.
        label: the one that holds the labels.
        kinds: what each holds: "number", "category", "word", "text", "image", "sound" or "other".
        samples: some cells of each.
    """

    columns: tuple[str, ...]
    label: str
    kinds: Mapping[str, Any]
    samples: Mapping[str, Sequence[Any]]


class RequestInputs(Protocol):
    """Reads the single inputs of requests; raises DataError with a sentence that quotes nothing.

    Attributes:
        media: beginnings of content types of which a body is one input, e.g. "image/".
    """

    media: tuple[str, ...]

    def from_body(self, body: bytes) -> Any:
        """Read one input from the body of a request of such a type."""

    def from_json(self, value: Any) -> Any:
        """Read one input from a value of JSON."""

    def stack(self, inputs: Sequence[Any]) -> Inputs:
        """Put single inputs into raw inputs."""


class InputReader(Protocol):
    """What the file reading.py of a domain offers.

    It may also offer `own_layout(reading)`, which reads files that are laid out as only this domain
    knows, and gives a `domains.formats.source.Source`, or None where they are not;
    `gather_columns(columns, column, labels, names, reading)`, which is asked in place of `gather`
    where an input is made of several columns, and `column(name)` gives the cells of one;
    `requests_of(domain)`, which is asked in place of `requests` where a domain knows its columns;
    and `like(known, arriving)`, which lays inputs out as others are that were there before.
    """

    def choose_columns(self, table: Table, reading: Any) -> tuple[str, ...]:
        """Choose the columns of a table that hold inputs of this kind; none where it has none.

        Args:
            table: its columns and what they hold.
            reading: `domains.formats.source.Reading`: what was asked for, and where notes go.

        Raises:
            DataError: where it has one that must not be read, and says what to do.
        """

    def gather(
        self, cells: Iterable[Any], labels: Any, names: Sequence[str], reading: Any
    ) -> tuple[Any, Any]:
        """Read the cells of a column, one by one; those without a label are passed over.

        Args:
            cells: of the n rows.
            labels: int64[n], negative where a row has none.
            names: of the rows, [n].
            reading: see `choose_columns`.

        Returns:
            Raw inputs, and the positions of their rows, int64.
        """

    def requests(self, form: tuple[int, ...]) -> RequestInputs:
        """Read inputs that arrive one by one, where prepared ones have this form."""


def _part(name: str, part: str) -> Any:
    """Import a file of the folder of a domain.

    Raises:
        DataError: where no domain has the name.
    """
    if name not in DOMAINS:
        raise DataError(f"expected data of a kind among {', '.join(DOMAINS)}, found {name!r}")
    return importlib.import_module(f"{DOMAINS[name]}.{part}")


def domain_named(name: str, **fields: Any) -> Domain:
    """Build a domain by name, with its usual settings or others.

    Raises:
        DataError: where no domain has the name.
    """
    return cast(Domain, _part(name, "domain").DOMAIN(**fields))


def reader_of(name: str) -> InputReader:
    """Give what reads the inputs of a domain."""
    return cast(InputReader, _part(name, "reading"))


def own_layouts() -> Iterator[Callable[[Any], Any]]:
    """Give what reads files that are laid out as only one domain knows; see `InputReader`."""
    for name in tuple(DOMAINS):
        own = getattr(reader_of(name), "own_layout", None)
        if own is not None:
            yield own


def known_domains() -> Iterator[Domain]:
    """Give every domain with its usual settings, in the order in which they are asked."""
    return map(domain_named, tuple(DOMAINS))


def domain_of_inputs(inputs: Inputs) -> Domain:
    """Give the first domain that accepts raw inputs.

    Raises:
        DataError: where none does.
    """
    for domain in known_domains():
        if domain.accepts(inputs):
            return domain
    shape = f"{getattr(inputs, 'dtype', '')} {list(getattr(inputs, 'shape', ()))}"
    raise DataError(
        f"expected raw inputs of a kind among {', '.join(DOMAINS)}, found {type(inputs).__name__} "
        f"{shape}"
    )


def requests_like(domain: Domain, form: tuple[int, ...]) -> RequestInputs:
    """Give what reads single inputs of a domain, of which prepared ones have this form."""
    reader = reader_of(domain.name)
    own = getattr(reader, "requests_of", None)
    known = bool(getattr(domain, "columns", ()))
    return reader.requests(form) if own is None or not known else cast(RequestInputs, own(domain))


def columns_of(domain: Domain) -> tuple[tuple[str, str], ...]:
    """Give the name and the kind of each column that a domain knows; () where it has none."""
    return tuple((column.name, column.kind) for column in getattr(domain, "columns", ()))


def in_columns(domain: Domain, columns: Sequence[tuple[str, str]]) -> Domain:
    """Give a domain with its columns in another order, in which a network takes them.

    Args:
        domain: Of the inputs at hand.
        columns: The name and the kind of each, as `columns_of` gives them; () changes nothing.

    Raises:
        DataError: where the domain has other columns, or they hold something else.
    """
    here = dict(columns_of(domain))
    if not columns or not here or tuple(here.items()) == tuple(columns):
        return domain
    missing = [name for name, _ in columns if name not in here]
    strange = [name for name in here if name not in dict(columns)]
    if missing or strange:
        raise DataError(
            f"expected the {len(columns)} columns that the network was trained on; missing: "
            f"{missing[:5] or 'none'}; not expected: {strange[:5] or 'none'}"
        )
    for name, kind in columns:
        if (kind == "category") != (here[name] == "category"):
            raise DataError(
                f"expected values of the kind {kind!r} in column {name!r}, as the network was "
                f"trained on, found {here[name]!r}; {option('categories', name)} says that a "
                "column holds categories"
            )
    ordered = tuple({"name": name, "kind": kind} for name, kind in columns)
    return cast(Domain, replace(cast(Any, domain), columns=ordered))


def laid_out_like(known: Inputs, arriving: Inputs) -> Inputs:
    """Lay raw inputs out as others are, where their domain knows how, as with columns by name.

    Raises:
        DataError: where they cannot be.
    """
    domain = next((each for each in known_domains() if each.accepts(known)), None)
    like = None if domain is None else getattr(reader_of(domain.name), "like", None)
    if domain is None or like is None or not domain.accepts(arriving):
        return arriving
    return cast(Inputs, like(known, arriving))


def draw_triggers(name: str, inputs: Inputs, rng: np.random.Generator) -> Sequence[Stamp]:
    """Draw one trigger of each kind that a domain offers to defenders; none where it offers none.

    Args:
        name: Of the domain.
        inputs: Raw inputs of the kind that is to be stamped.
        rng: Decides what is drawn.

    """
    stamping = _optional_part(name, "stamping")
    return () if stamping is None else cast(Sequence[Stamp], stamping.draw(inputs, rng))


def usual_triggers(name: str, inputs: Inputs, rng: np.random.Generator) -> dict[str, Stamp]:
    """Draw a trigger of each kind that attackers use most on such inputs, by the name of the kind.

    The kinds are always the same, in the same order. Two draws give triggers that differ, so that
    several can be planted side by side.

    Args:
        name: Of the domain.
        inputs: Raw inputs of the kind that is to be stamped.
        rng: Decides what is drawn.

    Raises:
        CannotJudge: where nobody has listed how such inputs are attacked.

    """
    usual = _optional_part(name, "usual")
    if usual is None:
        raise CannotJudge(f"nobody has listed which attacks on data of the kind {name!r} are usual")
    return cast("dict[str, Stamp]", usual.usual_triggers(inputs, rng))


def _optional_part(name: str, part: str) -> Any:
    """Import a file of the folder of a domain, None where the domain is without."""
    place = f"{DOMAINS[name]}.{part}" if name in DOMAINS else ""
    if not place or importlib.util.find_spec(place) is None:
        return None
    return importlib.import_module(place)


def show_inputs(inputs: Inputs, domain: Domain | None = None) -> Shown:
    """Show raw inputs as their domain does.

    Args:
        inputs: What is shown.
        domain: The one that they were read for; its settings that are named in SETTINGS of
            showing.py, such as the rate of sounds, are handed on.
    """
    showing = _part(domain_of_inputs(inputs).name, "showing")
    names = [name for name in getattr(showing, "SETTINGS", ()) if hasattr(domain, name)]
    return cast(Shown, showing.show(inputs, **{name: getattr(domain, name) for name in names}))
