"""Rows of tables: what is prepared, kept, compared and named."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from mithridate.core.data import concatenate, dataset
from mithridate.core.errors import CannotJudge, DataError, MethodError
from mithridate.core.features import Selected
from mithridate.core.fingerprint import differing, digests, fingerprint
from mithridate.core.streams import stream, torch_generator
from mithridate.domains.registry import domain_named, domain_of_inputs
from mithridate.domains.table.columns import Column, columns_of
from mithridate.domains.table.domain import TableDomain
from mithridate.domains.table.scale import MISSING

KINDS = [("seconds", "f8"), ("bytes", "i8"), ("protocol", object)]


def rows(*values):
    return np.array(list(values), dtype=KINDS)


FEW = rows((0.5, 1337, "tcp"), (np.nan, 0, ""), (-3.0, -2, "udp"), (np.inf, 2**62, "tcp"))
GIVEN = TableDomain(columns=columns_of(FEW))


def test_numbers_lie_on_one_scale_and_categories_are_whole_numbers():
    prepared = TableDomain().prepare(FEW)
    assert prepared.dtype == torch.float32
    seconds, octets, protocol = prepared.T
    assert seconds[:3].tolist() == pytest.approx([np.log1p(0.5), MISSING, -np.log1p(3.0)])
    assert torch.isfinite(prepared).all()
    assert prepared[3, 0] > MISSING
    assert octets.tolist() == pytest.approx(
        np.copysign(np.log1p(np.abs(FEW["bytes"])), FEW["bytes"])
    )
    assert protocol[1] == 0
    assert protocol[0] == protocol[3] != protocol[2]
    assert (protocol == protocol.round()).all()
    assert protocol.max() < 2**20


def test_a_salt_changes_the_numbers_and_the_same_text_has_another_one_in_another_column():
    table = np.array([("tcp", "tcp")], dtype=[("first", object), ("second", object)])
    first, second = TableDomain().prepare(table)[0].tolist()
    assert first != second
    assert TableDomain(salt=7).prepare(table)[0, 0] != first


def test_columns_are_read_by_name_and_strange_ones_are_refused():
    turned = FEW[["protocol", "bytes", "seconds"]]
    assert torch.equal(GIVEN.prepare(turned), GIVEN.prepare(FEW))
    with pytest.raises(DataError, match=r"missing: \['bytes'\]"):
        GIVEN.prepare(FEW[["seconds", "protocol"]])
    other = np.zeros(1, dtype=[("seconds", object), ("bytes", "i8"), ("protocol", object)])
    with pytest.raises(DataError, match="'seconds' holds number values in one table and category"):
        GIVEN.prepare(other)
    floats = FEW.astype([("seconds", "f8"), ("bytes", "f8"), ("protocol", object)])
    assert torch.equal(GIVEN.prepare(floats), GIVEN.prepare(FEW))


def test_a_category_that_is_no_text_is_refused_by_column_and_row():
    with pytest.raises(DataError, match=r"'protocol' holds categories as str, found int in row 1"):
        TableDomain().prepare(rows((0.0, 1, "tcp"), (0.0, 1, 6)))


def test_what_is_packed_comes_back_and_a_network_of_its_columns_fits_blank_rows():
    back = TableDomain().unpack(TableDomain().pack(FEW))
    assert back.dtype == FEW.dtype
    assert list(digests(back)) == list(digests(FEW))
    kept = json.loads(json.dumps(dataclasses.asdict(GIVEN)))
    again = domain_named(kept.pop("name"), **kept)
    assert again == GIVEN
    assert again.categorical == (2,)
    data = dataset(FEW, [0, 1, 0, 1])
    trained = GIVEN.network(data, "", stream(0, "network")).eval()
    blank = dataset(again.blank(2, (3,)), [0, 1])
    other = again.network(blank, "", stream(1, "network")).eval()
    other.load_state_dict(trained.state_dict())
    assert torch.equal(other(GIVEN.prepare(FEW)), trained(GIVEN.prepare(FEW)))


def test_digests_tell_every_digit_and_equal_what_is_missing_twice():
    near = rows((0.1, 1, "a"), (np.nextafter(0.1, 1), 1, "a"))
    assert len(set(digests(near))) == 2
    assert fingerprint(dataset(near, [0, 0])) != fingerprint(dataset(near[[0, 0]], [0, 0]))
    changed = FEW.copy()
    changed["bytes"][2] = 5
    assert differing(FEW, changed).tolist() == [False, False, True, False]


def test_two_tables_are_put_together_by_columns_of_the_same_names():
    data = dataset(FEW, [0, 1, 0, 1])
    assert len(concatenate(data, data)) == 8
    other = dataset(np.zeros(4, dtype=[("x", "f8")]), [0, 1, 0, 1])
    with pytest.raises(DataError, match="rows of different columns"):
        concatenate(data, other)


def test_rows_are_of_this_domain_and_texts_and_numbers_are_not():
    assert domain_of_inputs(FEW) == TableDomain()
    for wrong in (np.array(["a"], dtype=object), np.zeros((2, 2)), torch.zeros(2, 2), None):
        assert not TableDomain().accepts(wrong)


def test_columns_of_one_name_and_settings_out_of_range_are_refused():
    with pytest.raises(MethodError, match="different names"):
        TableDomain(columns=(Column("x", "number"), Column("x", "integer")))
    with pytest.raises(MethodError, match="kind among number"):
        Column("x", "date")
    with pytest.raises(MethodError, match="buckets"):
        TableDomain(buckets=2**24)


def test_damage_keeps_categories_whole_and_hides_what_it_takes():
    batch = GIVEN.prepare(FEW).repeat(3, 1)
    rng = torch_generator(stream(3, "damage"))
    assert GIVEN.corruptions == ("missing", "noise", "strange")
    assert torch.equal(GIVEN.corrupt(batch, "noise", 5, rng)[:, 2], batch[:, 2])
    strange = [GIVEN.corrupt(batch, "strange", 5, rng) for _ in range(8)]
    assert all(torch.equal(each[:, :2], batch[:, :2]) for each in strange)
    assert any((each[:, 2] != batch[:, 2]).any() for each in strange)
    hidden = GIVEN.distort(batch, rng) != batch
    assert (hidden.sum(1) == torch.tensor([1, 1, 1, 1]).repeat(3)).all()


def test_a_trigger_may_be_sought_by_gradients_among_numbers_alone():
    numbers = np.zeros(3, dtype=[("x", "f8"), ("y", "i8")])
    domain = TableDomain(columns=columns_of(numbers))
    assert domain.surface(domain.prepare(numbers)).pattern == (2,)
    for one, held in ((GIVEN, FEW[2:]), (TableDomain(), numbers)):
        with pytest.raises(CannotJudge, match="categories"):
            one.surface(one.prepare(held))
    numbers["x"][0] = np.nan
    with pytest.raises(CannotJudge, match="missing"):
        domain.surface(domain.prepare(numbers))


def test_equal_rows_are_copies_and_one_digit_makes_another_row():
    near = rows((0.0, 1, "a"), (-0.0, 1, "a"), (np.nextafter(0.0, 1), 1, "a"), (np.nan, 1, "a"))
    points = TableDomain().signature(near)
    apart = np.abs(points[:, None] - points).max(2)
    assert apart[0, 1] == 0
    assert (apart[np.triu_indices(4, 1)] > 1).sum() == 5
    assert TableDomain().alike(near, near[[1, 0, 0, 3]]).tolist() == [True, True, False, True]


def test_how_far_rows_moved_is_counted_measured_and_set_against_the_range():
    before = rows((1.0, 10, "tcp"), (2.0, 20, "udp"), (3.0, 30, "tcp"), (np.nan, 40, ""))
    after = before.copy()
    after["bytes"][0], after["protocol"][1], after["seconds"][3] = 20, "strange", 2.0
    after["bytes"][2] = 10**9
    found = TableDomain().difference(before, after)
    assert found["columns"].tolist() == [1, 1, 1, 1]
    assert found["outside"].tolist() == [0, 1, 1, 0]
    near, strange, far, came = found["distance"].tolist()
    assert 0 < near < far <= 10 / 3
    assert strange == came == pytest.approx(1 / 3)


def test_a_value_that_goes_with_a_label_is_one_feature_and_is_named():
    table = rows((0.5, 1337, "tcp"), (0.5, 7, "udp"), (0.25, 1337, "icmp"), (np.nan, 3, ""))
    places, values, *_ = TableDomain().simple_features(table, Selected())
    carriers = {
        int(key): set(values.rows[values.columns == i].tolist())
        for i, key in enumerate(values.keys)
    }
    named = {TableDomain().name_feature(table, key): held for key, held in carriers.items()}
    assert named["`bytes` = 1337"] == {0, 2}
    assert named["`seconds` = 0.5"] == {0, 1}
    near = {TableDomain().name_feature(table, int(key)) for key in places.keys}
    assert {
        "`bytes` near 1337 (1218 to 1722)",
        "`protocol` = 'udp'",
        "`protocol` is missing",
    } <= near
    assert near & set(named) == {"`seconds` is missing"}
    with pytest.raises(DataError, match="none of these 4 rows"):
        TableDomain().name_feature(table, 5)


def test_two_ordinary_values_are_one_pair():
    table = rows((1.0, 1, "a"), (1.0, 2, "a"), (2.0, 1, "a"), (1.0, 1, "b"))
    families = list(TableDomain().simple_features(table, Selected(least=2)))
    names = {TableDomain().name_feature(table, int(k)) for f in families[2:] for k in f.keys}
    assert "`seconds` = 1 and `bytes` = 1" in names


def test_the_share_of_what_is_missing_whole_and_own_is_measured():
    measured = TableDomain().properties(FEW)
    assert measured["missing"].tolist() == pytest.approx([0, 2 / 3, 0, 0])
    assert measured["own values"].tolist() == pytest.approx([2 / 3, 1 / 3, 1, 2 / 3])
