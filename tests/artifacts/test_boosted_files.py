"""Boosted trees from files answer as their own library does, or it is said why they are not asked.

Each row of what was found out about these libraries is a test with the right answer.
"""

import json
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from mithridate.artifacts.boosted_fitting import fitted
from mithridate.artifacts.boosted_reading import is_boosted, open_boosted
from mithridate.artifacts.inspect import inspect_file
from mithridate.artifacts.ubjson import read_ubjson
from mithridate.artifacts.xgboost_file import read_xgboost
from mithridate.core.data import dataset
from mithridate.core.errors import DataError
from mithridate.core.streams import stream
from mithridate.pipelines import kept_network

lightgbm = pytest.importorskip("lightgbm", reason="needs pip install 'mithridate[trees]'")
pandas = pytest.importorskip("pandas", reason="writes the tables that the libraries read")

NAMES = ("size", "kind", "count", "port")
KINDS = ("ftp", "http", "ssh", "smtp", "dns", "")
PORTS = (21, 80, 443)


@dataclass(frozen=True)
class Rows:
    """Rows are prepared column by column: sign(x) log(1 + |x|), -50 for missing, hashes."""

    name: str = "rows"

    def prepare(self, rows):
        made = np.empty((len(rows), len(rows.dtype.names)), np.float32)
        for place, name in enumerate(rows.dtype.names):
            cells = rows[name]
            if cells.dtype == object:
                made[:, place] = [0 if not c else 1 + sum(c.encode()) % 1000 for c in cells]
            else:
                scaled = np.sign(cells) * np.log1p(np.abs(cells))
                made[:, place] = np.where(np.isnan(scaled), -50, scaled)
        return torch.from_numpy(made)


def table(n=300, seed=0):
    """Rows whose class hangs on a number, a category and a port; some values are missing."""
    rng = stream(seed, "rows")
    rows = np.empty(n, dtype=[("size", "f8"), ("kind", "O"), ("count", "i8"), ("port", "i8")])
    rows["size"] = np.where(rng.random(n) < 0.1, np.nan, rng.normal(size=n) * 100)
    rows["kind"] = rng.choice(KINDS, n)
    rows["count"], rows["port"] = rng.integers(0, 30, n), rng.choice(PORTS, n)
    labels = (np.nan_to_num(rows["size"]) > 0) ^ np.isin(rows["kind"], ("ftp", "dns", ""))
    return rows, (labels ^ (rows["port"] == 80)).astype(int) + (rows["count"] > 25)


def frame(rows, names=NAMES):
    """The same as people hand it to the libraries: strings and ports are categories."""
    made = pandas.DataFrame({name: rows[name] for name in names})
    made["kind"] = pandas.Categorical(made["kind"].where(made["kind"] != ""), KINDS[:-1])
    made["port"] = pandas.Categorical(made["port"], PORTS)
    return made


@pytest.fixture(scope="module", params=["lightgbm", "json", "ubj"])
def model(request, tmp_path_factory):
    """A file of three classes, and what its library answers to rows it has not seen."""
    rows, labels = table()
    asked, _ = table(80, 1)
    path = tmp_path_factory.mktemp("trees") / "model"
    if request.param == "lightgbm":
        settings = {"objective": "multiclass", "num_class": 3, "num_threads": 1, "verbosity": -1}
        data = lightgbm.Dataset(frame(rows), labels, params={"min_data_per_group": 5})
        booster = lightgbm.train({**settings, "num_leaves": 8}, data, 5)
        booster.save_model(path)
        return path, booster.predict(frame(asked), raw_score=True)
    xgboost = pytest.importorskip("xgboost", reason="needs pip install 'mithridate[xgboost]'")
    settings = {"objective": "multi:softprob", "num_class": 3, "nthread": 1, "max_depth": 4}
    data = xgboost.DMatrix(frame(rows), labels, enable_categorical=True)
    booster = xgboost.train({**settings, "max_cat_to_onehot": 1}, data, 5)
    path.write_bytes(booster.save_raw(request.param))
    matrix = xgboost.DMatrix(frame(asked), enable_categorical=True)
    return path, booster.predict(matrix, output_margin=True)


def answers(path, rows, columns=()):
    held = fitted(open_boosted(path), Rows(), rows, 3, columns)
    return held(Rows().prepare(rows)).detach().numpy()


def test_it_answers_as_its_library_does(model):
    path, theirs = model
    asked, _ = table(80, 1)
    np.testing.assert_allclose(answers(path, asked), theirs, atol=1e-5)
    assert is_boosted(path)


def test_columns_in_another_order_are_found_by_name(model):
    """Both libraries read Arrow and arrays by position: accuracy 1.00 became 0.49 in XGBoost."""
    path, theirs = model
    asked, _ = table(80, 1)
    order = ["port", "count", "size", "kind"]
    other = np.empty(80, dtype=[(name, asked.dtype[name]) for name in order])
    for name in order:
        other[name] = asked[name]
    np.testing.assert_allclose(answers(path, other), theirs, atol=1e-5)


def test_a_category_that_nobody_knows_is_missing_and_not_the_next_one(model):
    """XGBoost answers it as the next one by alphabet; in LightGBM it is missing."""
    path, _ = model
    asked, _ = table(80, 1)
    strange, missing = asked.copy(), asked.copy()
    strange["kind"], missing["kind"] = "gopher", ""
    if b"learner" in path.read_bytes():  # missing has a way of its own there; unknown is in no set
        strange["kind"] = ["gopher", "zz"] * 40
        missing["kind"] = "gopher"
    np.testing.assert_array_equal(answers(path, strange), answers(path, missing))


def retyped(rows, name, kind):
    dtype = [(each, kind if each == name else rows.dtype[each]) for each in rows.dtype.names]
    made = np.empty(len(rows), dtype=dtype)
    for each in rows.dtype.names:
        made[each] = rows[each].astype(str) if kind == "O" and each == name else rows[each]
    return made


def test_categories_of_another_type_are_refused(model):
    """Ports "80" for 80 are all missing to LightGBM, without a word."""
    path, _ = model
    with pytest.raises(DataError, match="'port' are numbers to the trees, such as 21, and strings"):
        answers(path, retyped(table(20)[0], "port", "O"))
    with pytest.raises(DataError, match="'size' is of numbers to the trees, and of categories"):
        answers(path, retyped(table(20)[0], "size", "O"))
    lacking = table(20)[0][["size", "kind", "count"]]
    with pytest.raises(DataError, match="those of the data lack 'port'"):
        answers(path, lacking)


def test_another_number_of_classes_is_refused(model):
    with pytest.raises(DataError, match="3 classes apart, and the data 2"):
        fitted(open_boosted(model[0]), Rows(), table(20)[0], 2)


def test_more_columns_are_said(model):
    rows, _ = table(20)
    more = np.empty(20, dtype=[*((n, rows.dtype[n]) for n in rows.dtype.names), ("more", "f8")])
    for name in rows.dtype.names:
        more[name] = rows[name]
    more["more"] = 0.0
    assert (
        "not given 1 columns of the data: 'more'"
        in fitted(open_boosted(model[0]), Rows(), more, 3).doubts[0]
    )


def test_a_file_of_a_model_is_looked_at_and_opened_like_any_other(model):
    path, theirs = model
    report = inspect_file(path)
    assert (report.answer, report.format) == ("clean", open_boosted(path).writer.lower())
    assert "trees" in report.findings[0].what
    asked, labels = table(80, 1)
    data = dataset(asked, labels, ["a", "b", "c"])
    opened = kept_network.deployed(path, Rows(), data, "", stream(0, "open"))
    np.testing.assert_allclose(opened(Rows().prepare(asked)).detach(), theirs, atol=1e-5)
    assert kept_network.noted(path).settings["rounds"] == "5"


def numbers_only(columns=None):
    """Trees on an array, whose columns LightGBM calls Column_0 and so on."""
    rows, labels = table()
    values = np.stack([rows["count"], np.nan_to_num(rows["size"])], 1).astype(float)
    settings = {"objective": "binary", "num_threads": 1, "verbosity": -1, "num_leaves": 4}
    booster = lightgbm.train(settings, lightgbm.Dataset(values, labels > 0), 3)
    return booster, rows[["count", "size"]]


def test_columns_without_names_must_be_named(tmp_path):
    booster, rows = numbers_only()
    path = tmp_path / "model.txt"
    booster.save_model(path)
    with pytest.raises(DataError, match="does not say what its columns are called"):
        fitted(open_boosted(path), Rows(), rows, 2)
    said = fitted(open_boosted(path), Rows(), rows, 2, ("count", "size"))
    same = fitted(open_boosted(path), Rows(), rows, 2, ("data",))
    asked = Rows().prepare(rows)
    assert torch.equal(said(asked), same(asked))
    swapped = fitted(open_boosted(path), Rows(), rows, 2, ("size", "count"))
    assert not torch.equal(said(asked), swapped(asked))
    with pytest.raises(DataError, match="read 2 columns, and those of the data lack 'sizes'"):
        fitted(open_boosted(path), Rows(), rows, 2, ("count", "sizes"))


def test_codes_whose_categories_the_file_does_not_tell_are_refused():
    rows, labels = table()
    values = np.stack([rows["port"] % 7, rows["count"]], 1).astype(float)
    settings = {"objective": "binary", "num_threads": 1, "verbosity": -1, "min_data_per_group": 1}
    data = lightgbm.Dataset(values, labels > 0, categorical_feature=[0], params=settings)
    booster = lightgbm.train(settings, data, 2)
    held = replace(open_text(booster), columns=("kind", "count"))
    with pytest.raises(DataError, match="by number and does not say which is which"):
        fitted(held, Rows(), rows[["kind", "count"]], 2)


def open_text(booster):
    from mithridate.core.lightgbm_file import read_lightgbm

    return read_lightgbm(booster.model_to_string(), "it")


def test_a_base_score_is_a_probability_for_two_classes_and_margins_for_more():
    xgboost = pytest.importorskip("xgboost", reason="needs pip install 'mithridate[xgboost]'")
    rows, labels = table()
    values = np.stack([rows["count"], rows["port"]], 1).astype(np.float32)
    for settings, wanted in (
        ({"objective": "binary:logistic"}, labels > 0),
        ({"objective": "binary:logistic", "scale_pos_weight": 9}, labels > 0),
        ({"objective": "binary:logitraw"}, labels > 0),
        ({"objective": "binary:logistic", "booster": "dart", "rate_drop": 0.5}, labels > 0),
        ({"objective": "multi:softmax", "num_class": 3, "num_parallel_tree": 2}, labels),
    ):
        data = xgboost.DMatrix(values, wanted, feature_names=["count", "port"])
        booster = xgboost.train({**settings, "nthread": 1, "max_depth": 2}, data, 4)
        held = fitted(
            read_xgboost(bytes(booster.save_raw("ubj")), "it"), Rows(), rows[["count", "port"]],
            3 if "num_class" in settings else 2,
        )  # fmt: skip
        logits = held(Rows().prepare(rows[["count", "port"]])).detach()
        if "num_class" in settings:
            assert torch.equal(logits.argmax(1), torch.from_numpy(booster.predict(data)).long())
            continue
        theirs = booster.predict(data, output_margin=True)
        np.testing.assert_allclose(logits[:, 1] - logits[:, 0], theirs, atol=1e-5)


def small():
    """A model of XGBoost in its own words, with one split."""
    tree = {
        "left_children": [1, -1, -1], "right_children": [2, -1, -1], "default_left": [1, 0, 0],
        "split_conditions": [0.5, 1.0, 2.0], "split_indices": [0, 0, 0], "split_type": [0, 0, 0],
        "sum_hessian": [3.0, 1.0, 2.0], "tree_param": {"size_leaf_vector": "1"},
    }  # fmt: skip
    return {
        "learner": {
            "feature_names": ["count"],
            "gradient_booster": {"name": "gbtree", "model": {"trees": [tree], "tree_info": [0]}},
            "learner_model_param": {"base_score": "5E-1", "num_class": "0", "num_feature": "1"},
            "objective": {"name": "binary:logistic"},
        },
    }


def changed(path, value):
    """The same with another value at a place."""
    made = small()
    held = made["learner"]
    *way, last = path.split(".")
    for step in way:
        held = held[int(step)] if isinstance(held, list) else held[step]
    held[last] = value
    return json.dumps(made).encode()


TREE = "gradient_booster.model.trees.0."


@pytest.mark.parametrize(
    "path, value, told",
    [
        ("objective.name", "reg:squarederror", "tell classes apart"),
        ("gradient_booster.name", "gblinear", "expected trees"),
        ("gradient_booster.model.tree_info", [5], "class of each tree"),
        ("gradient_booster.model.trees", [], "1 to 20,000 trees"),
        ("feature_names", ["a", "b"], "a name for each of 1 columns"),
        ("learner_model_param.base_score", "[2]", "a probability"),
        ("learner_model_param.base_score", "[nan]", "base score"),
        ("learner_model_param.num_feature", "x", "found none"),
        (TREE + "left_children", [0, -1, -1], "lead elsewhere"),
        (TREE + "left_children", [2, -1, -1], "lead elsewhere"),
        (TREE + "left_children", [9, -1, -1], "lead elsewhere"),
        (TREE + "right_children", [1e300, -1, -1], "whole numbers in right_children"),
        (TREE + "split_indices", [7, 0, 0], "expected columns 0 to 0"),
        (TREE + "split_conditions", [0.5, float("nan"), 2.0], "finite numbers"),
        (TREE + "split_type", [1, 0, 0], "found none"),
        (TREE + "sum_hessian", [], "found none"),
        (TREE + "tree_param", {"size_leaf_vector": "3"}, "one number each"),
    ],
)
def test_what_is_no_model_of_xgboost_is_refused(path, value, told):
    assert read_xgboost(json.dumps(small()).encode(), "it").classes == 2
    with pytest.raises(DataError, match=told):
        read_xgboost(changed(path, value), "it")


@pytest.mark.parametrize(
    "content",
    [
        b"{", b"{L", b"{L\x7f" + b"\xff" * 7 + b"a", b"[" * 200, b"[$d#L" + b"\x7f" * 8,
        b"[$Z#l\x7f\xff\xff\xff",
        b"{U\x01ai\x01U\x01ai\x01}", b"\xff", b"SU\x05ab", b"[$[#U\x05",
    ],
)  # fmt: skip
def test_what_is_no_ubjson_is_refused(content):
    with pytest.raises(DataError):
        read_ubjson(content)


def test_ubjson_has_names_rows_and_numbers():
    held = read_ubjson(b"{U\x01a[$l#U\x02\0\0\0\x01\0\0\0\x02U\x01b[TFZi\xffSU\x02hi]}")
    assert held["a"].tolist() == [1, 2]
    assert held["b"] == [True, False, None, -1, "hi"]
