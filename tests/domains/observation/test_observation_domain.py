"""What only the domain of observations promises: its form, its features, its networks."""

import numpy as np
import pytest
import torch

from mithridate.core.data import dataset
from mithridate.core.errors import CannotJudge, DataError, MethodError
from mithridate.core.features import Selected
from mithridate.core.streams import stream
from mithridate.domains.observation.domain import ObservationDomain
from mithridate.domains.observation.form import formed
from mithridate.domains.observation.networks import build
from mithridate.domains.observation.reading import requests
from mithridate.domains.observation.showing import show
from mithridate.domains.observation.triggers import CellTrigger, ValueTrigger
from mithridate.domains.registry import domain_of_inputs

DOMAIN = ObservationDomain()
PLANES = torch.zeros(6, 5, 4, 3, dtype=torch.bool)
VECTORS = torch.arange(12).float().view(3, 1, 1, 4) / 10


@pytest.mark.parametrize(
    "inputs, name",
    [
        (PLANES, "observation"),
        (VECTORS, "observation"),
        (torch.zeros(2, 3, 8, 8, dtype=torch.uint8), "image"),
        (torch.zeros(2, 1, 1, 4, dtype=torch.uint8), "image"),
    ],
    ids=["planes", "vectors", "image", "image-of-one-row"],
)
def test_the_form_alone_tells_observations_from_images(inputs, name):
    assert domain_of_inputs(inputs).name == name


@pytest.mark.parametrize(
    "other", [torch.zeros(5, 16000), torch.zeros(5, 1, 16000), torch.zeros(5, 2, 1, 4)], ids=str
)
def test_waves_and_columns_of_numbers_are_none(other):
    assert not DOMAIN.accepts(other)


@pytest.mark.parametrize(
    "given, shape, kind",
    [
        (np.zeros((3, 4), np.float64), (3, 1, 1, 4), torch.float32),
        (np.zeros((3, 4), np.int64), (3, 1, 1, 4), torch.float32),
        (np.zeros((3, 5, 4, 2), bool), (3, 5, 4, 2), torch.bool),
        (np.ones((3, 5, 4, 2), np.uint8), (3, 5, 4, 2), torch.bool),
    ],
)
def test_arrays_of_environments_are_brought_into_form(given, shape, kind):
    made = formed(given)
    assert tuple(made.shape) == shape and made.dtype == kind


def test_pixels_and_broken_numbers_are_refused():
    with pytest.raises(DataError, match="pixels are images"):
        formed(np.full((2, 8, 8, 3), 200, np.uint8))
    with pytest.raises(DataError, match="NaN"):
        formed(np.full((2, 3), np.nan))


def test_a_trigger_sets_its_cells_or_values_and_nothing_else():
    stamped = CellTrigger(-2, 0, 2, 1)(PLANES, stream(0, "t"))
    assert stamped.sum() == 6 * 4 and stamped[:, 3:5, 0:2, 1].all()
    assert CellTrigger(0, 0, 1)(PLANES, stream(0, "t"))[:, 0, 0].all(), "all planes of a cell"
    moved = ValueTrigger((-1, 0), (2.5, -1.0))(VECTORS, stream(0, "t"))
    assert (moved[:, 0, 0, 3] == 2.5).all() and (moved[:, 0, 0, 0] == -1).all()
    assert torch.equal(moved[..., 1:3], VECTORS[..., 1:3])


@pytest.mark.parametrize(
    "trigger, inputs",
    [
        (CellTrigger(4, 0, 2), PLANES),
        (CellTrigger(0, 0, 2, 3), PLANES),
        (ValueTrigger((9,), (1.0,)), VECTORS),
        (ValueTrigger((0, 1), (1.0,)), VECTORS),
    ],
)
def test_a_trigger_that_leaves_the_observation_is_refused(trigger, inputs):
    with pytest.raises(MethodError):
        trigger(inputs, stream(0, "t"))


def carriers(inputs, name):
    """Which rows carry the feature of this name."""
    for family in DOMAIN.simple_features(inputs, Selected()):
        for column, key in enumerate(family.keys.tolist()):
            if DOMAIN.name_feature(inputs, key) == name:
                return set(family.rows[family.columns == column].tolist())
    return set()


def test_features_name_cells_pairs_planes_and_ranges():
    some = PLANES.clone()
    some[2:4, 1, 1, 0] = some[3, 1, 2, 0] = some[5, 2, 3, 0] = some[5, 2, 3, 2] = True
    assert carriers(some, "plane 0 is on at row 1, column 1") == {2, 3}
    beside = "plane 0 is on at row 1, column 1, and the cell to the right"
    assert carriers(some, beside) == {3}
    assert carriers(some, "planes 0, 2 are on at row 2, column 3") == {5}
    assert carriers(VECTORS, "value 3 from 0.5 to 1") == {1}
    assert carriers(-VECTORS, "value 3 from -1 to -0.5") == {1}


def test_a_pair_does_not_reach_around_the_edge():
    edge = PLANES.clone()
    edge[0, 1, 3, 0] = edge[0, 1, 0, 0] = edge[0, 4, 1, 0] = edge[0, 0, 1, 0] = True
    names = [
        DOMAIN.name_feature(edge, key)
        for family in DOMAIN.simple_features(edge, Selected())
        for key in family.keys.tolist()
    ]
    assert not [name for name in names if ", and" in name and "row 4" in name]
    assert not [name for name in names if "the right" in name and "column 3" in name]


def test_details_are_of_planes_alone():
    assert DOMAIN.details(PLANES).shape == (6, 60)
    with pytest.raises(CannotJudge):
        DOMAIN.details(VECTORS)


def test_a_page_shows_numbers_or_a_grid():
    shown = PLANES.clone()
    shown[0, 0, 1, 2] = True
    assert show(shown).card(0, {})["pieces"][0][0].startswith(".2.. / ....")
    assert show(VECTORS).card(1, {})["pieces"][0][0] == "0.4, 0.5, 0.6, 0.7"


def test_requests_are_lists_of_the_shape_that_environments_give():
    read = requests((1, 1, 4)).from_json([0, 0.5, 1, 2])
    assert torch.equal(read, torch.tensor([0, 0.5, 1, 2]).view(1, 1, 4))
    assert requests((2, 1, 1)).from_json([[[1]], [[0]]]).dtype == torch.bool
    for wrong in ([1, 2, 3], [1, 2, 3, [4]], [1, 2, 3, None], "1 2 3 4", [1, 2, 3, float("nan")]):
        with pytest.raises(DataError):
            requests((1, 1, 4)).from_json(wrong)


@pytest.mark.parametrize("name", ["mlp:0", "mlp:9999", "policy:sin-64", "policy:tanh-", "conv:1-2"])
def test_a_size_that_is_none_is_refused(name):
    with pytest.raises(MethodError):
        build(name, VECTORS, 2)


def test_vectors_are_standardised_by_each_value_whatever_their_order():
    data = dataset(VECTORS, [0, 1, 0])
    first, other = (
        DOMAIN.network(d, "mlp", stream(0, "n")).state_dict()
        for d in (data, data.subset([2, 0, 1]))
    )
    assert all(torch.equal(first[key], other[key]) for key in first)
    assert torch.allclose(first["0.mean"].flatten(), VECTORS.mean((0, 1, 2)))
