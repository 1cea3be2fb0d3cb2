"""Simple features of raw inputs: what an input has or has not, whoever looks at it.

Axes: n inputs, k features, p pairs of an input and a feature that it carries.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]

BITS, ODD = 22, np.uint64(0x9E3779B97F4A7C15)
"""At most 2^BITS buckets find rare keys before anything is sorted; ODD spreads keys over them."""


@dataclass(frozen=True, eq=False)
class Carried:
    """Which inputs carry which simple features of one family.

    Attributes:
        keys: int64[k], each once: what a feature is, the same in every process.
        rows: int64[p], positions of inputs.
        columns: int64[p], positions in `keys`; no pair of a row and a column stands twice.
    """

    keys: Integers
    rows: Integers
    columns: Integers


@dataclass(frozen=True, eq=False)
class Selected:
    """Which features are wanted.

    Attributes:
        least: fewest carriers of a feature.
        only: int64[k], the keys of the features that count; all of them where it is None.
    """

    least: int = 1
    only: Integers | None = None

    def collect(self, rows: Integers, keys: Integers) -> Carried:
        """Collect pairs of rows int64[p], ascending, and keys int64[p], some perhaps repeated."""
        known = keys if self.only is None else self.only
        least = self.least if self.only is None else 1
        bits = min(BITS, 4 + len(keys).bit_length())
        kept = (np.bincount(_bucket(known, bits), minlength=1 << bits) >= least)[
            _bucket(keys, bits)
        ]
        rows, keys = rows[kept], keys[kept]
        order = np.argsort(keys, kind="stable")
        rows, keys = rows[order], keys[order]
        first = np.append(True, keys[1:] != keys[:-1])[: len(keys)]
        fresh = first | np.append(True, rows[1:] != rows[:-1])[: len(keys)]
        columns, known = (np.cumsum(first) - 1)[fresh], keys[first]
        enough = np.bincount(columns, minlength=len(known)) >= self.least
        if self.only is not None:
            enough &= np.isin(known, self.only)
        held, place = enough[columns], np.cumsum(enough) - 1
        return Carried(known[enough], rows[fresh][held], place[columns[held]])


def _bucket(keys: Integers, bits: int) -> Integers:
    return ((keys.view(np.uint64) * ODD) >> np.uint64(64 - bits)).astype(np.int64)
