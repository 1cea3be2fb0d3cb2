"""Writing a data set in the format of the one it came from.

Axes: n examples.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import torch

from mithridate.core.data import Dataset
from mithridate.core.errors import DataError
from mithridate.domains.formats import (
    arrow,
    delimited,
    jsonl,
    npz,
    parquet,
    picture_tables,
    tree,
)
from mithridate.domains.formats.source import SUFFIXES, Source
from mithridate.domains.formats.walk import no_data


def write(data: Dataset, names: Sequence[str], like: Source, folder: str | Path) -> tuple[str, ...]:
    """Write data in the format of `like`, without loss, into a new folder or a new file.

    Images become PNG, sounds WAV. Other columns, their order and their metadata are kept. What is
    written appears when it is complete. Gives the names of the rows as they were written, [n].

    Args:
        data: rows of `like.data`, changed or not, found again by their ids.
        names: of each row, [n].
        folder: a name that ends like the file that `like` was read from means a file.

    Raises:
        DataError: where the folder exists and is not empty, the file exists, or the data do not fit
            `like`.
    """
    target = Path(folder)
    try:
        is_file = check_target(target, like)
        _check(data, names, like, target)
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=target.parent))
        try:
            file = target.name if is_file else like.layout.file
            written = _write(data, tuple(names), like, partial, file)
            if is_file:
                (partial / target.name).rename(target)
                partial.rmdir()
                return written
            partial.chmod(0o755)  # temporary folders are closed to others
            if target.is_dir():
                target.rmdir()
            partial.rename(target)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
    except (OSError, pa.ArrowException) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{str(target)!r}: cannot be written: {reason}; choose another") from None
    return written


def check_target(target: Path, like: Source) -> bool:
    """Say whether a copy of a source is to be a file, and not a folder, by its name.

    Raises:
        DataError: There is something already, or the name ends like a file of another format, or
            like a file where the source is a folder.

    """
    where = f"{str(target)!r}: "
    suffix, own = target.suffix.lower(), Path(like.layout.file).suffix.lower()
    if suffix not in SUFFIXES or target.is_dir():
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise DataError(f"{where}expected a new or empty folder, found something there")
        return False
    if suffix != own or not like.origin.is_file():
        source = "a folder" if like.origin.is_dir() else f"{like.format} data"
        ending = f", or a file that ends in {own}" if own and like.origin.is_file() else ""
        raise DataError(
            f"{where}expected the name of a new folder{ending}, since the data are {source}, found "
            f"a name that ends in {suffix}"
        )
    if target.exists():
        raise DataError(f"{where}expected a new file, found one there; choose another name")
    return True


def _write(
    data: Dataset, names: tuple[str, ...], like: Source, folder: Path, file: str
) -> tuple[str, ...]:
    path = folder / (f"data{Path(file).suffix or file}" if no_data(file) else file)
    if like.format in ("tree", "webdataset"):
        return tree.write(data, names, like.layout, folder)
    if like.format == "picture table":
        return picture_tables.write(data, names, like.layout, folder)
    if like.format == "npz":
        return npz.write(data, like.layout, path)
    if like.format == "parquet":
        return parquet.write(data, like.layout, path)
    if like.format == "arrow":
        return arrow.write(data, like.layout, path)
    if like.format == "jsonl":
        return jsonl.write(data, like.layout, path)
    return delimited.write(data, like.layout, path)


def _check(data: Dataset, names: Sequence[str], like: Source, folder: Path) -> None:
    where = f"{str(folder)!r}: "
    if len(names) != len(data):
        raise DataError(f"{where}expected {len(data)} names, found {len(names)}")
    if data.classes != like.data.classes:
        raise DataError(f"{where}expected the classes of the source, found others")
    if isinstance(data.inputs, torch.Tensor) != isinstance(like.data.inputs, torch.Tensor):
        raise DataError(f"{where}expected the kind of inputs that the source has, found another")
    if len(data) and not 0 <= int(data.ids.min()) <= int(data.ids.max()) < len(like.names):
        raise DataError(
            f"{where}expected ids of the source, 0..{len(like.names) - 1}, found "
            f"{int(data.ids.min())}..{int(data.ids.max())}"
        )
