"""What a pickle holds, as plain values: it is interpreted here, and nothing in it is run.

Numbers, words, lists and dictionaries become themselves, tensors become descriptions, and whatever
else a pickle names or calls becomes a mark with that name: it is neither imported nor called.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

from mithridate.artifacts.findings import Log
from mithridate.artifacts.pickle_names import STORAGES
from mithridate.artifacts.pickle_program import Storage
from mithridate.artifacts.pickle_stream import Bounded, Unread
from mithridate.artifacts.pickles import Name


@dataclass(frozen=True, eq=False)
class Described:
    """A tensor as a pickle describes it.

    Attributes:
        storage: The elements that it is a view of.
        offset: Its first element.
        shape: Its sizes.
        stride: Elements from one place of each axis to the next.
        kind: Its type where the storage has none of its own, "" elsewhere.

    """

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    kind: str = ""


@dataclass(eq=False)
class Named:
    """What a pickle would make by calling a name.

    Attributes:
        path: The name.
        given: What it would be called with.
        state: What would be put into it afterwards.

    """

    path: str
    given: tuple[Any, ...] = ()
    state: Any = None


@dataclass(frozen=True, eq=False)
class Content:
    """What one pickle holds.

    Attributes:
        value: Of plain values, `Described` and `Named`.
        storages: That it expects elsewhere, by their keys.

    """

    value: Any
    storages: dict[str, Storage]


MARK = object()
KEYS = (str, int)
"""Keys of dictionaries that are kept."""


class PickleMachine:
    """The stack and the memory of one pickle."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.storages: dict[str, Storage] = {}

    def pop(self) -> Any:
        """Take the topmost value. Raises ValueError where there is none."""
        if not self.stack or self.stack[-1] is MARK:
            raise ValueError("it takes a value from an empty stack")
        return self.stack.pop()

    def to_mark(self) -> list[Any]:
        """Take what lies above the last mark, and the mark."""
        for place in range(len(self.stack) - 1, -1, -1):
            if self.stack[place] is MARK:
                items = self.stack[place + 1 :]
                del self.stack[place:]
                return items
        raise ValueError("it takes a group of values without a mark")

    def top(self) -> Any:
        """The topmost value, which stays."""
        if not self.stack or self.stack[-1] is MARK:
            raise ValueError("it changes a value of an empty stack")
        return self.stack[-1]


def _collections(r: PickleMachine, op: str, arg: Any) -> None:
    if op in ("EMPTY_LIST", "EMPTY_DICT", "EMPTY_SET", "EMPTY_TUPLE"):
        empty: dict[str, Any] = {"EMPTY_DICT": {}, "EMPTY_TUPLE": ()}
        r.stack.append(empty.get(op, []))
    elif op in ("LIST", "FROZENSET"):
        r.stack.append(r.to_mark())
    elif op == "TUPLE":
        r.stack.append(tuple(r.to_mark()))
    elif op == "DICT":
        items = r.to_mark()
        r.stack.append({})
        _entered(r.stack[-1], items)
    else:
        count = int(op[-1])
        r.stack.append(tuple([r.pop() for _ in range(count)][::-1]))


def _filled(r: PickleMachine, op: str, arg: Any) -> None:
    many = op in ("APPENDS", "SETITEMS", "ADDITEMS")
    pair = op == "SETITEM"
    items = r.to_mark() if many else [r.pop() for _ in range(1 + pair)][::-1]
    holder = r.top()
    if op in ("SETITEM", "SETITEMS"):
        _entered(holder, items)
    elif isinstance(holder, list):
        holder.extend(items)


def _entered(holder: Any, items: list[Any]) -> None:
    """Put keys and values into a dictionary; into anything else they are not put."""
    for key, value in zip(items[::2], items[1::2], strict=True):
        if isinstance(holder, dict) and isinstance(key, KEYS):
            holder[key] = value


def _names(r: PickleMachine, op: str, arg: Any) -> None:
    if op == "STACK_GLOBAL":
        name, module = r.pop(), r.pop()
        words = isinstance(name, str) and isinstance(module, str)
        r.stack.append(Name(f"{module}.{name}" if words else ""))
        return
    given = r.to_mark() if op == "INST" else []
    what = Name(arg.replace(" ", ".", 1))
    r.stack.append(_made(what, tuple(given)) if op == "INST" else what)


def _calls(r: PickleMachine, op: str, arg: Any) -> None:
    if op == "BUILD":
        state, what = r.pop(), r.top()
        if isinstance(what, Named):
            what.state = state
        return
    if op == "OBJ":
        what, *items = r.to_mark() or [None]
        r.stack.append(_made(what, tuple(items)))
        return
    if op == "NEWOBJ_EX":
        r.pop()
    given, what = r.pop(), r.pop()
    r.stack.append(_made(what, given if isinstance(given, tuple) else ()))


def _memory(r: PickleMachine, op: str, arg: Any) -> None:
    if op.endswith("GET"):
        if arg not in r.memo:
            raise ValueError("it takes a value that it never kept")
        r.stack.append(r.memo[arg])
    else:
        r.memo[len(r.memo) if op == "MEMOIZE" else arg] = r.top()


def _others(r: PickleMachine, op: str, arg: Any) -> None:
    if op == "MARK":
        r.stack.append(MARK)
    elif op == "POP_MARK":
        r.to_mark()
    elif op == "POP":
        if not r.stack:
            raise ValueError("it takes a value from an empty stack")
        r.stack.pop()
    elif op == "DUP":
        r.stack.append(r.top())
    elif op == "BINPERSID":
        storage = _storage(r.pop())
        r.storages.setdefault(storage.key, storage)
        r.stack.append(storage)
    elif op in ("NONE", "NEWTRUE", "NEWFALSE"):
        r.stack.append({"NEWTRUE": True, "NEWFALSE": False}.get(op))
    else:  # registered codes and buffers beside the pickle, which torch never writes
        raise ValueError(f"it holds the opcode {op}, which is not read")


HANDLERS: dict[str, Callable[[PickleMachine, str, Any], None]] = {
    **dict.fromkeys(("EMPTY_LIST", "EMPTY_DICT", "EMPTY_SET", "EMPTY_TUPLE", "LIST", "FROZENSET",
                     "TUPLE", "DICT", "TUPLE1", "TUPLE2", "TUPLE3"), _collections),
    **dict.fromkeys(("APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS"), _filled),
    **dict.fromkeys(("GLOBAL", "STACK_GLOBAL", "INST"), _names),
    **dict.fromkeys(("REDUCE", "NEWOBJ", "NEWOBJ_EX", "OBJ", "BUILD"), _calls),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET", "PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"),
                    _memory),
    **dict.fromkeys(("MARK", "POP_MARK", "POP", "DUP", "BINPERSID", "NONE", "NEWTRUE", "NEWFALSE",
                     "PERSID", "EXT1", "EXT2", "EXT4", "NEXT_BUFFER", "READONLY_BUFFER"), _others),
}  # fmt: skip
QUIET = ("PROTO", "FRAME", "STOP")


BROKEN = (OverflowError, IndexError, KeyError, TypeError, AttributeError, RecursionError)
"""What a machine raises that is given nonsense."""


def read(stream: BinaryIO, size: int, log: Log) -> Content:
    """Interpret the one pickle that begins where a stream is.

    Args:
        stream: Where the pickle begins.
        size: The bytes that it may have.
        log: Bounds the opcodes and the bytes of one value.

    Raises:
        ValueError: The pickle is broken, too long, or uses what torch never writes.
    """
    reader, count = PickleMachine(), 0
    try:
        bounded = cast(BinaryIO, Bounded(stream, size, log.limits.pickle))
        for op, arg, _ in pickletools.genops(bounded):
            count += 1
            if count > log.limits.opcodes:
                raise Unread(f"more than {log.limits.opcodes} opcodes are not looked at")
            if op.name in HANDLERS:
                HANDLERS[op.name](reader, op.name, arg)
            elif op.name not in QUIET:
                reader.stack.append(arg)
        return Content(reader.top(), reader.storages)
    except BROKEN as error:
        raise ValueError(f"the pickle is broken ({error})") from None


def _storage(given: Any) -> Storage:
    """Read the mark of elements that lie elsewhere."""
    told = given if isinstance(given, tuple) and len(given) >= 5 else (None,) * 5
    what, key, count = told[1], told[2], told[4]
    named = told[0] == "storage" and isinstance(what, Name) and isinstance(key, str)
    if not named or type(count) is not int or (len(told) > 5 and told[5] is not None):
        raise ValueError("it names a storage in a way that is not read")
    kind = STORAGES.get(what.path.rpartition(".")[2].removesuffix("Storage"), "")
    return Storage(kind, key, count)


def _made(what: Any, given: tuple[Any, ...]) -> Any:
    """Give what a call stands for: a tensor, plain values, or a mark with the name."""
    path = what.path if isinstance(what, Name) else ""
    try:
        return MADE[path](*given) if path in MADE else Named(path, given)
    except (TypeError, ValueError, IndexError) as error:
        raise ValueError(f"{path} is called in a way that is not read ({error})") from None


def _tensor(storage: Any, offset: Any, shape: Any, stride: Any, *more: Any) -> Described:
    """Describe a tensor. more: whether it has a gradient, hooks, and in newer files its type."""
    axes = (offset, *shape, *stride)
    if not isinstance(storage, Storage) or not all(type(axis) is int for axis in axes):
        raise ValueError("a tensor without a storage or with a shape that is none")
    if len(shape) != len(stride) or len(shape) > 64 or min(axes) < 0:
        raise ValueError("a shape that no tensor has")
    kind = more[2] if len(more) > 2 else None
    named = kind.path.removeprefix("torch.") if isinstance(kind, Name) else ""
    return Described(storage, offset, tuple(shape), tuple(stride), named)


def _typed(function: Any, kind: Any, given: Any, state: Any) -> Any:
    """Read a tensor of a class of its own: plain where that class adds nothing."""
    path = kind.path if isinstance(kind, Name) else ""
    plain = path in ("torch.Tensor", "torch.nn.parameter.Parameter", "torch.nn.parameter.Buffer")
    if plain and isinstance(given, tuple):
        return _made(function, given)
    return Named(path, given if isinstance(given, tuple) else (), state)


MADE: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": lambda *given: {},
    "torch.Size": lambda *given: tuple(given[0]) if given else (),
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor,
    "torch._utils._rebuild_parameter": lambda data, *more: data,
    "torch._utils._rebuild_parameter_with_state": lambda data, *more: data,
    "torch._tensor._rebuild_from_type_v2": _typed,
}
"""What stands for calls that are understood."""
