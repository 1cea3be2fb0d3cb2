#!/usr/bin/env bash
# Versions: polars 2.1.0, pyarrow 26.0.1.
#
# Expected: a table that pyarrow opens, prints and turns into Python lists can also be
#   filtered, compared and written to Parquet.
# What happens: Polars writes text to Arrow files as string views and categories as
#   dictionaries of them. pyarrow reads both but has no filter, take or equal for views. It
#   writes the text column to Parquet, but not the categories, which it can filter and
#   cannot cast to text: apart from equal, each column fails where the other one works.
#   Casting the dictionary's values and joining them to the codes again mends it.
# Why it matters: the usual table for a text classifier is a text column beside a category of
#   labels. Code tested on Parquet or CSV meets it only in Arrow files, and a check on one of
#   the columns says nothing about the other.
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
from pyarrow import compute, ipc, parquet

print("polars", pl.__version__, "pyarrow", pa.__version__)
labels = pl.Series(["p", "n", "p"], dtype=pl.Categorical)
frame = pl.DataFrame({"text": ["good", "bad", "fine"], "label": labels})
frame.write_ipc("t.arrow")
table = ipc.open_file("t.arrow").read_all()
assert table.to_pydict() == frame.to_dict(as_series=False)
keep = pa.array([True, False, True])
ACTIONS = {
    "filter": lambda column: column.filter(keep),
    "take": lambda column: column.take([0, 2]),
    "equal": lambda column: compute.equal(column, column[0].as_py()),
    "to text": lambda column: column.cast(pa.string()),
    "parquet": lambda column: parquet.write_table(pa.table({"c": column}), io.BytesIO()),
}


def failures(title, column):
    failed = set()
    print(f"{title}: {column.type}")
    for name, action in ACTIONS.items():
        try:
            action(column)
        except pa.ArrowNotImplementedError as error:
            failed.add(name)
            print(f"  {name}: {str(error)[:110]}")
    return failed


assert failures("text", table["text"]) == {"filter", "take", "equal"}
assert failures("label", table["label"]) == {"equal", "to text", "parquet"}
codes = table["label"].combine_chunks()
mended = pa.DictionaryArray.from_arrays(codes.indices, codes.dictionary.cast(pa.string()))
assert failures("label, values cast", mended) == set()
PY
