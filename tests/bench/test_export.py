"""Records reach other tools with every value in its place."""

import json
import math
import re
import sys
import types
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from mithridate.bench.export import DIGEST, FIRST, KEY, row, to_mlflow, to_parquet
from mithridate.bench.record import AXES, Record
from mithridate.core.errors import DataError, MissingExtra
from mithridate.stats.intervals import Interval


def cell(**axes):
    known = {
        "domain": "image", "task": "digits", "attack": "badnets", "rate": 0.05,
        "defence": "spectral",
        "network": "default", "precision": "bf16", "trusted": 250, "seed": 1,
        "tuning": "default", "role": "defence",
    }  # fmt: skip
    return {**known, **axes}


DONE = Record(
    key="a" * 32, cell=cell(), settings={"rules": {"took": 0.5}, "rate": 0.05}, status="done",
    metrics={"asr": Interval(0.25, 0.125, 0.5, 40), "accuracy": Interval(0.9, -math.inf, 1.0, 1)},
    outcome="secure", evidence=("features", "labels"), cost={"seconds": 1.5, "forward": 40.0},
    verdict={"answer": "flagged", "level": 0.05, "p_value": 0.001, "finest_p": 0.001},
    origin={"python": "3.11.7", "torch": "2.13.0"},
)  # fmt: skip
VOID = Record(
    key="b" * 32, cell=cell(rate=0, seed=2, role="control"), settings={}, status="void",
    why="the attack did not take", metrics={"undefended_asr": Interval(math.nan, 0.0, 1.0, 0)},
)  # fmt: skip

COLUMNS = [
    "key", "domain", "task", "attack", "rate", "defence", "network", "precision", "trusted", "seed",
    "tuning", "role", "status", "why", "outcome", "verdict", "p_value", "finest_p", "evidence",
    "accuracy", "accuracy_low", "accuracy_high", "accuracy_n",
    "asr", "asr_low", "asr_high", "asr_n",
    "undefended_asr", "undefended_asr_low", "undefended_asr_high", "undefended_asr_n",
    "cost_forward", "cost_seconds", "settings", "origin_python", "origin_torch",
]  # fmt: skip


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "records.parquet"
    assert to_parquet([DONE, VOID], path) == 2
    return path


def test_the_columns_are_in_a_stable_order(table, tmp_path):
    assert pq.read_table(table).column_names == COLUMNS
    other = tmp_path / "other.parquet"
    to_parquet([VOID, DONE], other)
    assert pq.read_schema(other) == pq.read_schema(table)


def test_every_value_is_in_its_place(table):
    done, void = pq.read_table(table).to_pylist()
    assert {name: done[name] for name in AXES} == DONE.cell
    assert (done["status"], done["why"], done["outcome"]) == ("done", None, "secure")
    assert (done["verdict"], done["p_value"], done["finest_p"]) == ("flagged", 0.001, 0.001)
    assert [done[f"asr{part}"] for part in ("", "_low", "_high", "_n")] == [0.25, 0.125, 0.5, 40]
    assert (done["cost_seconds"], done["origin_torch"]) == (1.5, "2.13.0")
    assert done["evidence"] == "features,labels"
    assert json.loads(done["settings"]) == DONE.settings
    assert void["why"] == "the attack did not take"
    assert (void["rate"], void["seed"], void["undefended_asr_n"]) == (0.0, 2, 0)


def test_what_was_not_measured_is_null(table):
    done, void = pq.read_table(table).to_pylist()
    assert done["accuracy"] == 0.9
    assert done["accuracy_low"] is None, "not bounded"
    assert done["undefended_asr"] is None
    assert void["undefended_asr"] is None, "not a number"
    empty = ["asr", "asr_n", "verdict", "p_value", "outcome", "cost_seconds", "origin_python"]
    assert [void[name] for name in empty] == [None] * len(empty)


def test_no_records_give_a_table_without_rows(tmp_path):
    assert to_parquet([], tmp_path / "none.parquet") == 0
    read = pq.read_table(tmp_path / "none.parquet")
    assert read.column_names == [*FIRST, "settings"]
    assert len(read) == 0


def test_a_table_is_whole_or_absent(table, monkeypatch):
    before = table.read_bytes()

    def breaks(_, path):
        Path(path).write_text("half")
        raise OSError("the disk is full")

    monkeypatch.setattr(pq, "write_table", breaks)
    with pytest.raises(OSError, match="disk is full"):
        to_parquet([DONE], table)
    assert table.read_bytes() == before
    assert [file.name for file in table.parent.iterdir()] == [table.name]


def test_a_metric_cannot_hide_another_column():
    with pytest.raises(DataError, match=r"\['seed'\] have the names of other columns"):
        row(replace(DONE, metrics={"seed": Interval(1.0, 0.0, 1.0, 1)}))


def expected(table):
    return [(r["key"], r["rate"], r["trusted"], r["asr"]) for r in pq.read_table(table).to_pylist()]


def test_pandas_reads_the_table(table):
    pandas = pytest.importorskip("pandas")

    read = pandas.read_parquet(table)
    assert list(read.columns) == COLUMNS
    assert read["asr"].isna().tolist() == [False, True]
    assert (read["asr"][0], read["rate"].tolist()) == (0.25, [0.05, 0.0])


def test_polars_reads_the_table(table):
    polars = pytest.importorskip("polars")

    read = polars.read_parquet(table)
    assert read.columns == COLUMNS
    assert read.select("key", "rate", "trusted", "asr").rows() == expected(table)


def test_duckdb_reads_the_table(table):
    duckdb = pytest.importorskip("duckdb")

    read = duckdb.sql(f"select key, rate, trusted, asr from '{table}'").fetchall()
    assert read == expected(table)


class Fake:
    """The calls of MLflow's client that are used, in memory."""

    stores: dict = {}  # noqa: RUF012

    def __init__(self, tracking_uri):
        self.runs = self.stores.setdefault(tracking_uri, {})

    def get_experiment_by_name(self, name):
        found = [r for r in self.runs if r[0] == name]
        return types.SimpleNamespace(experiment_id=name) if found else None

    def create_experiment(self, name):
        return name

    def search_runs(self, homes, filter_string=""):
        found = [run for (home, _), run in self.runs.items() if home in homes and not run.gone]
        if filter_string:
            tag, value = re.fullmatch(r"tags\.`(.*)` = '(.*)'", filter_string).groups()
            found = [run for run in found if run.data.tags.get(tag) == value]
        return found

    def create_run(self, home, tags):
        name = f"run{len(self.runs)}"
        data = types.SimpleNamespace(tags=dict(tags), params={}, metrics={})
        info = types.SimpleNamespace(run_id=name, status="RUNNING")
        run = types.SimpleNamespace(info=info, data=data, gone=False)
        self.runs[home, name] = run
        return run

    def run(self, name):
        return next(run for (_, known), run in self.runs.items() if known == name)

    def log_batch(self, name, metrics, params, tags):
        data = self.run(name).data
        data.metrics |= {m[0]: m[1] for m in metrics}
        data.params |= dict(params)
        data.tags |= dict(tags)

    def set_tag(self, name, key, value):
        self.run(name).data.tags[key] = value

    def set_terminated(self, name, status):
        self.run(name).info.status = status

    def delete_run(self, name):
        self.run(name).gone = True


@pytest.fixture(params=["fake", "real"])
def mlflow(request, monkeypatch, tmp_path):
    """A way to see what was logged; MLflow itself where it is installed."""
    if request.param == "fake":
        entities = types.ModuleType("mlflow.entities")
        entities.Metric = lambda *values: values
        entities.Param = entities.RunTag = lambda key, value: (key, value)
        module = types.ModuleType("mlflow")
        module.MlflowClient, module.entities = Fake, entities
        monkeypatch.setattr(Fake, "stores", {})
        monkeypatch.setitem(sys.modules, "mlflow", module)
        monkeypatch.setitem(sys.modules, "mlflow.entities", entities)
    else:
        module = pytest.importorskip("mlflow", reason="needs pip install 'mithridate[mlflow]'")
    module.uri = f"sqlite:///{tmp_path / 'runs.db'}"
    return module


def logged(mlflow):
    client = mlflow.MlflowClient(tracking_uri=mlflow.uri)
    home = client.get_experiment_by_name("sweep").experiment_id
    return {run.data.tags[KEY]: run for run in client.search_runs([home])}


def test_a_record_becomes_a_run(mlflow):
    assert to_mlflow([DONE, VOID], mlflow.uri, "sweep") == 2
    runs = logged(mlflow)
    done, void = runs[DONE.key], runs[VOID.key]
    assert done.data.params == {name: str(value) for name, value in DONE.cell.items()}
    assert done.data.metrics == {
        "accuracy": 0.9, "accuracy_high": 1.0, "accuracy_n": 1.0,
        "asr": 0.25, "asr_low": 0.125, "asr_high": 0.5, "asr_n": 40.0,
        "cost_seconds": 1.5, "cost_forward": 40.0,
    }  # fmt: skip
    assert (done.data.tags["status"], done.data.tags["verdict"]) == ("done", "flagged")
    assert done.info.status == void.info.status == "FINISHED"
    assert void.data.tags["why"] == "the attack did not take"


def test_logging_again_writes_what_is_new_or_changed_alone(mlflow):
    failed = replace(VOID, status="failed", why="ran out of memory")
    others = [replace(DONE, key=str(n) * 32) for n in range(4)]
    assert to_mlflow([DONE, failed, *others], mlflow.uri, "sweep") == 6
    assert logged(mlflow)[VOID.key].info.status == "FAILED"
    assert to_mlflow([DONE, failed, *others], mlflow.uri, "sweep") == 0
    assert to_mlflow([DONE, VOID, *others], mlflow.uri, "sweep") == 1
    assert len(logged(mlflow)) == 6
    assert logged(mlflow)[VOID.key].data.tags["status"] == "void"


def test_a_run_that_was_cut_off_is_written_again(mlflow):
    client = mlflow.MlflowClient(tracking_uri=mlflow.uri)
    home = client.create_experiment("sweep")
    client.create_run(home, tags={KEY: DONE.key})
    assert to_mlflow([DONE], mlflow.uri, "sweep") == 1
    assert DIGEST in logged(mlflow)[DONE.key].data.tags


def test_without_mlflow_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(MissingExtra, match=r"pip install 'mithridate\[mlflow\]'"):
        to_mlflow([DONE], "sqlite:///x", "sweep")
