"""Tables that name pictures and label them, as metadata.csv or train.csv.

A column of names is known by its values, which are looked up among the pictures beside the table
and below. The label is a column, several columns of 0 and 1, or the folder of each picture.
Axes: n rows, c classes.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mithridate.core.data import Dataset
from mithridate.core.errors import DataError
from mithridate.domains.formats.columns import name_columns as listed
from mithridate.domains.formats.labels import resolve
from mithridate.domains.formats.media import domain_of_files, encode, suffix_of
from mithridate.domains.formats.picture_index import Below, PictureIndex, names_pictures, readable
from mithridate.domains.formats.picture_labels import SPLIT_COLUMNS, Labelling, find_labels
from mithridate.domains.formats.source import Layout, OwnIds, Reading, Source
from mithridate.domains.formats.splits import SPLITS, choose_split, split_words
from mithridate.domains.formats.table_rows import SUFFIXES, NamedRows, rows_of
from mithridate.domains.formats.tree import pictures
from mithridate.domains.formats.walk import Entry, name_path

SAMPLE = 200
"""Rows that are looked at to find the column of names."""

NAMES = ("file_name", "filename", "image", "image_id", "image_name", "file", "path", "filepath",
         "image_path", "id_code", "id", "img", "name")  # fmt: skip
"""Usual names of the column of names, before which none else is taken where several fit."""


@dataclass(frozen=True, eq=False)
class Listed:
    """A table, and which of its columns names pictures."""

    entry: Entry
    table: NamedRows
    column: str


def find(folder: Entry, files: Sequence[Entry], reading: Reading, *, alone: bool) -> Source | None:
    """Read the pictures that tables name, where there are such tables.

    Args:
        folder: in which, or below which, the pictures are.
        files: that may be tables.
        reading: what was asked for.
        alone: whether one table was given by its path, beside which much else may lie.

    Raises:
        DataError: where pictures are named and cannot be read.

    """
    tables = [file for file in files if file.suffix.lower() in SUFFIXES]
    if not tables or reading.domain == "text":
        return None
    index = _Later(folder, reading)
    likely = [each for file in tables if (each := _listed(file, index, reading)) is not None]
    if not likely:
        return None
    chosen = likely if alone else _of_one_set(likely, reading)
    if not chosen:
        return None
    return _read(chosen, index.there, folder, reading)


class _Later:
    """The index of a folder, made when it is first asked for."""

    def __init__(self, folder: Entry, reading: Reading) -> None:
        self.folder, self.reading = folder, reading
        self._made: PictureIndex | None = None

    @property
    def there(self) -> PictureIndex:
        if self._made is None:
            self._made = PictureIndex(self.folder, self.reading)
        return self._made


def _listed(entry: Entry, index: _Later, reading: Reading) -> Listed | None:
    """Find the column of a table that names pictures, by the beginning of the table."""
    try:
        table = rows_of(entry, reading, head=True)
    except DataError:
        return None  # whoever reads it as a table will say why
    likely = [c for c in table.columns if _may_name(table.cells(c)[:SAMPLE])]
    if reading.content is not None:
        likely = [column for column in likely if column == reading.content]
    shares = {c: index.there.share(table.cells(c)[:SAMPLE]) for c in likely}
    good = [column for column in likely if shares[column] >= 0.5]
    if not good:
        return None
    usual = [c for c in good if c.lower().endswith(NAMES[0]) or c.lower() in NAMES]
    asked = [column for column in good if column == reading.content]
    chosen = max(asked or usual or good, key=lambda column: shares[column])
    return Listed(entry, table, chosen)


def _may_name(values: Sequence[Any]) -> bool:
    """Whether values could name files: as pictures do, or short, without blanks, and different."""
    there = [str(value) for value in values if value not in (None, "")]
    if names_pictures(there):
        return True
    plain = all(len(value) < 256 and not re.search(r"\s", value) for value in there)
    return bool(there) and plain and len(set(there)) > 0.9 * len(there)


def _of_one_set(likely: list[Listed], reading: Reading) -> list[Listed]:
    """Choose, of the tables of a folder that name pictures, those of one data set and split."""
    real = [each for each in likely if "submission" not in each.entry.name.lower()]
    metadata = [each for each in real if each.entry.stem.lower() == "metadata"]
    real = metadata or real
    most = max((len(each.table.columns) for each in real), default=0)
    labelled = [each for each in real if len(each.table.columns) > 1] if most > 1 else real
    left = [each for each in likely if each not in labelled]
    if left:
        names = [name_path(each.entry, reading.root) for each in left]
        reading.notes.append(f"Tables that were not read: {listed(names)}.")
    by_split: dict[str, list[Listed]] = {}
    for each in labelled:
        by_split.setdefault((split_words(each.entry.name) or [""])[0], []).append(each)
    chosen = labelled
    if len(by_split) > 1 or (reading.split and "" not in by_split):
        chosen = choose_split({k: v for k, v in by_split.items() if k}, reading)
    if len({each.table.columns for each in chosen}) > 1:
        names = [name_path(each.entry, reading.root) for each in chosen]
        raise DataError(
            f"{str(reading.root)!r}: expected one table that names the pictures, found "
            f"{listed(names)}; give the path of one"
        )
    return chosen


def _read(tables: Sequence[Listed], index: PictureIndex, folder: Entry, reading: Reading) -> Source:
    """Read the pictures of some tables with the same columns."""
    column = tables[0].column
    whole = [rows_of(each.entry, reading) for each in tables]
    rows = [row for table in whole for row in table.rows]
    reading.count(len(rows), whole[0].name)
    values = [row.get(column) for row in rows]
    index.prefer(values, split_words(tables[0].entry.name) or [tables[0].entry.stem.lower()])
    rows, named = _of_split(rows, column, index, reading)
    values = [row.get(column) for row in rows]
    labelling = find_labels(whole[0].columns, column, rows, named, reading)
    kind = domain_of_files([each.entry for each in named], reading)
    reading.expect(kind, f"a table that names files of the kind {kind}")
    names = _names(named, folder, reading)
    labels = resolve(labelling.raw, names, reading, None)
    _say(column, labelling, index, named, reading)
    inputs, kept = pictures([each.entry for each in named], labels.index, names, reading)
    layout = Layout(
        file=tables[0].entry.name, columns=whole[0].columns, content=column,
        label=labelling.columns[0] if len(labelling.columns) == 1 else "",
        spelling=labels.spelling, rest=[rows[row] for row in kept], details=whole[0].delimiter,
    )  # fmt: skip
    return reading.finish(
        "picture table", inputs, labels.index[kept], labels.classes, [names[r] for r in kept],
        layout, own=_own_ids(column, [values[r] for r in kept]),
    )  # fmt: skip


def _names(named: Sequence[Below], folder: Entry, reading: Reading) -> list[str]:
    """Give the paths of pictures below the root."""
    where = name_path(folder, reading.root) if folder != reading.root else ""
    before = f"{where}/" if where not in ("", ".") and not reading.root.is_file() else ""
    return [before + readable(each.name) for each in named]


def _own_ids(column: str, values: Sequence[Any]) -> OwnIds | None:
    """Give the names as the table writes them, where each stands once."""
    spelt = tuple(str(value) for value in values)
    return OwnIds(column, spelt) if len(set(spelt)) == len(spelt) else None


def _of_split(
    rows: list[dict[str, Any]], column: str, index: PictureIndex, reading: Reading
) -> tuple[list[dict[str, Any]], list[Below]]:
    """Find the picture of each row; of several splits in one table, one is taken."""
    kept: list[dict[str, Any]] = []
    named: list[Below] = []
    for row in rows:
        try:
            named.append(index.find(row.get(column)))
            kept.append(row)
        except DataError as error:
            reading.reject(str(row.get(column)), str(error), type(error))
    splits = _splits(kept, named)
    if splits is None:
        return kept, named
    by_split: dict[str, list[int]] = {}
    for at, split in enumerate(splits):
        by_split.setdefault(split, []).append(at)
    chosen = choose_split(by_split, reading)
    return [kept[at] for at in chosen], [named[at] for at in chosen]


def _splits(rows: Sequence[dict[str, Any]], named: Sequence[Below]) -> list[str] | None:
    """Give the split of each row, by a column or by folders; None where nothing says it."""
    columns = [c for c in (rows[0] if rows else {}) if str(c).lower() in SPLIT_COLUMNS]
    tops = [each.name.partition("/")[0] for each in named]
    for said in [*([str(row.get(column)) for row in rows] for column in columns), tops]:
        words = [SPLITS.get(each.strip().lower(), "") for each in said]
        if all(words) and len(set(words)) > 1:
            return words
    return None


def _say(
    column: str,
    labelling: Labelling,
    index: PictureIndex,
    named: Sequence[Below],
    reading: Reading,
) -> None:
    """Say what was taken for what."""
    if len(labelling.columns) > 1:
        source = f"columns {listed(labelling.columns)}"
    elif labelling.columns:
        source = f"column {labelling.columns[0]!r}"
    else:
        source = "nowhere" if reading.unlabelled else "the folders of the pictures"
    reading.notes.append(f"Column {column!r} names the pictures; their classes come from {source}.")
    unused = len(index) - len({each.name for each in named})
    if unused:
        reading.notes.append(f"{unused} pictures beside the table are not among those it names.")


def write(data: Dataset, names: tuple[str, ...], layout: Layout, folder: Path) -> tuple[str, ...]:
    """Write PNG or WAV files, and a table that names them with all columns of the source."""
    suffix = suffix_of(data.inputs)
    written = [f"{number:06d}-{Path(name).stem[:100]}{suffix}" for number, name in enumerate(names)]
    rows = []
    for image, name, label, row in zip(
        data.inputs, written, data.labels.tolist(), data.ids.tolist(), strict=True
    ):
        (folder / name).write_bytes(encode(image, layout))
        cells = {**layout.rest[row], layout.content: name}
        rows.append(cells | _label_cells(layout, label, data.classes))
    columns = list(layout.columns)
    if not layout.label and not any(name in layout.columns for name in data.classes):
        columns.append("label")
    if Path(layout.file).suffix.lower() in (".jsonl", ".ndjson"):
        lines = (json.dumps(row) + "\n" for row in rows)
        (folder / layout.file).write_text("".join(lines), encoding="utf-8")
        return tuple(written)
    with (folder / f"{Path(layout.file).stem}.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(
            file, columns, extrasaction="ignore", delimiter=layout.details or ","
        )
        table.writeheader()
        table.writerows(rows)
    return tuple(written)


def _label_cells(layout: Layout, label: int, classes: Sequence[str]) -> dict[str, Any]:
    """Spell a label in the columns that the source has for it."""
    if layout.label:
        return {layout.label: layout.spelling[label]}
    if classes[label] in layout.columns:  # a column of 0 and 1 for each class
        return {name: int(name == classes[label]) for name in classes}
    return {"label": classes[label]}
