"""The gzipped idx files of MNIST and Fashion-MNIST, and the binary archive of CIFAR-10.

Both are read for named sets only: they hold no class names.
Axes: n images, h rows, w columns.
"""

from __future__ import annotations

import gzip
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch

from mithridate.core.errors import DataError
from mithridate.domains.formats.npz import Details
from mithridate.domains.formats.source import Draw, Layout, Reading, Source

RECORD = 1 + 3 * 32 * 32
BATCH = 10_000


def read_idx(
    images: Path, labels: Path, classes: Sequence[str], draw: Draw | None = None
) -> Source:
    """Read a file of grey images [n, h, w] and one of labels [n]; a copy is written as npz."""
    pixels, numbers = _idx(images, 3), _idx(labels, 1)
    if len(pixels) != len(numbers):
        raise DataError(f"{labels.name!r}: expected {len(pixels)} labels, found {len(numbers)}")
    return _source(images, torch.from_numpy(pixels[:, None]), numbers, classes, "NHW", draw)


def _idx(path: Path, axes: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    try:
        with gzip.open(path, "rb") as file:
            magic = file.read(4)
            if magic != bytes([0, 0, 8, axes]):
                raise DataError(
                    f"{path.name!r}: expected idx bytes of {axes} axes, found {magic!r}"
                )
            shape = np.frombuffer(file.read(4 * axes), dtype=">u4").astype(int).tolist()
            data = _exactly(file, int(np.prod(shape, dtype=object)), path.name)
    except (OSError, EOFError, ValueError) as error:
        raise DataError(
            f"{path.name!r}: expected a gzipped idx file, found a broken one ({error}); "
            "delete it to have it downloaded again"
        ) from None
    return np.frombuffer(data, dtype=np.uint8).reshape(shape).copy()


def _exactly(file: IO[bytes] | gzip.GzipFile, size: int, name: str) -> bytes:
    limit = 2**30
    data = file.read(min(size, limit))
    if len(data) != size or file.read(1):
        raise DataError(f"{name!r}: expected {size} bytes as its header says, found another number")
    return data


def read_cifar(
    archive: Path, batches: Sequence[str], classes: Sequence[str], draw: Draw | None = None
) -> Source:
    """Read some batches of the CIFAR-10 archive; nothing is extracted to disk."""
    arrays: dict[str, np.ndarray[Any, np.dtype[np.uint8]]] = {}
    try:
        with tarfile.open(archive, "r:gz") as members:
            for member in members:
                name = member.name.rpartition("/")[2]
                file = members.extractfile(member) if name in batches else None
                if file is not None:
                    data = _exactly(file, BATCH * RECORD, name)
                    arrays[name] = np.frombuffer(data, np.uint8).reshape(BATCH, RECORD)
    except (OSError, EOFError, tarfile.TarError) as error:
        raise DataError(
            f"{archive.name!r}: expected a gzipped tar archive, found a broken one ({error}); "
            "delete it to have it downloaded again"
        ) from None
    missing = [name for name in batches if name not in arrays]
    if missing:
        raise DataError(f"{archive.name!r}: expected {missing[0]!r} in it, found it missing")
    rows = np.concatenate([arrays[name] for name in batches])
    pixels = torch.from_numpy(rows[:, 1:].reshape(-1, 3, 32, 32).copy())
    return _source(archive, pixels, rows[:, 0], classes, "NHWC", draw)


def _source(
    path: Path,
    pixels: torch.Tensor,
    labels: np.ndarray[Any, Any],
    classes: Sequence[str],
    axes: str,
    draw: Draw | None,
) -> Source:
    names = [f"{path.name} row {row}" for row in range(len(pixels))]
    layout = Layout(
        file="data.npz", content="images", label="labels", spelling=tuple(range(len(classes))),
        details=Details(axes, "classes"),
    )  # fmt: skip
    reading = Reading(path, draw=draw)
    return reading.finish("npz", pixels, labels.astype(np.int64), classes, names, layout)
