"""A scan of given features: the scores of an ordinary scan, and of a sample where many."""

import numpy as np
import pytest
import torch

from mithridate import scan_features
from mithridate.core.errors import DataError, MethodError
from mithridate.core.streams import stream
from mithridate.core.view import View
from mithridate.detectors.nearest_neighbours import NearestNeighbours
from mithridate.detectors.spectral_signatures import SpectralSignatures
from mithridate.detectors.strip import Strip
from mithridate.pipelines.given_features import _sampled, default_detectors


@pytest.fixture(scope="module")
def world():
    """Three classes, of which 20 suspects labelled 1 lie far away; and 300 trusted examples."""
    rng = stream(0, "features")
    labels = np.arange(1200) % 3
    rows = rng.standard_normal((1200, 8)).astype(np.float32)
    rows[:, 0] += 6 * labels
    poisoned = np.flatnonzero(labels[:900] == 1)[:20]
    rows[poisoned, 3] += 9
    return rows[:900], labels[:900], rows[900:], labels[900:], poisoned


def test_poison_is_flagged_and_named(world):
    scan = scan_features(*world[:4], classes=("a", "b", "c"), permutations=199)
    assert scan.verdict.answer == "flagged"
    named = scan.flagged.nonzero().flatten().tolist()
    assert set(world[4].tolist()) <= set(named) and len(named) <= 25
    assert [finding.name for finding in scan.classes if finding.flagged] == ["b"]


def test_clean_features_are_not_flagged(world):
    rows, labels, known, known_labels, poisoned = world
    left = np.setdiff1d(np.arange(len(rows)), poisoned)
    scan = scan_features(rows[left], labels[left], known, known_labels, permutations=199)
    assert scan.verdict.answer != "flagged"


def test_scores_are_those_of_the_detectors_on_all_examples(world, tmp_path):
    rows, labels, known, known_labels, _ = world
    np.save(tmp_path / "rows.npy", rows)
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    scan = scan_features(mapped, labels, torch.from_numpy(known), known_labels, permutations=99)
    view = View(
        features=torch.from_numpy(np.concatenate([rows, known])),
        labels=torch.from_numpy(np.concatenate([labels, known_labels])),
    )
    for detector, judged in zip(default_detectors(), scan.judged, strict=True):
        expected = detector.judge(view).values
        assert torch.equal(expected, torch.cat([judged.scores.values, judged.trusted]))


def test_costly_detectors_are_fitted_on_a_sample_and_score_all(world):
    rows, labels, known, known_labels, poisoned = world
    pair = (SpectralSignatures(), NearestNeighbours())
    scan = scan_features(*world[:4], detectors=pair, sample=300, permutations=99, seed=4)
    every = torch.from_numpy(np.concatenate([rows, known]))
    column = torch.from_numpy(np.concatenate([labels, known_labels]))
    few = _sampled(every, column, 300, 4)
    assert len(few.labels) == 300
    view = View(features=every, labels=column)
    for detector, judged, fitted in zip(pair, scan.judged, (view, few), strict=True):
        expected = detector.judge(view, fitted_on=fitted).values
        assert torch.equal(expected, torch.cat([judged.scores.values, judged.trusted]))
    assert scan.flagged[poisoned].all()


@pytest.mark.parametrize(
    "change, message",
    [
        ({"labels": np.zeros(899, int)}, "expected 900 whole numbers as labels"),
        ({"labels": np.zeros(900)}, "expected 900 whole numbers as labels"),
        ({"trusted_features": np.zeros((300, 7))}, "of suspects and .* of trusted examples"),
        ({"features": np.zeros(900)}, "of suspects and .* of trusted examples"),
        ({"trusted_features": np.zeros((0, 8)), "trusted_labels": np.zeros(0, int)}, "for each"),
        ({"classes": ("a", "b")}, r"expected labels in 0\.\.1, found 0\.\.2"),
        ({"labels": np.full(900, -1)}, r"expected labels in 0\.\.\d, found -1\.\."),
        ({"labels": np.full(900, "cat")}, "expected real numbers, found <U3"),
        ({"features": np.zeros((900, 8), complex)}, "expected real numbers, found complex"),
        ({"features": np.full((900, 8), np.nan)}, "features must be finite"),
        (
            {"features": np.zeros((900, 0)), "trusted_features": np.zeros((300, 0))},
            "d at least 1",
        ),
    ],
)  # fmt: skip
def test_arrays_that_do_not_fit_are_refused(world, change, message):
    names = ("features", "labels", "trusted_features", "trusted_labels")
    with pytest.raises(DataError, match=message):
        scan_features(**{**dict(zip(names, world[:4], strict=True)), **change})


def test_a_detector_that_needs_inputs_is_refused(world):
    with pytest.raises(MethodError, match="strip asks for more than features and labels"):
        scan_features(*world[:4], detectors=(Strip(),))
    with pytest.raises(MethodError, match="a sample of at least 1 example, found 0"):
        scan_features(*world[:4], sample=0)


@pytest.mark.parametrize("name, value", [("level", 2.0), ("fdr", 0.0), ("smallest", float("nan"))])
def test_settings_out_of_range_are_refused(world, name, value):
    with pytest.raises(MethodError, match=f"{name} between 0 and 1, found {value}"):
        scan_features(*world[:4], **{name: value})
    with pytest.raises(MethodError, match="at least 1 permutation, found 0"):
        scan_features(*world[:4], permutations=0)
