"""Pickles read as programs and never run: which names they import, call and build.

The program is disassembled by `pickletools.genops`; beside it goes a stack of constants, so that a
name that is put together from strings on the stack is seen, too.
"""

from __future__ import annotations

import _compat_pickle
import pickletools
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

from mithridate.artifacts.findings import Log
from mithridate.artifacts.pickle_names import ALLOCATES, ENUMERATIONS, GETATTR, STORAGES
from mithridate.artifacts.pickle_program import Program, Storage
from mithridate.artifacts.pickle_stream import Bounded, Unread


@dataclass(frozen=True)
class Name:
    """Something that a pickle imports by name."""

    path: str


@dataclass(frozen=True, eq=False)
class SizedValue:
    """A tuple on the stack, with the depth of its nesting, or something else that has a size.

    Attributes:
        asked: the elements that a call with it may reserve; kept, since a tuple may hold another
            one many times over and comparing or walking through it would never end.
    """

    items: tuple[Any, ...]
    depth: int
    asked: int

    @classmethod
    def of(cls, items: list[Any]) -> SizedValue:
        """Make one of the values in it."""
        product = 1
        for item in items:
            product = min(product * max(1, item), 1 << 63) if isinstance(item, int) else product
        depth = 1 + max((item.depth for item in items if isinstance(item, SizedValue)), default=0)
        return cls(tuple(items), depth, max([product, *map(_reserved, items)]))


def _reserved(value: Any) -> int:
    """The elements that a call with a value may reserve."""
    if isinstance(value, SizedValue):
        return value.asked
    if isinstance(value, str | bytes):
        return len(value)
    return min(value, 1 << 63) if isinstance(value, int) else 0


UNKNOWN, MARK = object(), object()
"""A value that is not followed, and the mark below a group of values."""


class PickleReading:
    """The stack and the memory of one program, as far as they hold constants."""

    def __init__(self, program: Program, limits_depth: int) -> None:
        self.program, self.depth = program, limits_depth
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.marks = 0

    def pop(self) -> Any:
        """Take the topmost value."""
        if not self.stack:
            raise ValueError("it takes a value from an empty stack")
        value = self.stack.pop()
        self.marks -= value is MARK
        return value

    def to_mark(self) -> list[Any]:
        """Take what lies above the last mark, and the mark."""
        values = []
        while (value := self.pop()) is not MARK:
            values.append(value)
        return values[::-1]

    def push(self, value: Any) -> None:
        """Put a value on the stack; of long ones the length is kept."""
        long = isinstance(value, str | bytes) and len(value) > 2_000
        if isinstance(value, str) and not long and len(self.program.strings) < 100_000:
            self.program.strings.append(value)
        self.stack.append(SizedValue((), 0, len(value)) if long else value)
        self.marks += value is MARK
        self.program.deep |= self.marks > self.depth

    def tuple_of(self, items: list[Any]) -> None:
        """Put a tuple on the stack."""
        made = SizedValue.of(items)
        self.program.deep |= made.depth > self.depth
        known = made.depth <= self.depth and len(items) <= 1_000
        self.stack.append(made if known else SizedValue((), 0, made.asked))

    def name(self, module: Any, name: Any, place: int) -> None:
        """Put a name on the stack."""
        if not isinstance(module, str) or not isinstance(name, str):
            self.program.hidden.append(place)
            self.stack.append(UNKNOWN)
            return
        module, name = _compat_pickle.NAME_MAPPING.get((module, name), (module, name))
        path = f"{_compat_pickle.IMPORT_MAPPING.get(module, module)}.{name}"
        self.program.names.setdefault(path, place)
        self.fetch(Name(path))

    def fetch(self, value: Any) -> None:
        """Put a name or a value of the memory on the stack."""
        self.program.fetched += isinstance(value, Name) and value.path == GETATTR
        self.stack.append(value)

    def call(self, what: Any, given: Any) -> None:
        """Note a call, and put its unknown result on the stack."""
        if isinstance(what, Name):
            if what.path == GETATTR and _is_member(given):
                self.program.members += 1
                self.stack.append(UNKNOWN)
                return
            self.program.calls.add(what.path)
            if ALLOCATES.fullmatch(what.path):
                asked = max(1, _reserved(given))
                self.program.asked += asked
                self.stack.append(SizedValue((), 0, asked))
                return
        self.stack.append(UNKNOWN)

    def persistent(self, given: Any) -> None:
        """Note the elements that lie elsewhere."""
        items = given.items if isinstance(given, SizedValue) else ()
        if len(items) >= 5 and items[0] == "storage" and isinstance(items[1], Name):
            kind = items[1].path.rpartition(".")[2].removesuffix("Storage")
            known = isinstance(items[2], str) and isinstance(items[4], int)
            key, count = (items[2], items[4]) if known else ("", -1)
            self.program.storages.append(Storage(STORAGES.get(kind, ""), key, count))
        else:
            self.program.storages.append(Storage("", "", -1))
        self.stack.append(UNKNOWN)


def _is_member(given: Any) -> bool:
    """Whether arguments of `getattr` are an enumeration that is known and the name of a member."""
    items = given.items if isinstance(given, SizedValue) else ()
    return (
        len(items) == 2
        and isinstance(items[0], Name)
        and ENUMERATIONS.fullmatch(items[0].path) is not None
        and isinstance(items[1], str)
        and re.fullmatch(r"[A-Z][A-Z0-9_]*", items[1]) is not None
    )


def _names(r: PickleReading, op: str, arg: Any, place: int) -> None:
    if op == "STACK_GLOBAL":
        name, module = r.pop(), r.pop()
        r.name(module, name, place)
        return
    given = r.to_mark() if op == "INST" else []
    module, _, name = arg.partition(" ")
    r.name(module, name, place)
    if op == "INST":
        r.call(r.pop(), SizedValue.of(given))


def _calls(r: PickleReading, op: str, arg: Any, place: int) -> None:
    if op == "OBJ":
        what, *given = r.to_mark() or [UNKNOWN]
        r.call(what, SizedValue.of(given))
        return
    if op == "NEWOBJ_EX":
        r.pop()
    given, what = r.pop(), r.pop()
    r.call(what, given)


def _tuples(r: PickleReading, op: str, arg: Any, place: int) -> None:
    if op == "TUPLE":
        r.tuple_of(r.to_mark())
    else:
        count = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}[op]
        r.tuple_of([r.pop() for _ in range(count)][::-1])


def _memory(r: PickleReading, op: str, arg: Any, place: int) -> None:
    if op.endswith("GET"):
        r.fetch(r.memo.get(arg, UNKNOWN))
    elif not r.stack:
        raise ValueError("it keeps a value of an empty stack")
    else:
        r.memo[len(r.memo) if op == "MEMOIZE" else arg] = r.stack[-1]


def _others(r: PickleReading, op: str, arg: Any, place: int) -> None:
    if op in ("PERSID", "BINPERSID"):
        r.persistent(r.pop() if op == "BINPERSID" else UNKNOWN)
    elif op.startswith("EXT"):
        r.program.extensions.append(place)
        r.stack.append(UNKNOWN)
    elif op == "DUP":
        top = r.pop()
        r.push(top)
        r.push(top)
        r.program.fetched += isinstance(top, Name) and top.path == GETATTR
    elif op == "MARK":
        r.push(MARK)
    elif op == "POP":
        r.pop()


HANDLERS: dict[str, Callable[[PickleReading, str, Any, int], None]] = {
    **dict.fromkeys(("GLOBAL", "STACK_GLOBAL", "INST"), _names),
    **dict.fromkeys(("REDUCE", "NEWOBJ", "NEWOBJ_EX", "OBJ"), _calls),
    **dict.fromkeys(("TUPLE", "EMPTY_TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"), _tuples),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET", "PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"),
                    _memory),
    **dict.fromkeys(("PERSID", "BINPERSID", "EXT1", "EXT2", "EXT4", "DUP", "MARK", "POP"), _others),
}  # fmt: skip


def disassemble(stream: BinaryIO, size: int, log: Log) -> Program:
    """Read the one pickle that begins where a stream is, in at most `size` bytes; runs nothing."""
    program = Program(end=stream.tell())
    reading = PickleReading(program, log.limits.depth)
    bounded = Bounded(stream, size, log.limits.pickle)
    try:
        for op, arg, place in pickletools.genops(cast(BinaryIO, bounded)):
            log.opcodes += 1
            program.opcodes += 1
            if log.opcodes > log.limits.opcodes:
                raise Unread(f"more than {log.limits.opcodes} opcodes are not looked at")
            _step(reading, op, arg, place or 0)
        program.value = reading.stack[-1]
    except (ValueError, OverflowError, IndexError, KeyError, TypeError, AttributeError) as error:
        program.error = str(error) or type(error).__name__
        program.cut = isinstance(error, Unread)
    program.end = stream.tell()
    return program


def _step(reading: PickleReading, op: pickletools.OpcodeInfo, arg: Any, place: int) -> None:
    handler = HANDLERS.get(op.name)
    if handler is not None:
        handler(reading, op.name, arg, place)
        return
    if op.name in ("PROTO", "FRAME", "STOP"):
        if op.name == "STOP" and not reading.stack:
            raise ValueError("it ends with an empty stack")
        return
    if pickletools.markobject in op.stack_before:
        reading.to_mark()
    for kind in op.stack_before:
        if kind not in (pickletools.markobject, pickletools.stackslice):
            reading.pop()
    for _ in op.stack_after:
        reading.push(UNKNOWN if arg is None else arg)
