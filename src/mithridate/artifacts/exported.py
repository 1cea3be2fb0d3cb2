"""Exported programs (.pt2): what `torch.export.load` would evaluate, import, unpickle or call.

It evaluates every size as code, unpickles sample inputs and marked weights without limits, imports
modules that a tree of arguments names, and looks up the functions of the graph by name.
"""

from __future__ import annotations

import io
import json
import re
from typing import Any

from mithridate.artifacts.archives import Archive, Member, open_archive
from mithridate.artifacts.converting import DTYPES
from mithridate.artifacts.expressions import objection
from mithridate.artifacts.findings import Log
from mithridate.artifacts.torch_files import look_at_pickles, look_at_zip, looks_like_pickle
from mithridate.artifacts.values import count_elements, nbytes, nonfinite, report_nonfinite

OPERATORS = re.compile(
    r"torch\.ops\.(aten|prims?|higher_order|quantized|quantized_decomposed|mkldnn)(\.\w+){1,2}"
    r"|torch\.ops\.export\.access_subclass_inner_tensor(\.\w+)?"
    r"|torch\.(_?sym_\w+|_C\._set_grad_enabled|amp\.autocast_mode\._(enter|exit)_autocast)"
    r"|_operator\.(getitem|add|sub|mul|truediv|floordiv|mod|pow|neg|pos|abs|eq|ne|lt|le|gt|ge"
    r"|and_|or_|xor|not_|lshift|rshift|index)|math\.\w+"
)
CUSTOM = re.compile(r"torch\.ops\.\w+(\.\w+){1,2}|#[\w:.]+")
TORCHAO = re.compile(r"torch\.ops\.torchao\.(\w+_)?(de)?quantize_affine\w*(\.\w+)?")
RISKY = ("torch", "_operator", "math", "#")
SAFE_MODULES = ("builtins", "collections")
NESTING = 6
"""JSON may lie in strings of JSON so many times."""


class _Gathered:
    """What the JSON of a program says, wherever it says it."""

    def __init__(self) -> None:
        self.expressions: list[object] = []
        self.targets: list[str] = []
        self.imported: list[object] = []

    def parse(self, words: str | bytes, level: int = 0) -> None:
        """Walk through JSON without keeping it. Raises ValueError or RecursionError."""

        def pairs(given: list[tuple[str, Any]]) -> None:
            keys = {key for key, _ in given}
            for key, value in given:
                self.take(key, value, "__enum__" in keys)
                for each in value if isinstance(value, list) else [value]:
                    if isinstance(each, str) and each[:1] in ("{", "[") and level < NESTING:
                        self._inner(each, level)

        top = json.loads(words, object_pairs_hook=pairs)
        for each in top if isinstance(top, list) else []:
            if isinstance(each, str) and each[:1] in ("{", "[") and level < NESTING:
                self._inner(each, level)

    def _inner(self, words: str, level: int) -> None:
        try:
            self.parse(words, level + 1)
        except (ValueError, RecursionError):  # a string that only begins like JSON
            if "default_factory_module" in words or "__enum__" in words:
                self.imported.append(words[:80])

    def take(self, key: str, value: object, enumeration: bool) -> None:
        """Keep what torch would act on."""
        if key == "expr_str":
            self.expressions.append(value)
        elif key == "target" and isinstance(value, str):
            self.targets.append(value)
        elif key == "default_factory_module" or (key == "fqn" and enumeration):
            self.imported.append(value)


def look_at_exported(members: Archive, size: int, log: Log, values: bool) -> None:
    """Check the archive of an exported program."""
    pickled: set[str] = set()
    for name, member in members.members.items():
        lower = name.casefold()
        if "data/aotinductor/" in lower:
            log.danger("the member belongs to a compiled model, which is machine code", name)
        elif lower.endswith("_config.json"):
            pickled |= _config(members, member, log, values)
        elif lower.endswith(".json") or "models/" in lower:
            _program(members, member, log)
    for name, member in members.members.items():
        must = name in pickled or re.search(r"data/sample_inputs/|serialized_\w+\.pt$", name)
        if re.search(r"data/constants/(custom|opaque)_obj_", name):
            log.danger("the member is an object with code of its own", name)
        zipped = members.head(member, 4) == b"PK\x03\x04"
        if member.size and (
            must or zipped or name.endswith(".pt") or looks_like_pickle(members, member)
        ):
            _look_at_pickle(members, member, size, log)


def _program(members: Archive, member: Member, log: Log) -> None:
    """Check the JSON of one program."""
    words = members.read(member, log.limits.words, log)
    if words is None:
        return
    gathered = _Gathered()
    try:
        gathered.parse(words)
    except (ValueError, RecursionError):
        log.warning("it is no JSON", member.name)
    for expression in dict.fromkeys(map(_hashable, gathered.expressions)):
        if why := objection(expression):
            log.danger(f"a size is code: {str(expression)[:80]!r}: {why}", member.name)
    for name in dict.fromkeys(map(str, gathered.imported)):
        if name.partition(":")[0] not in SAFE_MODULES:
            log.danger(f"opening it would import {name[:80]!r}", member.name)
    for target in dict.fromkeys(gathered.targets):
        _target(target, member.name, log)


def _target(target: str, where: str, log: Log) -> None:
    """Say whether the graph calls something that is no operator of torch."""
    if not target.startswith(RISKY) or OPERATORS.fullmatch(target):
        return
    if TORCHAO.fullmatch(target):
        log.note(f"the graph calls {target[:80]!r}, an operator of torchao", where)
    elif CUSTOM.fullmatch(target):
        log.warning(
            f"the graph calls {target[:80]!r}, an operator that torch does not bring", where,
            "ask where it comes from",
        )  # fmt: skip
    else:
        log.danger(f"the graph calls {target[:80]!r}", where)


def _hashable(value: object) -> object:
    return value if isinstance(value, str) else repr(type(value))


def _config(members: Archive, member: Member, log: Log, values: bool) -> set[str]:
    """Compare what is told of weights with their bytes; gives the names of pickled ones."""
    words = members.read(member, log.limits.words, log)
    try:
        told = json.loads(words or b"{}")
        entries = dict(told.get("config", {}))
    except (ValueError, RecursionError, AttributeError, TypeError):
        log.warning("it is no list of weights", member.name)
        return set()
    pickled: set[str] = set()
    folder = member.name.rpartition("/")[0]
    for key, entry in entries.items():
        told = entry if isinstance(entry, dict) else {}
        name = f"{folder}/{told.get('path_name')}"
        if name not in members.members:
            log.warning("the weights are not in the archive", key)
        elif told.get("use_pickle") is not False:
            pickled.add(name)
        else:
            _weights(members, members.members[name], told.get("tensor_meta"), key, log, values)
    return pickled


def _weights(
    members: Archive, member: Member, meta: Any, key: str, log: Log, values: bool
) -> None:  # fmt: skip
    """Compare the shape of one tensor with its bytes."""
    sizes = meta.get("sizes") if isinstance(meta, dict) else None
    kind = DTYPES.get(meta.get("dtype", 0)) if isinstance(meta, dict) else None
    if not isinstance(sizes, list) or kind is None:
        log.warning("its type or shape is unknown", key)
        return
    count = count_elements(
        [axis.get("as_int") if isinstance(axis, dict) else None for axis in sizes], key, log
    )
    if count is None:
        return
    if nbytes(count, kind) > member.size:
        log.danger(f"the shape needs {nbytes(count, kind):,} bytes, found {member.size:,}", key)
    elif values and member.readable:
        report_nonfinite(nonfinite(members.chunks(member), kind), key, log)


def _look_at_pickle(members: Archive, member: Member, size: int, log: Log) -> None:
    """Check a member that torch would unpickle, an archive of its own or not."""
    words = members.read(member, log.limits.pickle, log)
    if words is None:
        return
    inner = Log(log.limits, opcodes=log.opcodes)
    stream = io.BytesIO(words)
    if words[:4] == b"PK\x03\x04":
        opened = open_archive(stream, len(words), inner)
        if opened is not None:
            look_at_zip(opened, size, inner, values=False)
    else:
        look_at_pickles(stream, len(words), inner, values=False)
    log.opcodes = inner.opcodes
    for finding in inner.ended():
        log.add(finding.severity, finding.what, f"{member.name}: {finding.where}", finding.todo)
