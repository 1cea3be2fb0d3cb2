#!/usr/bin/env bash
# Versions: polars 2.1.0, pyarrow 26.0.1.
#
# Expected: an Arrow file is eight bytes of magic, then an ordinary Arrow stream, then a
#   footer. So a file that comes through a pipe, or lost its end, can be read as a stream from
#   byte 8 on, as it can when pyarrow wrote it.
# What happens: at byte 8 write_ipc puts the bare schema message, without the marker of four
#   0xFF bytes and the length that begin every message of a stream. Readers that start at the
#   footer never look there; a stream reader fails at once. The batches do have the marker,
#   and write_ipc_stream writes a proper stream.
# Why it matters: the fallback for a cut-off table, or a scan that must not seek, works on one
#   writer's files and fails on the other's, although both open without complaint.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install polars==2.1.0 pyarrow==26.0.1 >pip.log 2>&1 || { cat pip.log; exit 1; }
venv/bin/python - <<'PY'
import io

import polars as pl
import pyarrow as pa
from pyarrow import ipc

print("polars", pl.__version__, "pyarrow", pa.__version__)
MARKER = b"\xff\xff\xff\xff"
frame = pl.DataFrame({"label": [0, 1, 2], "score": [0.5, 0.25, 0.125]})


def by_pyarrow(sink):
    table = frame.to_arrow()
    with ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


def inspect(title, write):
    sink = io.BytesIO()
    write(sink)
    data = sink.getvalue()
    assert ipc.open_file(data).read_all().to_pydict() == frame.to_dict(as_series=False)
    try:
        outcome = f"{ipc.open_stream(data[8:]).read_all().num_rows} rows"
    except (OSError, pa.ArrowInvalid) as error:
        outcome = f"{type(error).__name__}: {error}"
    batches = data.count(MARKER, 16)
    assert batches >= 1
    print(f"{title}: bytes 8-11 {data[8:12].hex()}, markers later {batches}, as a stream: {outcome}")
    return data[8:12] == MARKER, outcome


assert inspect("pyarrow", by_pyarrow) == (True, "3 rows")
marked, outcome = inspect("polars ", frame.write_ipc)
assert not marked and "rows" not in outcome
stream = io.BytesIO()
frame.write_ipc_stream(stream)
assert ipc.open_stream(stream.getvalue()).read_all().num_rows == 3
PY
