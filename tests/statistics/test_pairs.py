"""Pairs of classes among those of other models: by hand, levels, and what stands out."""

import numpy as np
import pytest

from mithridate.core.streams import stream
from mithridate.stats.pairs import medians, nearness, table
from mithridate.stats.population import standing


def drawn(rng, models=20, classes=6):
    """Pairs of clean models: sources, targets and pairs that are near by nature, and a scale."""
    shape = (models, classes, classes - 1)
    nature = rng.standard_normal((1, *shape[1:])) + 2 * rng.standard_normal((1, classes, 1))
    scale = np.exp(rng.standard_normal((models, 1, 1)))
    return scale * (nature + 0.3 * rng.standard_normal(shape)) + rng.standard_normal((models, 1, 1))


def test_shapes_and_medians():
    flat = np.arange(12.0).reshape(1, 12)
    assert table(flat)[0].tolist() == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]]
    assert medians(table(flat)).tolist() == [[1, 4, 7, 10]]
    with pytest.raises(ValueError, match="found 7"):
        table(np.zeros((2, 7)))


def test_a_single_pair_is_seen_beside_its_row_and_column():
    pairs = drawn(stream(0, "single"))
    row = pairs[0, 2].copy()
    pairs[0, 2, 4] += 12 * np.abs(row - row.mean()).mean()
    lone = nearness(pairs)[1]
    assert lone[0].argmax() == 2 and lone[0, 2] > 2 * lone[1:].max()


def test_a_target_that_all_sources_reach_is_seen_as_it_is_and_leaves_no_single_pair():
    pairs = drawn(stream(0, "target"))
    before = nearness(pairs)[1]
    pairs[0, 3] += 12 * pairs[0].std()
    plain, lone = nearness(pairs)
    assert plain[0].argmax() == 3 and plain[0, 3] > 2 * plain[1:].max()
    assert lone[0, 3] == pytest.approx(before[0, 3], abs=0.5)


def test_few_classes_have_no_pairs_apart_from_rows_and_columns():
    assert len(nearness(drawn(stream(0, "few"), classes=4))) == 1
    assert nearness(drawn(stream(0, "two"), classes=2))[0].shape == (20, 2)


def test_p_values_of_clean_models_are_uniform():
    """100 worlds of 20 models by pairs and one other scanner: 5 % lie at or below 0.05."""
    rng, found, classes = stream(0, "uniform"), [], []
    for _ in range(100):
        result = standing([rng.standard_normal((20, 6))], pairs=[drawn(rng)])
        found.append(result.p_value)
        classes.append(result.by_class.min())
    for level in (0.05, 0.25):
        deviation = np.sqrt(level * (1 - level) / 100)
        assert abs((np.array(found) <= level).mean() - level) < 3.5 * deviation
    assert (np.array(classes) <= 0.05).mean() <= 0.05 + 0.05


def test_the_verdict_hears_of_pairs():
    """From all to all: one cheap pair for each target, by which each of them is named or nearly."""
    rng = stream(0, "verdict")
    pairs, other = drawn(rng), rng.standard_normal((20, 6))
    for target in range(6):
        pairs[0, target, target % 5] += 8 * pairs[0].std()
    found = standing([other], pairs=[pairs])
    assert found.p_value == found.finest_p == found.by_scanner[1]
    assert (found.by_class <= 0.05).sum() >= 3
    scaled = pairs.copy()
    scaled[0] *= 50
    assert standing([other], pairs=[scaled]).among[0] == pytest.approx(found.among[0])


def test_what_several_scanners_half_see_adds_up():
    """Three scanners with a class at the edge of the clean ones; each alone would not flag it."""
    rng, together, alone = stream(0, "together"), 0, 0
    for _ in range(40):
        drawn = rng.standard_normal((3, 40, 10))
        drawn[:, 0, 7] += 3
        found = standing(list(drawn))
        together += found.p_value <= 0.05
        alone += sum(found.by_scanner <= 0.05) / 3
    assert together > alone + 8


def test_equal_pairs_flag_nothing():
    assert standing([], pairs=[np.ones((20, 6, 5))]).p_value == 1.0
