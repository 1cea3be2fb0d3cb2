"""Records are read as they were written, also by later versions."""

import json
import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from mithridate.bench import migrations as module
from mithridate.bench.migrations import migrate, read_record
from mithridate.bench.record import AXES, RECORD_SCHEMA, Record
from mithridate.core.errors import DataError
from mithridate.core.plain import finite
from mithridate.stats.intervals import Interval, mean, proportion

CELL = dict.fromkeys(AXES, "a") | {"rate": 0.05, "seed": 3}


def record(**more):
    return Record("k" * 32, CELL, {"task": {"train": None}}, "done", **more)


def travelled(made):
    """Through JSON as strict as can be."""
    return read_record(json.loads(json.dumps(made.plain(), allow_nan=False)))


def same(a, b):
    return a == b or (math.isnan(a) and math.isnan(b))


numbers = st.floats(allow_nan=False, allow_infinity=False)


@settings(deadline=None)
@given(st.lists(st.tuples(numbers, numbers | st.just(-math.inf), numbers | st.just(math.inf),
                          st.integers(0, 10**6)), max_size=4))  # fmt: skip
def test_what_was_written_is_read(rows):
    made = record(
        metrics={f"m{i}": Interval(*row) for i, row in enumerate(rows)}, evidence=("clean", "x"),
        per_class={"accuracy": [0.5, 1.0]}, curves={"roc": [[0.0, 1.0]]}, outcome="open",
        verdict={"answer": "clean"}, cost={"seconds": 1.5}, origin={"python": "3"}, why="é\n",
    )  # fmt: skip
    assert travelled(made) == made


def test_what_is_not_a_number_stays_so():
    made = record(metrics={"none": proportion(0, 0), "one": mean([3.0])})
    read = travelled(made)
    assert math.isnan(read.value("none")) and read.metrics["none"][1:] == (0.0, 1.0, 0)
    assert read.metrics["one"] == (3.0, -math.inf, math.inf, 1)
    assert math.isnan(read.value("never measured"))


def test_a_record_of_a_newer_version_is_refused():
    newer = {**record().plain(), "schema": RECORD_SCHEMA + 1}
    words = f"schema {RECORD_SCHEMA + 1} and this version reads up to {RECORD_SCHEMA}; use the"
    with pytest.raises(DataError, match=words):
        read_record(newer)


@pytest.mark.parametrize(
    "harm",
    [
        lambda r: r.pop("metrics"), lambda r: r.pop("evidence"), lambda r: r.pop("key"),
        lambda r: r.update(surprise=1), lambda r: r.update(metrics={"a": [1, 2]}),
        lambda r: r.pop("schema"), lambda r: r.update(schema="one"),
    ],
    ids=range(7),
)  # fmt: skip
def test_a_broken_record_is_told_so(harm):
    plain = record(metrics={"a": Interval(1, 0, 2, 3)}).plain()
    harm(plain)
    with pytest.raises(DataError, match="record"):
        read_record(plain)


def to_two(found):
    rest = {name: value for name, value in found.items() if name != "reason"}
    return {**rest, "why": found["reason"], "schema": 2}


def to_three(found):
    return {**found, "seen": [*found.get("seen", []), 2], "schema": 3}


CHAIN = {1: to_two, 2: to_three}


def test_records_are_brought_up_one_version_at_a_time():
    first = {"schema": 1, "reason": "x", "other": 5}
    assert migrate(first, CHAIN, 3) == {"schema": 3, "why": "x", "other": 5, "seen": [2]}
    assert first == {"schema": 1, "reason": "x", "other": 5}, "the argument is left as it was"
    assert migrate({"schema": 2, "why": "y"}, CHAIN, 3)["seen"] == [2]
    assert migrate({"schema": 3}, CHAIN, 3) == {"schema": 3}


@pytest.mark.parametrize("schema", [4, 0, -1, None, "1", 1.5])
def test_no_way_leads_from_an_unknown_version(schema):
    with pytest.raises(DataError, match=f"schema {schema!r}.*up to 3"):
        migrate({"schema": schema}, CHAIN, 3)


def test_a_gap_in_the_chain_is_told():
    with pytest.raises(DataError, match="schema 2"):
        migrate({"schema": 1, "reason": ""}, {1: to_two}, 3)


@pytest.mark.parametrize("wrong", [1, 3, None])
def test_a_migration_that_does_not_lead_one_up_is_told(wrong):
    with pytest.raises(DataError, match=f"the migration of schema 1 gave {wrong!r}"):
        migrate({"schema": 1}, {1: lambda found: {**found, "schema": wrong}}, 2)


def test_old_records_are_read_through_the_chain(monkeypatch):
    def to_one(found):
        rest = {name: value for name, value in found.items() if name != "reason"}
        return {**rest, "why": found["reason"], "schema": 1}

    monkeypatch.setitem(module.MIGRATIONS, 0, to_one)
    old = record(why="because").plain()
    old["settings"] = {"task": {"data": "digits"}}
    old["cell"] = {n: v for n, v in old["cell"].items() if n != "domain"}
    old |= {"schema": 0, "reason": old.pop("why")}
    read = read_record(old)
    assert (read.why, read.cell["domain"], read.schema) == ("because", "image", RECORD_SCHEMA)


def test_the_first_schema_gets_the_domain_that_its_data_are_of():
    named = {"settings": {"task": {"data": "sst2"}}, "cell": {"task": "x"}, "schema": 1}
    assert migrate(named)["cell"] == {"domain": "text", "task": "x"}
    own = {**named, "settings": {"task": {"data": "some/folder"}}}
    assert migrate(own)["cell"]["domain"] == "" and migrate(own)["schema"] == RECORD_SCHEMA
    assert named["cell"] == {"task": "x"}, "the argument is left as it was"


def test_every_schema_up_to_the_newest_has_its_migration():
    assert set(module.MIGRATIONS) == set(range(1, RECORD_SCHEMA))


def test_finite_looks_everywhere():
    deep = {"a": [1.0, float("inf"), (float("nan"), {"b": -float("inf")})], "c": "nan"}
    assert finite(deep) == {"a": [1.0, None, [None, {"b": None}]], "c": "nan"}


def test_real_records_travel_too(swept):
    for made in swept.records:
        assert made.plain() == travelled(made).plain()
        assert tuple(made.cell) == AXES
        assert made.status in ("done", "void")


COMMITTED = sorted((Path(__file__).parents[2] / "results").glob("*/records.parquet"))


@pytest.mark.parametrize("table", COMMITTED, ids=lambda path: path.parent.name)
def test_committed_records_stay_readable(table):
    """They were written with other keys, which name their cells as before and nothing else."""
    rows = parquet.read_table(table).to_pylist()
    assert rows and len({row["key"] for row in rows}) == len(rows)
    assert {row["status"] for row in rows} <= {"done", "void", "skipped", "failed"}
    for row in rows:
        cell = {name: row[name] for name in AXES if name in row}
        metrics = {
            name.removesuffix("_low"): [
                row[name.removesuffix("_low")], row[name], row[name.replace("_low", "_high")],
                row[name.replace("_low", "_n")],
            ]
            for name in row if name.endswith("_low") and row[name.removesuffix("_low")] is not None
        }  # fmt: skip
        plain = {
            "key": row["key"], "cell": cell, "settings": json.loads(row["settings"]),
            "status": row["status"], "why": row.get("why") or "", "metrics": metrics,
            "evidence": [], "schema": RECORD_SCHEMA if "domain" in row else 1,
        }  # fmt: skip
        read = read_record(plain)
        assert read.cell["domain"] in ("image", "text") and read.status == row["status"]
