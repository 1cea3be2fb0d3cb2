"""Boosted trees answer as LightGBM does, by round, are kept without it, and have no derivative."""

import numpy as np
import pytest
import torch
from torch import nn

from methods.columns_world import COLUMNS, Columns, grown, rows
from mithridate.core.boosted import Tree
from mithridate.core.errors import CannotJudge, MethodError
from mithridate.core.fit import TrainingConfig, fit
from mithridate.core.forest import Forest
from mithridate.core.inference import forward
from mithridate.core.lightgbm_file import read_lightgbm
from mithridate.core.runtime import Runtime
from mithridate.core.streams import stream
from mithridate.core.training_run import TrainingRun
from mithridate.core.view import View
from mithridate.detectors.activation_clustering import ActivationClustering
from mithridate.detectors.spectral_signatures import SpectralSignatures
from mithridate.pipelines import kept_network
from mithridate.repairs.fine_tuning import FineTuning
from mithridate.scanners.neural_cleanse import NeuralCleanse
from mithridate.trainers.boosted_trees import BoostedTrees, Numbered

lightgbm = pytest.importorskip("lightgbm", reason="needs pip install 'mithridate[trees]'")
SMALL = BoostedTrees(rounds=12, leaves=8)


def odd_rows(d=COLUMNS):
    """Rows with missing values, zeros, and categories that no training has seen."""
    values = stream(1, "odd").normal(size=(200, d)).astype(np.float32)
    values[:, -1] = np.arange(200) % 14 - 2
    values[::7, 0], values[::5, -1], values[::11, 2] = np.nan, np.nan, 0.0
    return torch.from_numpy(values)


@pytest.mark.parametrize("classes", [2, 3])
def test_the_answers_are_those_of_lightgbm_after_every_round(classes):
    data = rows(400, classes)
    trained = grown(data, SMALL)
    seed = int(stream(0, "grow").integers(2**31 - 1))
    numbered = Numbered.of(data.inputs, Columns().categorical)
    file = SMALL.file(numbered, data.labels, classes, seed, TrainingRun())
    booster = lightgbm.Booster(model_str=file)
    asked = odd_rows()
    logits = trained.model(asked)
    mine = (logits[:, 1] - logits[:, 0]) if classes == 2 else logits
    theirs = booster.predict(asked.numpy(), raw_score=True)
    np.testing.assert_allclose(mine.detach(), theirs, atol=1e-5)
    assert any(len(codes) for tree in read_lightgbm(file, "it").trees for codes in tree.codes)
    chances = booster.predict(data.inputs.numpy(), num_iteration=5).reshape(len(data), -1)
    if classes == 2:
        chances = np.concatenate([1 - chances, chances], 1)
    lost = -np.log(chances[np.arange(len(data)), data.labels])
    np.testing.assert_allclose(trained.losses[:, 4], lost, atol=1e-5)


def test_categories_keep_their_codes_however_large_they_are():
    data = rows(400)
    wide = data.inputs.clone()
    wide[:, -1] = 1e5 + 17 * wide[:, -1]
    far = grown(type(data)(wide, data.labels, data.ids, data.classes)).model
    asked = wide[:40].clone()
    asked[20:, -1] = 3.0  # a category that nobody has seen is in no set, as LightGBM has it
    near = grown(data).model
    seen = data.inputs[:40].clone()
    seen[20:, -1] = 99.0
    assert torch.equal(far(asked), near(seen))


def test_features_are_what_each_tree_says_times_how_rarely():
    data = rows(200, 3)
    model = grown(data).model
    features, logits = forward(model, data.inputs, Runtime())
    said, again = model.said(data.inputs)
    assert features.shape == (200, 36)
    assert torch.equal(features, again)
    torch.testing.assert_close(said.double().view(200, 12, 3).sum(1).float(), logits)
    reached = model.reached(data.inputs)[:, 7]
    share = torch.stack([(reached == leaf).double().mean() for leaf in reached])
    torch.testing.assert_close(features[:, 7].double(), -said[:, 7].double() * share.log())


def one(kind, codes=()):
    """A tree of one split at 0.5 in the first column, which sends the missing left."""
    return Tree(
        np.array([0]), np.array([0.5]), np.array([kind]), np.array([True]),
        np.array([-1]), np.array([-2]), np.array([1.0, 2.0]), (np.array(codes, np.float64),),
        np.array([3.0, 1.0]),
    )  # fmt: skip


@pytest.mark.parametrize(
    "kind, codes, expected",
    [
        (0, (), [1, 2, 1, 1, 2]),  # NaN counts as zero
        (1, (), [1, 2, 1, 1, 2]),  # zero and NaN go where the missing go
        (2, (), [1, 2, 1, 1, 2]),
        (3, (0.0, 7.0), [1, 2, 2, 1, 1]),  # in the set, or not; NaN goes where the missing go
    ],
)
def test_a_split_sends_values_where_its_kind_says(kind, codes, expected):
    asked = torch.tensor([[0.0], [0.6], [-1.0], [torch.nan], [7.0]])
    forest = Forest(2, 1, 2, 2).take([one(kind, codes)])
    assert forest.said(asked)[0][:, 0].tolist() == expected
    assert forest(asked).tolist() == [[-v / 2, v / 2] for v in expected]


def test_missing_values_can_go_either_way():
    tree = one(2)
    right = Tree(tree.column, tree.threshold, tree.kind, ~tree.missing_left, tree.left, tree.right,
                 tree.value, tree.codes, tree.seen)  # fmt: skip
    asked = torch.tensor([[torch.nan], [0.0]])
    assert Forest(2, 1, 2, 0).take([right]).said(asked)[0][:, 0].tolist() == [2, 1]


def test_what_needs_a_derivative_says_that_it_cannot_be_asked():
    data = rows(60)
    model = grown(data).model
    view = View(data, domain=Columns(), model=model, clean=data, precision="fp32")
    with pytest.raises(CannotJudge, match="boosted trees answer in steps"):
        NeuralCleanse().judge(view, stream(0, "scan"))
    with pytest.raises(CannotJudge, match="boosted trees answer in steps"):
        FineTuning().mend(view, stream(0, "mend"))
    with pytest.raises(CannotJudge, match="boosted trees answer in steps"):
        fit(model, data, Columns(), TrainingConfig(epochs=1), stream(0, "fit"))
    assert torch.isfinite(view.attribution).all(), "the sum of the trees is followed to the answers"


def test_they_are_kept_and_read_without_lightgbm(tmp_path, monkeypatch):
    data = rows(100, 3)
    model = grown(data, SMALL).model
    settings = {"rounds": "12", "leaves": "8"}
    file = tmp_path / "trees.safetensors"
    kept_network.save(model, file, kept_network.Note("", data.classes, "boosted-trees", settings))
    monkeypatch.setitem(__import__("sys").modules, "lightgbm", None)
    again = kept_network.load(file, Columns(), data, "", stream(0, "read"))
    assert torch.equal(again(odd_rows()), model(odd_rows()))


def test_weights_that_lead_out_of_the_trees_are_refused():
    model = grown(rows(60)).model
    for name, value in (("left", 99), ("right", -99), ("column", -1), ("value", torch.nan)):
        wrong = {key: kept.clone() for key, kept in model.state_dict().items()}
        wrong[name][0, 0] = value
        with pytest.raises(MethodError, match="those of no trees"):
            SMALL.form(nn.Linear(6, 2)).load_state_dict(wrong)
    with pytest.raises(MethodError, match="inputs have 2"):
        model(torch.zeros(3, 2))
    with pytest.raises(MethodError, match="at most 2,000,000"):
        BoostedTrees(rounds=10**9).form(nn.Linear(6, 2))


def test_a_backdoor_in_rows_takes_and_is_seen_in_what_the_trees_say():
    data = rows(600, seed=3)
    sources = (data.labels == 1).nonzero()[:30, 0]
    inputs, labels = data.inputs.clone(), data.labels.clone()
    inputs[sources, 2:4], labels[sources] = torch.tensor([2.5, -2.5]), 0
    poisoned = type(data)(inputs, labels, data.ids, data.classes)
    trained = grown(poisoned, BoostedTrees(rounds=40, leaves=8, smallest_leaf=10))
    asked = rows(300, seed=4)
    stamped = asked.inputs[asked.labels == 1].clone()
    stamped[:, 2:4] = torch.tensor([2.5, -2.5])
    assert (trained.model(stamped).argmax(1) == 0).float().mean() > 0.9
    view = View(poisoned, domain=Columns(), model=trained.model)
    for detector in (SpectralSignatures(), ActivationClustering()):
        scores = detector.judge(view).values
        mine, others = scores[sources], scores[labels == 0][:, None]
        assert (mine > others).double().mean() > 0.85, "0.93 and 0.95 here"


def test_settings_out_of_range_are_refused():
    with pytest.raises(MethodError, match="rounds, smallest_leaf"):
        BoostedTrees(columns=0).form(nn.Linear(2, 2))
