"""Attackers among clients are named by what an aggregator said, and that is judged by the truth."""

import math

import pytest
import torch

from mithridate.bench.metrics.naming_clients import JudgedFederation, naming, naming_at
from mithridate.core.errors import MethodError
from mithridate.core.federated import Aggregated
from mithridate.core.streams import stream
from mithridate.stats.client_standings import JudgedRound, above_others, standings

STEP = torch.zeros(1)


def answered(ids, suspicion=None, trust=None):
    numbers = None if suspicion is None else torch.tensor(suspicion, dtype=torch.float64)
    trusted = None if trust is None else torch.tensor(trust, dtype=torch.float32)
    return JudgedRound(torch.tensor(ids), Aggregated(STEP, {}, trusted, numbers))


def test_a_client_stands_by_its_mean_distance_from_the_others_by_hand():
    rounds = [
        answered([1, 2, 3], [0.0, 1, 2], trust=[1, 1, 0]),
        answered([3, 1, 4], [9.0, 8, 8.5], trust=[0, 1, 1]),
    ]
    after = standings(rounds)
    unit = 1 / 1.4826
    assert after.ids.tolist() == [1, 2, 3, 4]
    assert after.scores.values.tolist() == pytest.approx([-unit, 0, unit, 0])
    assert after.scores.unit == "client"
    assert after.left_out.tolist() == [0, 0, 1, 0]
    assert after.rounds.tolist() == [2, 1, 2, 1]


def test_one_round_counts_only_so_much_and_equals_are_equal():
    assert above_others(torch.tensor([0.0, 1, 2, 1e30]).double()).tolist()[3] == 10
    assert above_others(torch.ones(4).double()).tolist() == [0] * 4
    assert above_others(torch.tensor([0.0, 0, 0, 0, 1]).double()).tolist() == [0, 0, 0, 0, 5]


def test_who_weighs_nobody_names_nobody_and_trust_alone_ranks():
    assert standings([answered([1, 2])]) is None
    after = standings([answered([1, 2, 3], trust=[1, 0.5, 0])])
    assert after.scores.values.argsort().tolist() == [0, 1, 2]
    unnamed = standings([answered([1, 2, 3], [0.0, 1, 2])])
    assert unnamed.left_out.isnan().all()


def test_a_federation_is_judged_by_whom_the_aggregator_left_out():
    rounds = [answered(range(5), [0.0, 1, 2, 3, 9], trust=[1, 1, 1, 0, 0])]
    metrics = naming(JudgedFederation(standings(rounds), torch.tensor([4])))
    assert {name: metric.value for name, metric in metrics.items()} == {
        "naming_auroc": 1, "naming_precision": 0.5, "naming_recall": 1, "naming_false_alarms": 0.25,
    }  # fmt: skip
    clean = naming(JudgedFederation(standings(rounds), torch.zeros(0, dtype=torch.int64)))
    assert set(clean) == {"naming_precision", "naming_false_alarms"}
    assert clean["naming_false_alarms"].value == 0.4
    ranks = standings([answered(range(5), [0.0, 1, 2, 3, 9])])
    assert set(naming(JudgedFederation(ranks, torch.tensor([4])))) == {"naming_auroc"}


def federation(seed, attackers, shift):
    """Ten rounds in which honest suspicions are alike and attackers' lie higher."""
    rng = stream(seed, "federation")
    values = rng.normal(size=(10, 20))
    values[:, :attackers] += shift
    rounds = [answered(range(20), row.tolist()) for row in values]
    return JudgedFederation(standings(rounds), torch.arange(attackers))


def test_the_threshold_is_that_of_clean_federations():
    clean = [federation(seed, 0, 0.0) for seed in range(20)]
    marked = [federation(seed, 3, 5.0) for seed in range(20, 30)]
    metrics = naming_at([*clean, *marked])
    assert metrics["naming_recall"].value == 1
    assert metrics["naming_false_alarms"].value <= 0.05
    hidden = naming_at([*clean, *(federation(seed, 3, 0.0) for seed in range(20, 60))])
    assert 0.01 < hidden["naming_false_alarms"].value < 0.1
    assert hidden["naming_recall"].value < 0.2
    assert math.isclose(hidden["naming_precision"].value, 0.15, abs_tol=0.1), "by guessing"


def test_too_little_to_choose_a_threshold_by_is_refused():
    with pytest.raises(MethodError, match="20 clients of clean ones; found 1 and 0"):
        naming_at([federation(0, 3, 1.0)])
    with pytest.raises(MethodError, match="found 0 and 20"):
        naming_at([federation(0, 0, 1.0)])
