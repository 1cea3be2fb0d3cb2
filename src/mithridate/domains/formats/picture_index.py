"""The pictures below a folder, found by whatever name a table writes for them.

Names in a table are looked up among the files that are there, and never opened as paths: what is
not below the folder cannot be named.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from mithridate.core.errors import DataError, UnsafeData
from mithridate.core.spelling import option
from mithridate.domains.formats.containers import ArchiveEntry
from mithridate.domains.formats.media import SUFFIXES
from mithridate.domains.formats.source import Reading, brief
from mithridate.domains.formats.walk import Entry, no_data

SAMPLE = 200
"""Values that are looked at to tell whether they are names of files."""

DEPTH = 5
"""Folders within folders in which pictures are looked for."""

PICTURE_NAME = re.compile(
    rf"[^\n\r]{{1,1000}}({'|'.join(map(re.escape, sorted(SUFFIXES)))})", re.IGNORECASE
)


def names_pictures(values: Sequence[object]) -> bool:
    """Whether most of the values that are there end as names of pictures do."""
    there = [value for value in values if value not in (None, "")]
    named = sum(isinstance(v, str) and PICTURE_NAME.fullmatch(v) is not None for v in there)
    return bool(there) and 2 * named > len(there)


class Below(NamedTuple):
    """A picture: its name below the folder, and where it is."""

    name: str
    entry: Entry


class PictureIndex:
    """Pictures below a folder, by their names with and without folders and suffix."""

    def __init__(self, folder: Entry, reading: Reading) -> None:
        self.files: dict[str, Entry] = {}
        self._tails: dict[str, list[str]] = defaultdict(list)
        self._stems: dict[str, list[str]] = defaultdict(list)
        entries = _packed(folder) if isinstance(folder, ArchiveEntry) else _on_disk(folder)
        for number, (name, entry) in enumerate(entries):
            reading.count(number + 1, name)
            self.files[name] = entry
            self._tails[entry.name].append(name)
            self._stems[entry.stem].append(name)
        self.folder, self.preferred = folder, ""

    def __len__(self) -> int:
        return len(self.files)

    def candidates(self, value: object) -> list[str]:
        """Give the pictures that a value of a table may mean, the best first.

        A value is a name below the folder, or ends like one, as a path from another machine does;
        its suffix may be left out.
        """
        text = str(value).strip().replace("\\", "/").removeprefix("./")
        if text in self.files:
            return [text]
        base = text.rpartition("/")[2]
        likely = self._tails.get(base) or self._stems.get(base) or []
        if len(likely) < 2:
            return list(likely)
        parts = text.split("/")[:-1]
        common = {name: _common(name.split("/")[:-1], parts) for name in likely}
        longest = max(common.values())
        best = [name for name in likely if common[name] == longest]
        return [name for name in best if _top(name) == self.preferred] or best

    def share(self, values: Iterable[object]) -> float:
        """Give the share of values that mean a picture."""
        there = [value for value in values if value not in (None, "")]
        known = sum(bool(self.candidates(value)) for value in there)
        return known / len(there) if there else 0.0

    def prefer(self, values: Sequence[object], words: Sequence[str]) -> None:
        """Settle which folder is meant where names without folders are in several.

        It is the one that holds most of the names; where several do, the one whose name has a
        word of the table's own name, as `train_images` has one of `train.csv`.
        """
        tops = sorted({_top(name) for name in self.files})
        held = dict.fromkeys(tops, 0)
        for value in values:
            for top in {_top(name) for name in self.candidates(value)}:
                held[top] += 1
        most = [top for top in tops if held[top] == max(held.values())]
        near = [top for top in most if top and _alike(top.lower(), words)]
        if len(near or most) == 1:
            self.preferred = (near or most)[0]

    def find(self, value: object) -> Below:
        """Give the picture that a value of a table means.

        Raises:
            DataError: where it means none, or several.
        UnsafeData: where it is a link out of the folder.

        """
        names = self.candidates(value)
        if not names:
            raise DataError(
                f"expected a picture named {brief(value)} beside the table or below, found none; "
                "put it there or remove the row"
            )
        if len(names) > 1:
            raise DataError(
                f"expected one picture named {brief(value)}, found {brief(names[0])} and "
                f"{brief(names[1])}; write the folder into the table"
            )
        entry = self.files[names[0]]
        if isinstance(entry, Path) and isinstance(self.folder, Path) and entry.is_symlink():
            self._follow(entry, self.folder)
        return Below(names[0], entry)

    def _follow(self, link: Path, folder: Path) -> None:
        """Refuse a link that leads out of the folder, or nowhere."""
        try:
            inside = link.resolve(strict=True).is_relative_to(folder.resolve())
        except (OSError, RuntimeError):
            raise DataError("expected a picture, found a link that leads nowhere") from None
        if not inside:
            raise UnsafeData(
                "expected only what is in the folder, found a link that leads out of the folder, "
                "which was not followed; copy its target into the folder"
            )


def _common(folders: Sequence[str], parts: Sequence[str]) -> int:
    """How many folders two paths have in common, from their ends."""
    both = zip(reversed(folders), reversed(parts), strict=False)
    count = 0
    for mine, other in both:
        if mine != other:
            break
        count += 1
    return count


def _alike(top: str, words: Sequence[str]) -> bool:
    return any(word in top or top in word for word in words if word)


def _top(name: str) -> str:
    return name.partition("/")[0] if "/" in name else ""


def _packed(folder: ArchiveEntry, depth: int = 0, before: str = "") -> Iterator[Below]:
    for name in sorted(folder.inside):
        entry = folder.inside[name]
        if no_data(name) or depth > DEPTH:
            continue
        if entry.fetch is None:
            yield from _packed(entry, depth + 1, f"{before}{name}/")
        elif entry.suffix.lower() in SUFFIXES:
            yield Below(before + name, entry)


def _on_disk(folder: Path, depth: int = 0, before: str = "") -> Iterator[Below]:
    """Go through folders without following links to other folders; what is unreadable is absent."""
    try:
        with os.scandir(folder) as inside:
            entries = sorted(inside, key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        if no_data(entry.name):
            continue
        path = folder / entry.name
        if entry.is_dir(follow_symlinks=False):
            if depth < DEPTH:
                yield from _on_disk(path, depth + 1, f"{before}{entry.name}/")
        elif path.suffix.lower() in SUFFIXES:
            yield Below(before + entry.name, path)


def refuse_names(texts: Sequence[str], reading: Reading) -> None:
    """Refuse texts that are names of files: a verdict about them would be about no data.

    Raises:
        DataError: where most texts end as pictures do, or name files that lie beside.

    """
    sample = texts[:: max(1, len(texts) // SAMPLE)]
    folder = reading.root if reading.root.is_dir() else reading.root.parent
    if not names_pictures(sample) and not _are_there(sample, folder, reading):
        return
    raise DataError(
        f"{str(reading.root)!r}: expected texts, found names of files, first {sample[0]!r}; put "
        "the pictures beside the table, or below, or choose a column of texts with "
        f"{option('content')}"
    )


def _are_there(sample: Sequence[str], folder: Path, reading: Reading) -> bool:
    """Whether most texts name files in a folder, or pictures below it without their suffix."""
    likely = [each for each in sample if each.strip() and not re.search(r"\s", each.strip())]
    likely = [each for each in likely if len(each) < 256 and ".." not in each and "\0" not in each]
    if 2 * len(likely) <= len(sample):
        return False
    there = sum((folder / each.lstrip("/")).is_file() for each in likely)
    return 2 * there > len(sample) or PictureIndex(folder, reading).share(sample) > 0.5


def readable(name: str) -> str:
    """Show a name whose bytes may be no UTF-8."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
