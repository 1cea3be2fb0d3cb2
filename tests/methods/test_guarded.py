"""The guard around a deployed model: exact rates, honest groups, and a file that says the same."""

import json

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from methods.small_guard import First, parity, shaded
from methods.victim_to_repair import ATTACK, DOMAIN, victim
from mithridate.core.errors import ContractError, DataError, EvidenceWithheld, MethodError
from mithridate.core.scores import conformal_p_values
from mithridate.core.streams import stream
from mithridate.detectors.nearest_neighbours import NearestNeighbours
from mithridate.domains.catalogue import load_named
from mithridate.pipelines.calibration import (
    POOLED,
    Calibration,
    combine_judges,
    examples_needed,
    group_classes,
)
from mithridate.pipelines.guarded import Guarded
from mithridate.pipelines.kept_guard import load_guard, save


def drawn(seed, *shape):
    return torch.from_numpy(stream(seed, "scores").normal(size=shape))


def test_the_combination_by_hand():
    calibration = torch.tensor([[1.0, 9.0], [2.0, 1.0], [3.0, 2.0]]).double()
    # (4, 0): first by judge 1 and last by judge 2, as (1, 9) is the other way round: both best
    # ranks are 1 and both sums are 1 + 4; (3, 2) is second by both; so two of four are as extreme.
    # (4, 10) is first by both: nothing else is as extreme. (0, 0) is last by both.
    scores = torch.tensor([[4.0, 0.0], [4.0, 10.0], [0.0, 0.0]]).double()
    assert combine_judges(scores, calibration).tolist() == [2 / 4, 1 / 4, 4 / 4]


def test_one_judge_is_the_conformal_p_value():
    scores, calibration = drawn(0, 50, 1).round(decimals=1), drawn(1, 30, 1).round(decimals=1)
    twice = combine_judges(scores.repeat(1, 2), calibration.repeat(1, 2))
    assert torch.equal(combine_judges(scores, calibration), twice)
    assert torch.equal(twice, conformal_p_values(scores[:, 0], calibration[:, 0]))


@pytest.mark.parametrize("k", [1, 3])
def test_p_values_of_clean_inputs_are_uniform(k):
    """1,500 worlds of 39 calibration examples: p takes 1/40 .. 40/40 equally often."""
    mixing = drawn(2, k, k)  # judges that depend on each other
    found = [
        float(combine_judges(both[:1], both[1:]))
        for both in (drawn(3, 1500, 40, k) @ mixing).unbind()
    ]
    ranks = np.round(np.array(found) * 40).astype(int)
    counts = np.bincount(ranks, minlength=41)[1:]
    assert stats.chisquare(counts).pvalue > 1e-3
    low = stats.binomtest(int((ranks <= 2).sum()), 1500).proportion_ci(0.999)
    assert low.low <= 0.05 <= low.high


def test_the_smallest_of_several_p_values_would_not_be_valid():
    """What the combination avoids: without it three judges refuse nearly three times too much."""
    worlds = drawn(4, 1500, 40, 3)
    naive = [
        min(float(conformal_p_values(w[:1, j], w[1:, j])) for j in range(3))
        for w in worlds.unbind()
    ]
    assert np.mean(np.array(naive) <= 0.05) > 0.1


def test_how_many_are_needed():
    assert [examples_needed(level) for level in (0.05, 0.01, 0.1, 0.5, 0.003)] == [
        19,
        99,
        9,
        1,
        333,
    ]
    for level in (0.05, 0.01, 0.03, 0.2):
        assert 1 / (examples_needed(level) + 1) <= level < 1 / examples_needed(level)


def test_rare_classes_share_a_pool_that_is_large_enough():
    assert group_classes(torch.tensor([50.0, 50.0]), 0.05).tolist() == [0, 1]
    assert group_classes(torch.tensor([50.0, 30.0, 5.0, 90.0]), 0.05).tolist() == [0, -1, -1, 3]
    assert group_classes(torch.tensor([50.0, 60.0, 0.0]), 0.05).tolist() == [-1, 1, -1]  # filled up
    assert group_classes(torch.tensor([10.0, 10.0, 10.0]), 0.05).tolist() == [-1] * 3


def test_each_group_has_its_own_scale():
    """Class 1 scores higher as a whole: judged with class 0 it would be refused as a whole."""
    predicted = torch.arange(200) % 2
    scores = torch.arange(200).double()[:, None] / 200 + predicted[:, None]
    own = Calibration(scores, predicted, torch.tensor([0, 1]))
    pooled = Calibration(scores, predicted, torch.tensor([POOLED, POOLED]))
    asked = torch.tensor([[1.5], [1.5]]).double()
    assert own.p_values(asked, torch.tensor([0, 1])).tolist() == [1 / 101, 51 / 101]
    assert pooled.p_values(asked, torch.tensor([0, 1])).tolist() == [51 / 201] * 2
    assert own.reached(0, 0.05) == 5 / 101 and own.groups == [0, 1]


def test_clean_inputs_are_refused_at_the_level_for_any_function():
    guard = Guarded.fitted(parity(), shaded(2000, 0), DOMAIN, [First()], 0.1)
    test = shaded(4000, 1)
    decided = guard.decide(test.inputs)
    assert torch.equal(decided.predicted, test.labels)
    refused = sum(action == "refuse" for action in decided.action)
    assert 0.07 < refused / 4000 < 0.13  # the calibration adds its own luck to the level
    assert torch.equal(
        decided.p_values <= 0.1, torch.tensor([action == "refuse" for action in decided.action])
    )
    assert "the level 0.1, by 4" in decided.why[0] and "class" in decided.why[0]
    assert guard.calibration.groups == [0, 1]


def test_a_level_that_cannot_be_reached_abstains_and_says_what_is_needed():
    guard = Guarded.fitted(parity(), shaded(60, 0), DOMAIN, [First()], 0.01)
    decided = guard.decide(shaded(50, 1).inputs)
    assert set(decided.action) == {"abstain"}
    assert decided.why[0] == (
        "cannot judge at level 0.01 with 30 trusted examples pooled over all classes; "
        "needs at least 99"
    )


def test_a_class_that_no_trusted_example_has_is_judged_in_the_pool():
    def rarely(prepared):
        return torch.where(
            prepared[:, :1, 1, 1] < 9,
            torch.eye(3)[2],
            torch.eye(3)[(prepared[:, 0, 0, 1] % 2).long()],
        )

    trusted = shaded(400, 0, 3)
    trusted = trusted.subset(trusted.inputs[:, 0, 1, 1] >= 9)
    guard = Guarded.fitted(rarely, trusted, DOMAIN, [First()])
    inputs = shaded(3, 2, 3).inputs
    inputs[0, 0, 1, 1] = 3
    decided = guard.decide(inputs)
    assert decided.predicted[0] == 2 and guard.calibration.group_of[2] == POOLED
    assert decided.action[0] != "abstain" and "classes that have few" in decided.why[0]


def test_malformed_inputs_are_refused_in_words_and_nothing_is_lost():
    guard = Guarded.fitted(parity(), shaded(200, 0), DOMAIN, [First()])
    for wrong in (torch.zeros(2, 1, 3, 3, dtype=torch.uint8), torch.zeros(2, 1, 2, 2), ["a"], None):
        with pytest.raises(DataError, match="found"):
            guard.decide(wrong)
    assert len(guard.decide(torch.zeros(0, 1, 2, 2, dtype=torch.uint8))) == 0
    assert len(guard.decide(shaded(3, 5).inputs)) == 3


def test_an_answer_that_is_not_finite_is_never_accepted():
    def broken(prepared):
        return parity()(prepared) / (prepared[:, :1, 1, 1] != 7).float()

    trusted = shaded(400, 0)
    trusted = trusted.subset(trusted.inputs[:, 0, 1, 1] != 7)
    guard = Guarded.fitted(broken, trusted, DOMAIN, [First()])
    inputs = shaded(20, 1).inputs
    inputs[3, 0, 1, 1] = 7
    decided = guard.decide(inputs)
    assert decided.action[3] == "abstain" and decided.predicted[3] == -1
    assert "not finite" in decided.why[3] and torch.isnan(decided.p_values[3])
    assert decided.action.count("abstain") == int((inputs[:, 0, 1, 1] == 7).sum())
    with pytest.raises(ContractError, match="finite for trusted examples"):
        Guarded.fitted(lambda p: parity()(p) / 0.0, trusted, DOMAIN, [First()])


def test_what_cannot_be_asked_of_a_function_is_withheld():
    with pytest.raises(EvidenceWithheld, match="model"):
        Guarded.fitted(parity(), shaded(200, 0), DOMAIN, [First(needs_model=True)])


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"level": 0.0}, "between 0 and 1"),
        ({"calibrate": 1.0}, "between 0 and 1"),
        ({"detectors": []}, "at least one detector"),
        ({"trusted": shaded(1, 0)}, "expected trusted examples"),
        ({"model": parity(3)}, "logits of 2 classes"),
    ],
)
def test_impossible_settings_are_named(changes, words):
    given = {"model": parity(), "trusted": shaded(100, 0), "domain": DOMAIN, "detectors": [First()]}
    with pytest.raises(MethodError, match=words):
        Guarded.fitted(**{**given, **changes})


@pytest.fixture(scope="module")
def guarded():
    model, trusted = victim()
    detectors = (NearestNeighbours(k=5), NearestNeighbours(k=20, metric="euclidean"))
    return Guarded.fitted(model, trusted, DOMAIN, detectors, 0.1, seed=1)


def test_clean_digits_pass_and_the_victim_is_left_as_it_was(guarded):
    test = load_named("digits", "test").data
    model = guarded.model
    before = {name: value.clone() for name, value in model.state_dict().items()}
    decided = guarded.decide(test.inputs)
    share = decided.action.count("refuse") / len(test)
    assert 0.02 < share < 0.25
    assert decided.scores.shape == (len(test), 2)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_an_input_is_judged_alike_alone_and_among_others(guarded):
    inputs = load_named("digits", "test").data.inputs[:40]
    together = guarded.decide(inputs)
    for row in (0, 17, 39):
        alone = guarded.decide(inputs[row : row + 1])
        assert alone.action == together.action[row : row + 1]
        assert torch.allclose(alone.p_values, together.p_values[row : row + 1])


def test_a_kept_guard_decides_the_same(guarded, tmp_path):
    save(guarded, tmp_path)
    again = load_guard(tmp_path, guarded.model, DOMAIN)
    triggered_test = ATTACK.triggered_test(load_named("digits", "test").data, stream(0, "trap"))
    first, second = guarded.decide(triggered_test.inputs), again.decide(triggered_test.inputs)
    assert torch.equal(first.p_values, second.p_values)
    assert first.action == second.action and first.why == second.why
    assert again.detectors == guarded.detectors and again.level == guarded.level


def test_a_guard_of_another_model_domain_or_torn_file_is_not_taken_up(guarded, tmp_path):
    save(guarded, tmp_path)
    other = DOMAIN.network(victim()[1], "resnet9:4", stream(9, "other"))
    with pytest.raises(MethodError, match="another model"):
        load_guard(tmp_path, other, DOMAIN)
    with pytest.raises(MethodError, match="domain"):
        load_guard(tmp_path, guarded.model, type(DOMAIN)(crop=0.5))
    file = tmp_path / "guard.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(DataError, match="was written with"):
        load_guard(tmp_path, guarded.model, DOMAIN)
    with pytest.raises(DataError, match="found none"):
        load_guard(tmp_path / "nowhere", guarded.model, DOMAIN)


@pytest.mark.parametrize(
    "change",
    [
        {"detectors": [{"method": "os.system", "command": "true"}]},
        {"detectors": []},
        {"detectors": [{"method": "nearest-neighbours", "path": 1}] * 2},
        {"classes": ["one"]},
        {"level": 2},
        {"level": "x"},
        {"precision": "fp8"},
        {"detectors": 3},
    ],
)
def test_a_note_that_says_something_else_is_refused_in_words(guarded, tmp_path, change):
    save(guarded, tmp_path)
    note = json.loads((tmp_path / "guard.json").read_text())
    (tmp_path / "guard.json").write_text(json.dumps({**note, **change}))
    with pytest.raises(DataError, match="a whole guard"):
        load_guard(tmp_path, guarded.model, DOMAIN)


def test_a_module_without_linear_layer_can_be_guarded():
    class Parity(nn.Module):
        def forward(self, prepared):
            return parity()(prepared)

    guard = Guarded.fitted(Parity(), shaded(200, 0), DOMAIN, [First(needs_model=True)])
    assert len(guard.decide(shaded(5, 1).inputs)) == 5
