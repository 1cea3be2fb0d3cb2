"""The tables that are known by name: small ones in their layout, and the real ones."""

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mithridate.core.errors import DataError
from mithridate.domains.catalogue import open_source
from mithridate.domains.named_tables import TABLES

PLACE = Path(os.environ.get("MITHRIDATE_DATA", "nowhere"))
needs_data = pytest.mark.skipif(
    not all((PLACE / file).is_file() for each in TABLES.values() for file in each.files.values()),
    reason="needs the tables in MITHRIDATE_DATA",
)


@pytest.fixture
def made(tmp_path, monkeypatch):
    """A folder of data sets with a table whose rows repeat and carry several categories."""
    monkeypatch.setenv("MITHRIDATE_DATA", str(tmp_path))
    (tmp_path / "tabular").mkdir()
    n = 120
    kinds = ["Normal", "DoS", "Worms", "Exploits"]
    columns = {
        "id": list(range(n)), "dur": [float(i % 40) for i in range(n)],
        "proto": ["tcp", "udp", "arp"] * (n // 3), "sbytes": [i % 40 for i in range(n)],
        "attack_cat": [kinds[i % 4] for i in range(n)], "label": [int(i % 4 > 0) for i in range(n)],
    }  # fmt: skip
    pq.write_table(pa.table(columns), tmp_path / "tabular/unsw_nb15.parquet")
    attacks = {
        **columns,
        "attack": ["normal", "neptune", "smurf"] * (n // 3),
        "difficulty": [1] * n,
    }
    for name in ("id", "attack_cat", "label"):
        del attacks[name]
    for split in ("train20", "test"):
        pq.write_table(pa.table(attacks), tmp_path / f"tabular/nslkdd_{split}.parquet")


def test_a_table_of_one_file_is_parted_so_that_equal_rows_stay_together(made):
    train, test = open_source("unsw-nb15"), open_source("unsw-nb15:test")
    rows = [set(source.data.inputs.tolist()) for source in (train, test)]
    assert not rows[0] & rows[1] and not set(train.data.ids.tolist()) & set(test.data.ids.tolist())
    assert len(train.data) + len(test.data) == 120
    assert train.data.inputs.dtype.names == ("dur", "proto", "sbytes")
    assert any("'attack_cat' was left out" in note for note in train.notes)
    again = open_source("unsw-nb15:test", label="attack_cat", content="dur,sbytes")
    assert again.data.ids.tolist() == test.data.ids.tolist()
    assert "DoS" in again.data.classes and again.data.inputs.dtype.names == ("dur", "sbytes")


def test_draws_are_of_the_part_that_was_asked_for(made):
    def few(count):
        return np.arange(count)[:5]

    whole, drawn = open_source("unsw-nb15:test"), open_source("unsw-nb15:test", draw=few)
    assert drawn.data.ids.tolist() == whole.data.ids.tolist()[:5]


def test_attacks_are_one_class_unless_their_names_are_asked_for(made):
    source = open_source("nslkdd")
    assert source.data.classes == ("attack", "normal")
    assert any("label=attack" in note for note in source.notes)
    named = open_source("nslkdd:test", label="attack")
    assert named.data.classes == ("neptune", "normal", "smurf")
    assert "difficulty" not in source.data.inputs.dtype.names


def test_a_table_that_is_not_there_says_where_to_put_it(tmp_path, monkeypatch):
    monkeypatch.setenv("MITHRIDATE_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(DataError, match=r"tabular/clamp_integrated\.parquet"):
        open_source("clamp")


def repeats(source):
    """How many rows repeat others, and how many distinct rows carry several labels."""
    labels = {}
    for row, label in zip(source.data.inputs.tolist(), source.data.labels.tolist(), strict=True):
        labels.setdefault(row, []).append(label)
    several = sum(len(set(each)) > 1 for each in labels.values())
    return len(source.data) - len(labels), several


@needs_data
def test_the_real_tables_are_as_they_are_known_to_be():
    clamp = open_source("clamp")
    assert (np.diff(clamp.data.labels.numpy()) >= 0).all()
    assert clamp.data.labels.bincount().tolist() == [1987, 2182]
    pairs = open_source("nslkdd:test", label="attack")
    assert repeats(pairs) == (57, 57)
    flows = [open_source(f"unsw-nb15{part}", label="attack_cat") for part in ("", ":test")]
    counts = [repeats(source) for source in flows]
    assert counts[0][1] + counts[1][1] == 575
    assert abs((counts[0][0] + counts[1][0]) / 82332 - 1 / 3) < 0.02
