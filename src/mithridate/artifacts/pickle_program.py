"""What is known of a pickle that was read as a program."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Storage:
    """Elements that a pickle expects elsewhere: their type, where, and how many."""

    kind: str
    key: str
    count: int


@dataclass
class Program:
    """What a pickle would do.

    Attributes:
        names: imported, with the place of the first mention.
        calls: those of them that are called.
        fetched: how often `getattr` is fetched, to be called or to be handed on.
        members: how often it is called for a member of a known enumeration, which runs nothing.
        storages: expected elsewhere.
        strings: short ones, in order.
        value: the result where it is a constant.
        asked: elements that all calls would reserve.
        hidden: places where a name is computed.
        extensions: places of registered codes.
        deep: whether it nests deeper than is looked at.
        error: why the disassembly ended early.
        cut: whether at a limit of ours, so that readers may go further.
        end: the place after the last opcode.
    """

    names: dict[str, int] = field(default_factory=dict)
    calls: set[str] = field(default_factory=set)
    fetched: int = 0
    members: int = 0
    storages: list[Storage] = field(default_factory=list)
    strings: list[str] = field(default_factory=list)
    value: Any = None
    asked: int = 0
    hidden: list[int] = field(default_factory=list)
    extensions: list[int] = field(default_factory=list)
    deep: bool = False
    opcodes: int = 0
    error: str = ""
    cut: bool = False
    end: int = 0
