"""Parquet files."""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mithridate.core.data import Dataset
from mithridate.core.errors import DataError, UnsafeData
from mithridate.core.spelling import raised
from mithridate.domains.formats.cells import is_binary, is_text
from mithridate.domains.formats.relaying import BATCH, batches
from mithridate.domains.formats.source import Layout, Reading
from mithridate.domains.formats.walk import name_path, unreadable


class ParquetShard:
    """One Parquet file; DataError where it is none, UnsafeData where it declares too much."""

    def __init__(self, path: Path, reading: Reading) -> None:
        self.name = name_path(path, reading.root)
        buffer = map_file(path, self.name)
        try:
            plain = pq.ParquetFile(pa.BufferReader(buffer))
            self.schema: pa.Schema = plain.schema_arrow
            # Repeated values stay references, so that a small file cannot grow when it is read
            self._file = pq.ParquetFile(
                pa.BufferReader(buffer), metadata=plain.metadata,
                read_dictionary=_leaves(self.schema),
            )  # fmt: skip
            groups = [plain.metadata.row_group(i) for i in range(plain.metadata.num_row_groups)]
            self.rows, size = plain.metadata.num_rows, sum(g.total_byte_size for g in groups)
        except Exception as error:  # readers of hostile bytes raise anything
            reason = str(error).partition("\n")[0]
            raise DataError(
                f"{self.name!r}: expected a Parquet file, found a broken one ({reason}); "
                "write or download it again"
            ) from None
        if size > reading.limits.total:
            raise UnsafeData(
                f"{self.name!r}: expected at most {reading.limits.total} bytes, its header "
                f"declares {size}; {raised('total')}"
            )

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Read some columns, row group by row group."""
        for group in range(self._file.num_row_groups):
            yield from self._file.iter_batches(
                BATCH, row_groups=[group], columns=list(columns), use_threads=False
            )


def map_file(path: Path, name: str) -> pa.Buffer:
    """Map a file into memory, so that only what is looked at is read."""
    try:
        with path.open("rb") as file:
            return pa.py_buffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except ValueError:
        raise DataError(f"{name!r}: expected columns, found an empty file") from None
    except OSError as error:
        raise unreadable(name, error) from None


def _leaves(schema: pa.Schema) -> list[str]:
    """Name the columns of bytes and texts, also those inside the struct of an image."""
    paths = []
    for field in schema:
        inner = list(field.type) if pa.types.is_struct(field.type) else []
        parts = [(f"{field.name}.{part.name}", part.type) for part in inner]
        paths += [
            path
            for path, kind in parts or [(field.name, field.type)]
            if is_text(kind) or is_binary(kind)
        ]
    return paths


def write(data: Dataset, layout: Layout, path: Path) -> tuple[str, ...]:
    """Write the rows with the columns, types and metadata of the source."""
    with path.open("wb") as file, pq.ParquetWriter(file, layout.rest[0], compression="zstd") as out:
        for batch in batches(data, layout):
            out.write_batch(batch)
    return tuple(f"{path.name} row {row}" for row in range(len(data)))
