"""Heat maps of a federation: clients as rows, rounds as columns, darker where one stands out."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

CELL, GAP, NAMES = 18, 2, 62
"""Height of a cell, between two cells, and the room of the names, in the units of the drawing."""
WIDTH = 360


@dataclass(frozen=True)
class HeatCell:
    """One client in one round.

    Attributes:
        x: Of its left edge.
        y: Of its upper edge.
        dark: From 0, ordinary, to 1; None where there is nothing to show.
        crossed: Whether the client was refused.
        said: In words.
    """

    x: float
    y: float
    dark: float | None
    crossed: bool
    said: str


@dataclass(frozen=True)
class HeatMap:
    """One heat map, ready to be drawn.

    Attributes:
        title: What it shows.
        legend: What dark means.
        alt: The map in words.
        rows: The name of each client, whether it attacks, and where its row lies.
        cells: All of them.
        columns: Where some rounds lie, and their numbers.
        width: Of a cell.
        height: Of the drawing.
    """

    title: str
    legend: str
    alt: str
    rows: tuple[tuple[str, bool, float], ...]
    cells: tuple[HeatCell, ...]
    columns: tuple[tuple[float, str], ...]
    width: float
    height: float


@dataclass(frozen=True)
class _Shown:
    """One figure of the server, and how its values become dark.

    dark: is given all values of a round and one of them.
    """

    name: str
    title: str
    legend: str
    dark: Callable[[list[float], float], float]


def _unusual(values: list[float], value: float) -> float:
    """How many doublings a size is away from the median of the round; three are black."""
    middle = statistics.median(values)
    if middle <= 0 or value <= 0:
        return 0.0 if value == middle else 1.0
    return min(1.0, abs(math.log2(value / middle)) / 3)


def _least(values: list[float], value: float) -> float:
    """Where a value lies between the largest of the round and the smallest."""
    most, least = max(values), min(values)
    return 0.0 if most == least else (most - value) / (most - least)


SHOWN = (
    _Shown("trust", "trust", "dark: left out or weighed less", lambda _, value: 1 - value),
    _Shown(
        "suspicion", "suspicion", "dark: the most suspicious of the round",
        lambda values, value: 1 - _least(values, value),
    ),
    _Shown("norm", "norm of the update", "dark: far from the median of the round", _unusual),
    _Shown("cosine", "cosine with the step", "dark: the least of the round", _least),
    _Shown("overlap", "mask in the consensus", "dark: the least of the round", _least),
)  # fmt: skip


def heat_maps(content: dict[str, Any]) -> list[HeatMap]:
    """Draw what the server saw, as far as it saw it; content: a record of a federation."""
    return [made for shown in SHOWN if (made := _map(content, shown)) is not None]


def _map(content: dict[str, Any], shown: _Shown) -> HeatMap | None:
    """Draw one figure; None where no round has it."""
    rounds, clients = content["rounds"], content["clients"]
    width = (WIDTH - NAMES) / len(rounds)
    cells = []
    for column, line in enumerate(rounds):
        seen = [c[shown.name] for c in line["clients"] if c[shown.name] is not None]
        for client in line["clients"]:
            value = client[shown.name]
            place = f"client {client['client']}, round {line['number'] + 1}: "
            if value is None and not client["refused"]:
                continue
            dark = None if value is None else round(shown.dark(seen, value), 3)
            said = client["refused"] if value is None else f"{shown.title} {value:.3g}"
            x, y = NAMES + column * width, client["client"] * (CELL + GAP)
            crossed = bool(client["refused"])
            cells.append(HeatCell(round(x, 2), y, dark, crossed, place + said))
    if not any(cell.dark is not None for cell in cells):
        return None
    return HeatMap(
        shown.title, shown.legend, _in_words(content, shown),
        tuple((f"client {c['client']}", c["attacks"], c["client"] * (CELL + GAP)) for c in clients),
        tuple(cells), _columns(len(rounds), width), round(max(1.0, width - GAP), 2),
        len(clients) * (CELL + GAP) + 16,
    )  # fmt: skip


def _columns(rounds: int, width: float) -> tuple[tuple[float, str], ...]:
    """Where the numbers of some rounds stand."""
    step = max(1, math.ceil(rounds / 8))
    places = range(0, rounds, step)
    return tuple((round(NAMES + (n + 0.5) * width, 1), str(n + 1)) for n in places)


def _in_words(content: dict[str, Any], shown: _Shown) -> str:
    """The mean of each client over all rounds."""
    values: dict[int, list[float]] = {}
    for line in content["rounds"]:
        for client in line["clients"]:
            if client[shown.name] is not None:
                values.setdefault(client["client"], []).append(client[shown.name])
    means = (f"client {c} {sum(v) / len(v):.3g}" for c, v in sorted(values.items()))
    return f"Mean {shown.title} over all rounds: {', '.join(means)}"
