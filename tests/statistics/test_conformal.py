"""Conformal p-values are uniform where nothing is wrong, and conservative under ties."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from mithridate.core.method import Detector
from mithridate.core.registry import find
from mithridate.core.scores import conformal_p_values
from mithridate.core.streams import stream
from mithridate.core.view import View

WORLDS = 4000
LEVELS = (0.01, 0.05, 0.1, 0.2, 0.5, 0.8)


def p_of_one_clean_unit(rng, m, rounding=None):
    """The p-value of one clean unit against m others of the same world, in many worlds."""
    drawn = rng.standard_gamma(2.0, (WORLDS, m + 1))
    if rounding:
        drawn = np.round(drawn / rounding) * rounding
    drawn = torch.from_numpy(drawn)
    return np.array([conformal_p_values(row[:1], row[1:]).item() for row in drawn])


@pytest.mark.parametrize("m", [1, 19, 99, 250])
def test_p_values_are_uniform_on_their_grid(m, rng):
    found = p_of_one_clean_unit(rng, m)
    counts = np.bincount(np.round(found * (m + 1)).astype(int) - 1, minlength=m + 1)
    assert stats.chisquare(counts).pvalue > 1e-4
    assert found.min() == pytest.approx(1 / (m + 1))


@pytest.mark.parametrize("rounding", [0.5, 2.0, 100.0])
def test_ties_make_p_values_larger_never_smaller(rounding, rng):
    found = p_of_one_clean_unit(rng, 99, rounding)
    for level in LEVELS:
        error = np.sqrt(level * (1 - level) / WORLDS)
        assert (found <= level).mean() <= level + 4 * error
    assert (p_of_one_clean_unit(rng, 9, 1e9) == 1.0).all(), "equal scores say nothing"


def test_the_p_value_by_hand():
    p = conformal_p_values(torch.tensor([0.0, 2.0, 3.5, 9.0]), torch.tensor([1.0, 2.0, 3.0, 4.0]))
    assert p.tolist() == [1.0, 4 / 5, 2 / 5, 1 / 5]
    assert conformal_p_values(torch.tensor([5.0]), torch.zeros(0)).tolist() == [1.0]


def clean_view(rng, rows):
    """A world without a backdoor: three classes of the same law, all evidence random."""
    labels = torch.from_numpy(rng.integers(0, 3, rows))
    labels[:3] = torch.arange(3)
    normal = torch.from_numpy(rng.standard_normal((rows, 8))).float()
    losses = torch.from_numpy(rng.exponential(1.0, (rows, 4))).float()
    return View(labels=labels, features=normal, logits=normal[:, :3] * 2, losses=losses)


def part(view, rows):
    names = ("labels", "features", "logits", "losses")
    return View(**{name: getattr(view, name)[rows] for name in names})


CHEAP = {"spectre": {"directions": 3}}
"""Settings that cost less: of eight features, three hold as much of a law without a backdoor."""


def on_evidence_alone():
    """Detectors that need no more than numbers: the others are calibrated by their own tests."""
    for name, cls in find(Detector).items():
        view = clean_view(stream(0, "probe"), 60)
        try:
            cls().judge(view)
        except Exception:  # it asks for inputs, a model or trusted data
            continue
        yield pytest.param(cls(**CHEAP.get(name, {})), id=name)


@pytest.mark.parametrize("detector", list(on_evidence_alone()))
def test_calibration_holds_for_every_detector_on_clean_worlds(detector):
    """Fitted on one part, calibrated on the second and asked about one example of the third."""
    worlds, found = 300, []
    for seed in range(worlds):
        view = clean_view(stream(seed, "clean"), 100)
        judge = replace(detector, seed=seed) if hasattr(detector, "seed") else detector
        state = judge.fit(part(view, slice(0, 60)))
        scores = judge.score(state, part(view, slice(60, 100)))
        found.append(conformal_p_values(scores[:1], scores[1:]).item())
    for level in LEVELS:
        error = np.sqrt(level * (1 - level) / worlds)
        assert np.mean(np.array(found) <= level) <= level + 4 * error, level


def test_the_test_sees_a_detector_that_is_fitted_on_what_it_scores():
    """A memory of the fitted examples is no calibrated judge of them: every p-value is extreme."""
    found = []
    for seed in range(100):
        view = clean_view(stream(seed, "memory"), 60)
        known = part(view, slice(0, 30)).features
        distance = torch.cdist(view.features, known).min(1).values
        found.append(conformal_p_values(-distance[:1], -distance[30:]).item())
    assert np.mean(np.array(found) <= 0.05) == 1.0
