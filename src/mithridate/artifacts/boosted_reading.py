"""Files of boosted trees, read as data within bounds."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from mithridate.artifacts.recognise import recognise
from mithridate.artifacts.xgboost_file import read_xgboost
from mithridate.core.boosted import BoostedFile
from mithridate.core.errors import DataError
from mithridate.core.lightgbm_file import read_lightgbm

KINDS = ("lightgbm", "xgboost")
BYTES, CELLS = 256 << 20, 50_000_000
"""The largest file, and the most numbers of the tables that its trees become."""


def is_boosted(path: Path) -> bool:
    """Tell whether a file holds boosted trees, by its bytes."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return recognise(file, path.stat().st_size) in KINDS


def open_boosted(path: Path) -> BoostedFile:
    """Read the trees in a file as data.

    Raises:
        DataError: where it is broken, too large, or holds no trees that tell classes apart.
    """
    if not path.is_file():
        raise DataError(f"{str(path)!r}: expected a file of trees, found none")
    with path.open("rb") as file:
        return read_boosted(file, repr(str(path)))


def read_boosted(file: BinaryIO, where: str) -> BoostedFile:
    """Read trees from an open file; see `open_boosted`."""
    size = os.fstat(file.fileno()).st_size
    kind = recognise(file, size)
    if size > BYTES:
        raise DataError(f"{where}: expected at most {BYTES:,} bytes of trees, found {size:,}")
    file.seek(0)
    content = file.read(BYTES)
    if kind == "xgboost":
        made = read_xgboost(content, where)
    elif kind == "lightgbm":
        made = read_lightgbm(content.decode("utf-8", "replace").replace("\r\n", "\n"), where)
    else:
        raise DataError(f"{where}: expected boosted trees of LightGBM or XGBoost, found {kind}")
    most = max(tree.most_codes for tree in made.trees)
    if (cells := len(made.trees) * made.leaves * (8 + most)) > CELLS:
        raise DataError(
            f"{where}: expected trees that fill at most {CELLS:,} numbers, found {cells:,}"
        )
    return made
