"""Texts in JSON lines: one object a line."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

from mithridate.core.data import Dataset
from mithridate.core.errors import DataError
from mithridate.domains.formats.columns import LABELS, TEXTS, choose, unique
from mithridate.domains.formats.delimited import check_text_file
from mithridate.domains.formats.labels import resolve
from mithridate.domains.formats.source import Layout, Reading, Source, brief
from mithridate.domains.formats.texts import gather
from mithridate.domains.formats.walk import name_path, unreadable

Object = dict[str, Any]


def read(files: Sequence[Path], reading: Reading) -> Source:
    """Read the text and the label of every object; their names are those of the first object."""
    reading.expect("text", "jsonl")
    pairs = [pair for file in files for pair in _objects(file, reading)]
    names, objects = [name for name, _ in pairs], [each for _, each in pairs]
    columns = list(objects[0]) if objects else []
    label = choose("label", reading.label, columns, LABELS, reading)
    left = [c for c in columns if c != label]
    only = left[0] if len(left) == 1 else None
    content = choose("content", reading.content, left, TEXTS, reading, only)
    labels = resolve([each.get(label) for each in objects], names, reading, None)
    inputs, kept = gather((each.get(content) for each in objects), labels.index, names, reading)
    layout = Layout(
        file=files[0].name, columns=tuple(columns), content=content, label=label,
        spelling=labels.spelling, rest=[objects[row] for row in kept],
    )  # fmt: skip
    kept_names = [names[row] for row in kept]
    return reading.finish("jsonl", inputs, labels.index[kept], labels.classes, kept_names, layout)


def _objects(path: Path, reading: Reading) -> Iterator[tuple[str, Object]]:
    """Yield the name and the object of every line that is not blank."""
    name = name_path(path, reading.root)
    check_text_file(path, name, reading)
    row = 0
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                text = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
                if not text.strip():
                    continue
                reading.count(row + 1, name)
                try:
                    yield f"{name} row {row}", _parse(text)
                except DataError as error:
                    reading.reject(f"{name} row {row}", f"{error}, in line {number}", type(error))
                row += 1
    except OSError as error:
        raise unreadable(name, error) from None


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
    """Write one object a line with all keys of the source."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for text, label, row in zip(
            data.inputs, data.labels.tolist(), data.ids.tolist(), strict=True
        ):
            new = {layout.content: text, layout.label: layout.spelling[label]}
            # Escapes, because other fields may hold what UTF-8 cannot
            file.write(json.dumps(layout.rest[row] | new) + "\n")
    return tuple(f"{path.name} row {row}" for row in range(len(data)))
