"""Verdicts about networks from records: against clean ones, false alarms counted."""

import numpy as np
import pytest

from mithridate.bench.metrics.verdicts import (
    anomaly_index,
    count_verdicts,
    judge_all,
    suspects,
    textbook,
)
from mithridate.bench.record import Record
from mithridate.core.errors import DataError
from mithridate.core.streams import stream
from mithridate.stats.intervals import Interval


def record(scores, rate=0.0, seed=0, defence="s", status="done", network="n", why=""):
    cell = {
        "domain": "image", "task": "t", "attack": "badnets", "rate": rate, "defence": defence,
        "network": network, "precision": "fp32", "trusted": 1, "seed": seed, "tuning": "default",
        "role": "defence",
    }  # fmt: skip
    rank = {"target_rank": Interval(1.0, 1.0, 1.0, 1)} if rate else {}
    per_class = {"suspicion": list(scores)} if scores is not None else {}
    return Record(f"{cell}", cell, {}, status, why, rank, per_class)


def population(lift, clean=21, poisoned=10, scanners=("s",)):
    rng, found = stream(0, "records"), []
    for scanner in scanners:
        for seed in range(clean + poisoned):
            scores = rng.standard_normal(10)
            bad = seed >= clean
            if bad:
                scores[3] += lift
            found.append(record(scores, 0.1 if bad else 0.0, seed, scanner))
    return found


def test_a_scanner_that_sees_is_worth_much_and_its_false_alarms_are_few():
    found = count_verdicts(judge_all(suspects(population(20.0)), ["s"]))
    assert found.auroc.value == 1
    assert found.caught.value == found.tpr_5.value == 1
    assert found.clean.value <= 0.1
    assert found.clean.n == 21
    assert found.unheard == 0


def test_a_scanner_that_sees_nothing_is_worth_nothing():
    found = count_verdicts(judge_all(suspects(population(0.0, 60, 60)), ["s"]))
    assert 0.35 < found.auroc.value < 0.65
    assert found.caught.low <= 0.05


def test_two_scanners_are_judged_together():
    several = suspects(population(20.0, scanners=("s", "deaf")))
    assert {len(network.scores) for network in several} == {2}
    assert count_verdicts(judge_all(several, ["s", "deaf"])).caught.value >= 0.9


def test_void_networks_fall_out_and_failures_are_not_passed_over():
    good = population(20.0)
    assert len(suspects([*good, record(None, 0.1, 99, status="void", why="no")])) == 31
    for status in ("failed", "pending"):
        with pytest.raises(DataError, match="run it again"):
            suspects([*good, record(None, 0.1, 99, status=status, why="no")])


def test_a_network_that_nothing_could_judge_is_missed_and_counted():
    deaf = record(None, 0.1, 99, status="skipped", why="cannot judge: no gradient")
    found = count_verdicts(judge_all(suspects([*population(20.0), deaf]), ["s"]))
    assert found.unheard == 1
    assert found.caught.value == pytest.approx(10 / 11)


def test_networks_are_compared_within_their_architecture_only():
    other = [record(np.arange(10) * 100.0 + s, 0.0, s, network="other") for s in range(3)]
    alone = [record(np.arange(10.0), 0.0, 0, network="alone")]
    judged = judge_all(suspects([*population(20.0), *other, *alone]), ["s"])
    assert {len(j.standing.among) for j in judged if j.suspect.place[1] == "n"} == {21}
    assert {len(j.standing.among) for j in judged if j.suspect.place[1] == "other"} == {3}
    assert [j.standing for j in judged if j.suspect.place[1] == "alone"] == [None]


def test_clean_networks_that_were_made_otherwise_are_judged_by_the_population():
    """By construction one in twenty-one of the population is flagged; of the others, whatever."""
    same = suspects(population(20.0))
    assert count_verdicts(judge_all(same, ["s"])).clean.value == pytest.approx(1 / 21)
    rng = stream(0, "otherwise")
    odd = [record(rng.standard_normal(10) * 8, 0.0, s, network="other") for s in range(8)]
    found = count_verdicts(judge_all(suspects(odd), ["s"], same))
    assert found.clean.value > 0.5
    assert found.clean.n == 8


def test_too_few_clean_networks_for_the_level_are_no_verdict():
    found = count_verdicts(judge_all(suspects(population(20.0, clean=12)), ["s"]))
    assert found.caught.value == 0
    assert found.unheard == 22


def test_the_textbook_rule_by_hand():
    norms = np.array([10.0, 11.0, 12.0, 13.0, 2.0])
    assert anomaly_index(-np.log(norms)) == pytest.approx((11 - 2) / 1.4826)
    assert anomaly_index(np.zeros(5)) == 0
    found = textbook(suspects([record(-np.log(norms), 0.1), record(np.zeros(5))]), "s")
    assert found.caught.value == 1
    assert found.clean.value == 0
