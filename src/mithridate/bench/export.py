"""Records for other tools: one flat Parquet table, or runs of MLflow.

What has no place in a flat row stays in the record alone: values per class, and curves.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from mithridate.bench.record import AXES, Record
from mithridate.core.errors import DataError
from mithridate.core.extras import import_extra
from mithridate.core.files import replacement
from mithridate.core.plain import finite

TYPES = {
    "rate": "float64", "trusted": "int64", "seed": "int64", "p_value": "float64",
    "finest_p": "float64",
}  # fmt: skip
"""Types of the first columns that are not strings."""

FIRST = ("key", *AXES, "status", "why", "outcome", "verdict", "p_value", "finest_p", "evidence")
"""The columns that every table begins with, in this order."""

PARTS = {"": "float64", "_low": "float64", "_high": "float64", "_n": "int64"}
"""What a metric's columns are called behind its name: value, interval, number of observations."""

KEY, DIGEST = "mithridate.key", "mithridate.digest"
"""Tags of a run of MLflow: the key of its record, and the digest of what the record said."""


def to_parquet(records: Iterable[Record], path: Path) -> int:
    """Write one row for each record into a Parquet file, whole or not at all; give their number.

    Columns: those of `FIRST`; of each metric NAME, NAME_low, NAME_high and NAME_n; cost_NAME;
    settings, as JSON; origin_NAME. Metrics, costs and origins are in the order of the alphabet, so
    that the same records give the same columns in whatever order they come. What was not measured,
    and an interval that is not bounded, is null.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    kept = list(records)
    schema = pa.schema([(name, getattr(pa, kind)()) for name, kind in _columns(kept).items()])
    # what a row lacks is null
    table = pa.Table.from_pylist([row(record) for record in kept], schema)
    with replacement(path) as unfinished:
        pq.write_table(table, unfinished)
    return len(kept)


def row(record: Record) -> dict[str, Any]:
    """Give a record as one flat row, without what is not known of it.

    Raises:
        DataError: where a metric has the name of another column.
    """
    verdict = record.verdict
    columns = {name: record.cell.get(name) for name in AXES}
    columns |= {name: verdict.get(name) for name in ("p_value", "finest_p")}
    columns |= {
        "key": record.key, "status": record.status, "why": record.why, "outcome": record.outcome,
        "verdict": verdict.get("answer"), "evidence": ",".join(record.evidence),
        "settings": json.dumps(finite(record.settings), sort_keys=True),
        **{f"cost_{name}": value for name, value in record.cost.items()},
        **{f"origin_{name}": value for name, value in record.origin.items()},
    }  # fmt: skip
    metrics = _numbers(record)
    if clash := sorted(columns.keys() & metrics.keys()):
        raise DataError(f"metrics {clash} have the names of other columns; rename them")
    return {n: v for n, v in finite(columns | metrics).items() if v is not None and v != ""}


def _numbers(record: Record) -> dict[str, float]:
    """The metrics of a record, flat."""
    pairs: Iterator[tuple[str, float]] = (
        (name + part, value)
        for name, metric in record.metrics.items()
        for part, value in zip(PARTS, metric, strict=True)
    )
    return dict(pairs)


def _columns(records: list[Record]) -> dict[str, str]:
    """The columns of a table of some records, with the names of their types."""
    metrics = sorted({name for record in records for name in record.metrics})
    costs = sorted({name for record in records for name in record.cost})
    origins = sorted({name for record in records for name in record.origin})
    return {
        **{name: TYPES.get(name, "string") for name in FIRST},
        **{name + part: kind for name in metrics for part, kind in PARTS.items()},
        **{f"cost_{name}": "float64" for name in costs},
        "settings": "string",
        **{f"origin_{name}": "string" for name in origins},
    }


def to_mlflow(records: Iterable[Record], uri: str, experiment: str) -> int:
    """Log each record as a run of MLflow, and give the number of runs that were written.

    Parameters are the axes of the cell, metrics the values with their intervals and the costs, tags
    the key and how the cell ended. A record that is there is left alone, and one that says
    something else by now, such as a cell that failed and was run again, replaces its run; so is a
    run that was cut off while it was written.

    Args:
        uri: of a tracking server, or sqlite:///FILE.

    Raises:
        MissingExtra: without MLflow.
    """
    client = _mlflow("mlflow").MlflowClient(tracking_uri=uri)
    known = client.get_experiment_by_name(experiment)
    home = known.experiment_id if known else client.create_experiment(experiment)
    return sum(_logged(client, home, record) for record in records)


def _logged(client: Any, home: str, record: Record) -> bool:
    """Log a record, unless just that is there; tells whether it was written."""
    digest = hashlib.blake2b(json.dumps(record.plain(), sort_keys=True).encode()).hexdigest()
    there = client.search_runs([home], filter_string=f"tags.`{KEY}` = '{record.key}'")
    if [run.data.tags.get(DIGEST) for run in there] == [digest]:
        return False
    for run in there:
        client.delete_run(run.info.run_id)
    _log(client, home, record, digest)
    return True


def _log(client: Any, home: str, record: Record, digest: str) -> None:
    entities, now = _mlflow("mlflow.entities"), int(1000 * time.time())
    flat = row(record)
    numbers = _numbers(record).keys() | {f"cost_{name}" for name in record.cost}
    tags = {"status", "why", "outcome", "verdict", "evidence"} & flat.keys()
    name = " ".join(
        str(flat[axis]) for axis in ("task", "attack", "rate", "defence") if axis in flat
    )
    run = client.create_run(home, tags={KEY: record.key, "mlflow.runName": name})
    client.log_batch(
        run.info.run_id,
        metrics=[entities.Metric(n, float(flat[n]), now, 0) for n in sorted(numbers & flat.keys())],
        params=[entities.Param(axis, str(flat[axis])) for axis in AXES if axis in flat],
        tags=[entities.RunTag(n, flat[n]) for n in sorted(tags)],
    )
    client.set_tag(run.info.run_id, DIGEST, digest)  # last: what has it is whole
    ended = "FAILED" if record.status == "failed" else "FINISHED"
    client.set_terminated(run.info.run_id, ended)


def _mlflow(module: str) -> Any:
    """A module of MLflow, which comes with mlflow as with mlflow-skinny."""
    return import_extra(
        module, "logging to MLflow needs it; install it with: pip install 'mithridate[mlflow]'"
    )
