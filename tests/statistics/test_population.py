import numpy as np
import pytest

from mithridate.core.streams import stream
from mithridate.stats.population import standing


def test_a_hand_computed_standing():
    """One scanner of whole models: 9 among 0, 1, 2, 3 is the most extreme of five."""
    found = standing([np.array([[9.0], [0.0], [1.0], [2.0], [3.0]])])
    assert found.p_value == found.finest_p == 0.2
    assert found.by_scanner.tolist() == [0.2]
    middle = standing([np.array([[1.5], [0.0], [1.0], [2.0], [3.0]])])
    assert middle.p_value == pytest.approx(3 / 5)  # 2 and 3 lie above


def test_the_place_among_the_others_is_computed_by_hand():
    """The z of the suspect: (9 - 1.5) / 1.29 = 5.81; the statistic is that z, scaled once more."""
    x = np.array([[9.0], [0.0], [1.0], [2.0], [3.0]])
    z = [(x[i, 0] - np.delete(x[:, 0], i).mean()) / np.delete(x[:, 0], i).std(ddof=1)
         for i in range(5)]  # fmt: skip
    assert z[0] == pytest.approx(7.5 / np.std([0, 1, 2, 3], ddof=1))
    others = np.delete(z, 0)
    expected = (z[0] - others.mean()) / others.std(ddof=1)
    assert standing([x]).among[0] == pytest.approx(expected)


@pytest.mark.parametrize("shape", ["normal", "skewed", "different scales by class"])
def test_p_values_of_clean_models_are_uniform(shape):
    """600 worlds of 20 models, three scanners, ten classes: 5 % lie at or below 0.05."""
    rng, found, classes = stream(0, "population", shape), [], []
    for _ in range(600):
        drawn = rng.standard_normal((3, 20, 10))
        if shape == "skewed":
            drawn = np.exp(2 * drawn)
        if shape == "different scales by class":
            drawn *= 10.0 ** np.arange(-3, 7)
        result = standing([drawn[0], drawn[1], drawn[2, :, :1]])
        found.append(result.p_value)
        classes.append(result.by_class.min())
    found, classes = np.array(found), np.array(classes)
    for level in (0.05, 0.25, 0.5):
        assert abs((found <= level).mean() - level) < 3.5 * np.sqrt(level * (1 - level) / 600)
        assert (classes <= level).mean() <= level + 0.03, "any class, over all scanners"


def test_a_backdoored_class_is_named_whichever_scanner_sees_it():
    """Forty worlds: another class is named beside it in 5 %; more than six have a chance of 1 %."""
    rng, beside = stream(0, "power"), 0
    for world in range(40):
        drawn, seen = rng.standard_normal((2, 40, 10)), world % 2
        drawn[seen, 0, 7] += 20
        result = standing(list(drawn))
        assert result.p_value == result.finest_p == result.by_class[7]
        assert result.by_scanner[seen] == result.finest_p
        assert result.beyond > 1 and result.tail_p < result.p_value
        beside += bool((np.delete(result.by_class, 7) <= 0.05).any())
    assert beside <= 6


def test_a_model_with_another_scale_of_scores_is_like_the_others():
    """Scores of a hundred times the size change nothing; a class that stands out does."""
    drawn = stream(0, "scale").standard_normal((30, 10))
    before = standing([drawn])
    drawn[0] *= 100
    assert standing([drawn]).p_value == before.p_value
    drawn[0, 3] += 3000
    found = standing([drawn])
    assert found.p_value == found.finest_p == found.by_class[3]


@pytest.mark.parametrize("shape", ["normal", "skewed", "heavy tails", "scales of their own"])
def test_the_tail_of_clean_models_is_no_lighter_than_the_model_of_it_says(shape):
    """400 worlds: 1 % or fewer lie at or below 0.01; more than nine have a chance of 1 %."""
    rng, found = stream(0, "tail", shape), []
    for _ in range(400):
        drawn = rng.standard_normal((3, 20, 10))
        if shape == "skewed":
            drawn = np.exp(drawn)
        if shape == "heavy tails":
            drawn = rng.standard_t(3, (3, 20, 10))
        if shape == "scales of their own":
            drawn *= np.exp(rng.standard_normal((1, 20, 1)))
        found.append(standing(list(drawn)).tail_p)
    assert (np.array(found) <= 0.01).sum() <= 9
    assert (np.array(found) <= 0.05).mean() <= 0.05 + 0.03


def test_a_class_that_stands_out_does_not_make_innocent_ones_look_guilty():
    """300 worlds with one bad class: at 5 %, another one is named in no more than that."""
    rng, innocent, named = stream(0, "innocent"), 0, 0
    for _ in range(300):
        drawn = rng.standard_normal((21, 10))
        drawn[0, 7] += 30
        found = standing([drawn]).by_class
        named += found[7] <= 0.05
        innocent += bool((np.delete(found, 7) <= 0.05).any())
    assert named == 300
    assert innocent <= 26  # 15 are expected at most; 26 lie three deviations above


def test_what_shifts_all_classes_of_a_model_alike_is_no_sign():
    drawn = stream(0, "shift").standard_normal((30, 10))
    before = standing([drawn]).p_value
    drawn[0] += 100
    assert standing([drawn]).p_value == before


def test_equal_scores_flag_nothing():
    assert standing([np.ones((20, 10))]).p_value == 1.0
    assert (standing([np.full((20, 10), 1e6)]).by_class == 1.0).all()


@pytest.mark.parametrize(
    "scores", [[], [np.zeros((2, 3))], [np.zeros((5, 3)), np.zeros((4, 3))],
               [np.zeros((5, 3)), np.zeros((5, 4))]]
)  # fmt: skip
def test_wrong_shapes_are_refused(scores):
    with pytest.raises(ValueError, match="expected"):
        standing(scores)
