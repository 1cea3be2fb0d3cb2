"""Arrow IPC files and streams, Feather version 2 among them."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from mithridate.core.data import Dataset
from mithridate.core.errors import DataError, UnsafeData
from mithridate.core.spelling import raised
from mithridate.domains.formats.cells import as_bytes
from mithridate.domains.formats.parquet import map_file
from mithridate.domains.formats.relaying import batches
from mithridate.domains.formats.source import Layout, Reading
from mithridate.domains.formats.walk import name_path

MAGIC = b"ARROW1"
"""How a file begins and ends."""

BLOCK = 24
"""Bytes in which the index of a file says where one message lies."""

END = b"\xff\xff\xff\xff\0\0\0\0"
"""How a stream should end, though it may simply stop."""


class ArrowShard:
    """One Arrow file or stream; raises DataError where it is none, UnsafeData where it is a bomb.

    A file is read by the index at its end, as its format says: what lies between need not be a
    whole stream, and often is not. What the messages unpack to is summed before anything is
    unpacked.
    """

    def __init__(self, path: Path, reading: Reading) -> None:
        self.name = name_path(path, reading.root)
        self._buffer = map_file(path, self.name)
        head, end = bytes(self._buffer[: len(MAGIC)]), bytes(self._buffer[-len(END) :])
        self.is_file = head == MAGIC
        if self.is_file and not end.endswith(MAGIC):
            raise DataError(
                f"{self.name!r}: expected a whole Arrow file, found one that was truncated; "
                "write or download it again"
            )
        if not self.is_file and end != END:
            reading.notes.append(f"The stream {self.name!r} has no end mark: it may be cut short.")
        try:
            self.rows = self._weigh(reading)
            self.schema: pa.Schema = self._open(None).schema
            self.schema.names  # noqa: B018  # raises where a name is no UTF-8
        except DataError:
            raise
        except Exception as error:  # readers of hostile bytes raise anything
            reason = str(error).partition("\n")[0]
            raise DataError(
                f"{self.name!r}: expected an Arrow file or stream, found a broken one ({reason}); "
                "write or download it again"
            ) from None

    def _weigh(self, reading: Reading) -> int:
        """Count the rows; raises UnsafeData where the messages declare too many bytes."""
        rows, size = 0, 0
        messages = _indexed(self._buffer) if self.is_file else _streamed(self._buffer)
        for message in messages:
            more, unpacked = declared(message)
            rows, size = rows + more, size + unpacked
            reading.count(rows, self.name)
            if size > reading.limits.total:
                raise UnsafeData(
                    f"{self.name!r}: expected at most {reading.limits.total} bytes, its "
                    f"messages declare {size}; {raised('total')}"
                )
        return rows

    def _open(self, columns: Sequence[str] | None) -> Any:
        where = None if columns is None else [self.schema.get_field_index(c) for c in columns]
        options = pa.ipc.IpcReadOptions(included_fields=where, use_threads=False)
        open = pa.ipc.open_file if self.is_file else pa.ipc.open_stream
        return open(self._buffer, options=options)

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Read some columns, batch by batch; nothing is handed on before it was validated."""
        reader = self._open(columns)
        count = reader.num_record_batches if self.is_file else 0
        for batch in (reader.get_batch(i) for i in range(count)) if self.is_file else reader:
            chosen = batch.select(list(columns))
            for column in chosen.columns:
                as_bytes(column).validate(full=True)  # that texts are UTF-8 is checked row by row
            yield chosen


def _streamed(buffer: pa.Buffer) -> Iterator[pa.Message]:
    yield from pa.ipc.MessageReader.open_stream(buffer)


def _indexed(buffer: pa.Buffer) -> Iterator[pa.Message]:
    """Find the messages of a file by the index at its end, dictionaries first.

    Raises struct.error where the index points out of the file.
    """
    tail = len(MAGIC) + 4
    (length,) = struct.unpack("<i", bytes(buffer[-tail : -len(MAGIC)]))
    if not 0 < length <= buffer.size - tail:
        raise struct.error("an index of impossible length")
    footer = bytes(buffer[buffer.size - tail - length : buffer.size - tail])
    for number in (2, 3):
        if not _field(footer, _root(footer), number):
            continue
        vector = _table(footer, _root(footer), number)
        (count,) = struct.unpack_from("<I", footer, vector)
        for place in range(count):
            (start,) = struct.unpack_from("<q", footer, vector + 4 + BLOCK * place)
            if not 0 <= start < buffer.size:
                raise struct.error("an index that points out of the file")
            yield pa.ipc.read_message(buffer.slice(start))


def declared(message: pa.Message) -> tuple[int, int]:
    """How many rows a message holds, and how many bytes its body unpacks to.

    Reads the two from the message's own header (a flatbuffer), and the unpacked length of each
    compressed buffer from its first eight bytes. Raises struct.error where the header is broken.
    """
    if message.body is None or message.type not in ("record batch", "dictionary"):
        return 0, 0
    header = message.metadata.to_pybytes()
    batch = _table(header, _root(header), 2)
    is_dictionary = message.type == "dictionary"
    if is_dictionary:
        batch = _table(header, batch, 1)
    rows = 0 if is_dictionary else struct.unpack_from("<q", header, _field(header, batch, 0))[0]
    if not _field(header, batch, 3):
        return max(0, rows), message.body.size
    vector = _table(header, batch, 2)
    (count,) = struct.unpack_from("<I", header, vector)
    size = 0
    for number in range(count):
        offset, length = struct.unpack_from("<qq", header, vector + 4 + 16 * number)
        if length >= 8:
            prefix = message.body.slice(offset, 8).to_pybytes()
            size += max(length, struct.unpack("<q", prefix)[0])
    return max(0, rows), size


def _root(header: bytes) -> int:
    return int(struct.unpack_from("<I", header, 0)[0])


def _field(header: bytes, table: int, number: int) -> int:
    """Where a field of a flatbuffer table lies; 0 where it is absent."""
    vtable = table - struct.unpack_from("<i", header, table)[0]
    (length,) = struct.unpack_from("<H", header, vtable)
    at = 4 + 2 * number
    offset = struct.unpack_from("<H", header, vtable + at)[0] if at < length else 0
    return int(table + offset) if offset else 0


def _table(header: bytes, table: int, number: int) -> int:
    """Where the table or vector begins that a field points to."""
    at = _field(header, table, number)
    if not at:
        raise struct.error("a message without its body")
    return int(at + struct.unpack_from("<I", header, at)[0])


def write(data: Dataset, layout: Layout, path: Path) -> tuple[str, ...]:
    """Write the rows with the columns, types and metadata of the source, as a file or a stream."""
    new = pa.ipc.new_stream if layout.details == "stream" else pa.ipc.new_file
    with path.open("wb") as file, new(file, layout.rest[0]) as out:
        for batch in batches(data, layout):
            out.write_batch(batch)
    return tuple(f"{path.name} row {row}" for row in range(len(data)))
