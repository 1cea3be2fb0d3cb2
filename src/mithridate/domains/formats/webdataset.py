"""WebDataset shards: tar archives in which files of one key make up an example.

`0001.jpg` and `0001.cls` are one example; the key ends at the first dot of the name. The label is
the text of `.cls`, or a value in the object of `.json`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from mithridate.core.errors import DataError
from mithridate.core.spelling import option
from mithridate.domains.formats.columns import LABELS, choose
from mithridate.domains.formats.containers import ArchiveEntry
from mithridate.domains.formats.decoding import SUFFIXES
from mithridate.domains.formats.labels import resolve
from mithridate.domains.formats.source import Layout, Reading, Source
from mithridate.domains.formats.tree import pictures
from mithridate.domains.formats.walk import name_path, no_data

LABEL = ("cls", "json")
"""Parts of an example that may hold its label, the likeliest first."""


@dataclass(frozen=True, eq=False)
class Example:
    """The files of one key, by what follows the first dot of their names."""

    key: str
    parts: dict[str, ArchiveEntry] = field(default_factory=dict)


def is_one(top: ArchiveEntry) -> bool:
    """Whether an archive, or one of several, has files that label others of the same key."""
    return any(
        any(part in example.parts for part in LABEL) and _pictures(example)
        for example in _examples(top)
    )


def read(top: ArchiveEntry, reading: Reading) -> Source:
    """Read the picture and the label of every key.

    Raises:
        DataError: where a key has no picture or several, or no label.

    """
    reading.expect("image", "WebDataset shards")
    examples = [example for example in _examples(top) if _is_whole(example, reading)]
    part = _chosen(examples, reading)
    names = [name_path(each.parts[part], reading.root) for each in examples]
    raw = _labels(examples, names, reading)
    labels = resolve(raw, names, reading, None)
    inputs, kept = pictures([each.parts[part] for each in examples], labels.index, names, reading)
    kept_names = [names[row] for row in kept]
    return reading.finish(
        "webdataset", inputs, labels.index[kept], labels.classes, kept_names, Layout()
    )


def _examples(top: ArchiveEntry) -> list[Example]:
    """Group the files by key, in the order of the keys."""
    by_key: dict[str, Example] = {}
    for entry in _files(top):
        base, _, part = entry.name.partition(".")
        key = (entry.place.parent / base).as_posix()
        by_key.setdefault(key, Example(key)).parts[part.lower()] = entry
    return [by_key[key] for key in sorted(by_key)]


def _files(folder: ArchiveEntry) -> Iterator[ArchiveEntry]:
    for entry in folder.inside.values():
        if entry.fetch is None:
            yield from _files(entry)
        elif not no_data(entry.name):
            yield entry


def _pictures(example: Example) -> list[str]:
    return [part for part in example.parts if f".{part.rpartition('.')[2]}" in SUFFIXES]


def _is_whole(example: Example, reading: Reading) -> bool:
    """Whether a key has a picture; rejects it where it has none."""
    if _pictures(example):
        return True
    parts = ", ".join(f".{part}" for part in example.parts)
    reading.reject(example.key, f"expected a picture of this key, found {parts}; remove or add it")
    return False


def _chosen(examples: Sequence[Example], reading: Reading) -> str:
    """Choose the part that holds the pictures: what all keys have, or what was asked for."""
    counts = Counter(part for example in examples for part in _pictures(example))
    if reading.content is not None:
        counts = Counter({reading.content.lstrip(".").lower(): len(examples)})
    whole = [part for part, count in counts.items() if count == len(examples)]
    if len(whole) == 1:
        return _same(whole[0], examples)
    if len(whole) > 1:
        raise DataError(
            f"{str(reading.root)!r}: expected one picture for each key, found "
            f"{', '.join(f'.{part}' for part in whole)}; name one with {option('content')}"
        )
    for example in examples:  # pictures of several formats, one for each key
        own = _pictures(example)
        if len(own) != 1:
            raise DataError(
                f"{example.key!r}: expected one picture for each key, found "
                f"{', '.join(f'.{part}' for part in own)}; name one with {option('content')}"
            )
        example.parts[""] = example.parts[own[0]]
    return ""


def _same(part: str, examples: Sequence[Example]) -> str:
    for example in examples:
        if part not in example.parts:
            raise DataError(f"{example.key!r}: expected a file .{part}, found none")
    return part


def _labels(examples: Sequence[Example], names: Sequence[str], reading: Reading) -> list[Any]:
    """Read the raw label of every key, None where it has none."""
    kind = next((part for part in LABEL if any(part in each.parts for each in examples)), "")
    labels: list[Any] = []
    for example, name in zip(examples, names, strict=True):
        entry = example.parts.get(kind)
        try:
            labels.append(_parsed(kind, entry, reading) if entry is not None else None)
        except DataError as error:
            reading.reject(name, str(error), type(error))
            labels.append(None)
    if kind != "json":
        return labels
    objects = [each if isinstance(each, dict) else {} for each in labels]
    columns = list(dict.fromkeys(key for each in objects for key in each))
    label = choose("label", reading.label, columns, LABELS, reading)
    return [each.get(label) for each in objects]


def _parsed(kind: str, entry: ArchiveEntry, reading: Reading) -> Any:
    assert entry.fetch is not None
    data = entry.fetch()
    try:
        return data.decode("utf-8").strip() if kind == "cls" else json.loads(data)
    except (ValueError, RecursionError) as error:
        what = "a label in UTF-8" if kind == "cls" else "one JSON object"
        raise DataError(f"expected {what} in {entry.name!r}, found another ({error})") from None
