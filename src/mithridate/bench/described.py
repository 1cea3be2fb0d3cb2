"""What a record says of its cell: the axes, and all settings."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from mithridate.bench.cell import Cell
from mithridate.bench.step import plain
from mithridate.domains.catalogue import domain_of


def axes(cell: Cell) -> tuple[tuple[str, Any], ...]:
    """Give where a cell lies in the tables of a sweep."""
    task, attack, defence = cell.names
    fallback = cell.defence if isinstance(cell.defence, str) else cell.defence.name()
    return (
        ("domain", domain_of(cell.task.data)), ("task", task or cell.task.data),
        ("attack", attack or cell.attack.name()),
        ("rate", cell.poison_rate), ("defence", defence or fallback),
        ("network", cell.network or "default"),
        ("precision", cell.precision), ("trusted", cell.trusted), ("seed", cell.seed),
        ("tuning", cell.tuning), ("role", cell.role),
    )  # fmt: skip


def describe(cell: Cell) -> tuple[tuple[str, Any], ...]:
    """Give everything that was set, for the page of the cell."""
    left_out = {"names"} if cell.parties is not None else {"names", "parties"}
    kept = [f.name for f in fields(cell) if f.name not in left_out]
    return tuple((name, plain(getattr(cell, name))) for name in kept)
