"""Benjamini-Hochberg keeps the share of false discoveries, and finds what can be found."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control

from mithridate.core.scores import conformal_p_values
from mithridate.stats.enrichment import benjamini_hochberg


@given(st.lists(st.floats(0.001, 1.0), min_size=1, max_size=40), st.sampled_from([0.05, 0.3]))
def test_it_agrees_with_scipy(values, level):
    p = np.array(values)
    adjusted = false_discovery_control(p)
    clear = np.abs(adjusted - level) > 1e-9  # the two may round differently on the border
    assert (benjamini_hochberg(p, level)[clear] == (adjusted <= level)[clear]).all()


def test_by_hand():
    p = np.array([0.01, 0.04, 0.03, 0.5])
    assert benjamini_hochberg(p, 0.05).tolist() == [True, False, False, False]
    assert benjamini_hochberg(p, 0.06).tolist() == [True, True, True, False]
    assert benjamini_hochberg(np.zeros(0), 0.05).tolist() == []


@pytest.mark.parametrize("poison", [0, 20, 100])
def test_the_share_of_false_discoveries_is_kept(poison, rng):
    """Conformal p-values that share one calibration set, 600 worlds of 400 examples."""
    shares, found = [], []
    for _ in range(600):
        truth = np.arange(400) < poison
        scores = torch.from_numpy(rng.standard_normal(400) + 4.0 * truth)
        p = conformal_p_values(scores, torch.from_numpy(rng.standard_normal(1000))).numpy()
        rejected = benjamini_hochberg(p, 0.1)
        shares.append((rejected & ~truth).sum() / max(rejected.sum(), 1))
        found.append(rejected[truth].mean() if poison else np.nan)
    error = np.std(shares) / np.sqrt(len(shares))
    assert np.mean(shares) <= 0.1 + 4 * error
    if poison == 100:
        assert np.mean(found) > 0.9


def test_a_small_trusted_set_silences_a_perfect_detector():
    """P cannot go below 1 / (m + 1), so a few perfectly ranked suspects cannot be rejected."""
    scores = torch.cat([torch.full((5,), 100.0), torch.linspace(-0.9, 0.9, 995)])
    for m, expected in ((100, 0), (10_000, 5)):
        p = conformal_p_values(scores, torch.linspace(-1, 1, m)).numpy()
        assert benjamini_hochberg(p, 0.05).sum() == expected
