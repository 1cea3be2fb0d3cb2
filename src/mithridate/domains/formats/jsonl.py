"""Texts in JSON: one object a line, or an array of objects."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from mithridate.core.data import Dataset
from mithridate.core.errors import DataError
from mithridate.domains.formats.choosing import choose_inputs, gather, joined
from mithridate.domains.formats.columns import (
    choose_label,
    unique,
)
from mithridate.domains.formats.delimited import check_text_file
from mithridate.domains.formats.identity import own_ids
from mithridate.domains.formats.kinds import SAMPLE, kind_of
from mithridate.domains.formats.labels import resolve
from mithridate.domains.formats.source import UNLABELLED, Layout, Reading, Source, brief
from mithridate.domains.formats.texts import join, part
from mithridate.domains.formats.typed import cell_of, values_of
from mithridate.domains.formats.walk import name_path, unreadable
from mithridate.domains.registry import Table

Object = dict[str, Any]
ARRAY = "array"
"""How an array is told from lines in the details of a layout."""

WHOLE_FILE = (
    "; a JSON file holds an array of objects or one object a line, as pandas writes it with "
    "orient='records'"
)
MARK = b"\xef\xbb\xbf"
BLANKS = re.compile(r"[ \t\r\n]*")


def read(files: Sequence[Path], reading: Reading) -> Source:
    """Read the text and the label of every object; their names are those of the first object."""
    pairs = [pair for file in files for pair in _objects(file, reading)]
    names, objects = [name for name, _ in pairs], [each for _, each in pairs]
    columns = list(objects[0]) if objects else []
    if len(objects) == 1 and all(isinstance(cell, dict | list) for cell in objects[0].values()):
        raise DataError(f"{names[0]!r}: expected an example, found whole columns{WHOLE_FILE}")
    samples = {c: [each.get(c) for each in objects[:SAMPLE]] for c in columns}
    kinds = {c: kind_of(cells) for c, cells in samples.items()}
    label = choose_label(columns, reading)
    table = Table(tuple(columns), label, kinds, samples)
    domain, taken = choose_inputs(table, reading, columns, "jsonl")
    raw = [each.get(label) if label else UNLABELLED for each in objects]
    labels = resolve(raw, names, reading, None)
    inputs, kept = gather(
        domain, taken, lambda name: [each.get(name) for each in objects],
        lambda: (join([each.get(column) for column in taken]) for each in objects),
        labels.index, names, reading,
    )  # fmt: skip
    rest = [objects[row] for row in kept]
    layout = Layout(
        file=files[0].name, columns=tuple(columns), content=taken[0], label=label,
        spelling=labels.spelling, rest=rest, details=ARRAY if _is_array(files[0]) else "",
        joined=joined(domain, taken),
    )  # fmt: skip
    kept_names = [names[row] for row in kept]
    own = own_ids(columns, {label, *taken}, lambda name: [each.get(name) for each in rest])
    return reading.finish(
        "jsonl", inputs, labels.index[kept], labels.classes, kept_names, layout, own=own
    )  # fmt: skip


def _objects(path: Path, reading: Reading) -> Iterator[tuple[str, Object]]:
    """Yield the name and the object of every line that is not blank, or of an array."""
    name = name_path(path, reading.root)
    check_text_file(path, name, reading)
    row = 0
    try:
        for where, text in _array(path, name) if _is_array(path) else _lines(path):
            reading.count(row + 1, name)
            try:
                yield f"{name} row {row}", _parse(text)
            except DataError as error:
                whole = WHOLE_FILE if path.suffix.lower() == ".json" else ""
                reading.reject(f"{name} row {row}", f"{error}, in {where}{whole}", type(error))
            row += 1
    except OSError as error:
        raise unreadable(name, error) from None


def _lines(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the place and the bytes of every line that is not blank."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            text = line.removeprefix(MARK) if number == 1 else line
            if text.strip():
                yield f"line {number}", text


def _is_array(path: Path) -> bool:
    """Whether a file holds one array, as its suffix allows and its first character says."""
    if path.suffix.lower() != ".json":
        return False
    with path.open("rb") as file:
        return file.read(64).removeprefix(MARK).lstrip()[:1] == b"["


def _whole(path: Path, name: str) -> str:
    """Read a whole file; raises DataError where it is no UTF-8."""
    try:
        return path.read_bytes().removeprefix(MARK).decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{name!r}: expected UTF-8, found byte 0x{error.object[error.start]:02x}; "
            "convert the file"
        ) from None


def _array(path: Path, name: str) -> Iterator[tuple[str, bytes]]:
    """Yield the place and the text of every element of an array."""
    text = _whole(path, name)
    decoder, at, number = json.JSONDecoder(), text.index("[") + 1, 0
    while (at := _blank(text, at)) < len(text) and text[at] != "]":
        start = at
        try:
            _, at = decoder.raw_decode(text, start)
        except (ValueError, RecursionError) as error:
            raise DataError(
                f"{name!r}: expected one array of JSON objects, found broken JSON ({error})"
            ) from None
        yield f"element {number}", text[start:at].encode()
        at, number = _blank(text, at), number + 1
        if text[at : at + 1] != ",":
            break
        at += 1
    if text[at:].strip() != "]":
        raise DataError(
            f"{name!r}: expected one array of JSON objects, found {brief(text[at : at + 20])} "
            f"after element {number - 1}"
        )


def _blank(text: str, at: int) -> int:
    """Pass over blanks."""
    blank = BLANKS.match(text, at)
    return blank.end() if blank else at


def _parse(line: bytes) -> Object:
    try:
        content = json.loads(
            line.decode("utf-8"), object_pairs_hook=_unique_keys, parse_constant=_refuse,
            parse_float=_finite,
        )  # fmt: skip
    except UnicodeDecodeError as error:
        raise DataError(
            f"expected UTF-8, found byte 0x{error.object[error.start]:02x}; convert the file"
        ) from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"expected one JSON object, found broken JSON ({error})") from None
    if not isinstance(content, dict):
        raise DataError(f"expected one JSON object, found {brief(content)}")
    return content


def _unique_keys(pairs: list[tuple[str, Any]]) -> Object:
    if pairs:
        unique([key for key, _ in pairs], "an object")
    return dict(pairs)


def _finite(number: str) -> float:
    value = float(number)
    return value if math.isfinite(value) else _refuse(number)


def _refuse(constant: str) -> NoReturn:
    raise DataError(f"expected numbers as JSON has them, found {constant}")


def write(data: Dataset, layout: Layout, path: Path) -> tuple[str, ...]:
    """Write one object a line, or an array, with all keys of the source."""
    array = layout.details == ARRAY
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write("[\n" if array else "")
        for number, (text, label, row) in enumerate(
            zip(data.inputs, data.labels.tolist(), data.ids.tolist(), strict=True)
        ):
            new = {**_parts(text, layout, row), layout.label: layout.spelling[label]}
            # Escapes, because other fields may hold what UTF-8 cannot
            file.write((",\n" if array and number else "") + json.dumps(layout.rest[row] | new))
            file.write("" if array else "\n")
        file.write("\n]\n" if array else "")
    return tuple(f"{path.name} row {row}" for row in range(len(data)))


def _parts(text: Any, layout: Layout, row: int) -> Object:
    if isinstance(text, np.void):
        return {c: cell_of(layout.rest[row].get(c), *each) for c, each in values_of(text).items()}
    if not layout.joined:
        return {layout.content: text}
    before = [layout.rest[row].get(column) for column in layout.joined]
    parts = part(text, [cell or "" for cell in before])
    there = zip(layout.joined, parts, before, strict=True)
    return {column: new for column, new, old in there if old}
