"""Ranking metrics against their definitions, pair by pair and threshold by threshold."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mithridate.stats.ranking import auroc, tpr_at_fpr

ranked = st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=1, max_size=30)


def columns(rows):
    scores = torch.tensor([float(s) for s, _ in rows])
    return scores, torch.tensor([p for _, p in rows])


@given(ranked)
def test_auroc_is_the_share_of_pairs_in_the_right_order(rows):
    pairs = [(s, t) for s, p in rows if p for t, q in rows if not q]
    found = auroc(*columns(rows))
    if not pairs:
        assert math.isnan(found)
    else:
        wins = sum(1.0 if s > t else 0.5 if s == t else 0.0 for s, t in pairs)
        assert found == pytest.approx(wins / len(pairs))


@given(ranked, st.sampled_from([0.0, 0.1, 0.25, 0.29, 0.5, 0.9, 1.0]))
def test_tpr_is_the_best_of_all_thresholds(rows, fpr):
    positives = [s for s, p in rows if p]
    negatives = [s for s, p in rows if not p]
    found = tpr_at_fpr(*columns(rows), fpr)
    if not positives or not negatives:
        assert math.isnan(found)
        return
    best = 0.0
    for threshold in [-1, 0, 1, 2, 3, 4, 5, 6]:
        if sum(t > threshold for t in negatives) <= fpr * len(negatives) + 1e-9:
            best = max(best, sum(s > threshold for s in positives) / len(positives))
    assert found == pytest.approx(best)


def test_a_round_share_of_the_negatives_is_used_in_full():
    scores = torch.arange(101.0)
    positive = scores == 71.5 - 0.5  # 29 of the 100 negatives lie above 71
    assert tpr_at_fpr(scores, positive, 0.29) == 1.0
    assert tpr_at_fpr(scores, positive, 0.28) == 0.0


def test_controls_score_what_they_must(rng):
    truth = torch.from_numpy(rng.random(4000) < 0.25)
    assert auroc(torch.zeros(4000), truth) == 0.5
    assert auroc(truth.double(), truth) == 1.0
    assert auroc(-truth.double(), truth) == 0.0
    assert auroc(torch.from_numpy(rng.random(4000)), truth) == pytest.approx(0.5, abs=0.04)
    assert tpr_at_fpr(torch.zeros(4000), truth, 0.05) == 0.0
