"""Aggregators that look at where updates lie: by hand, and beside references of a few lines."""

import numpy as np
import pytest
import torch

from methods.federation import made, random_rounds, round_of, step_of
from mithridate.aggregators.blocks import BLOCK
from mithridate.aggregators.bulyan import Bulyan
from mithridate.aggregators.coordinates import CoordinateMedian, TrimmedMean
from mithridate.aggregators.distances import squared_distances
from mithridate.aggregators.fed_avg import FedAvg
from mithridate.aggregators.krum import Krum, MultiKrum
from mithridate.aggregators.norm_clipping import NormClipping
from mithridate.aggregators.rfa import RobustFederatedAggregation
from mithridate.aggregators.rlr import RobustLearningRate
from mithridate.core.errors import MethodError

LINE = [0, 1, 1.2, 1.1, 50]


def test_krum_by_hand():
    answer = made(Krum(assumed=1), round_of(LINE))
    assert answer.step.tolist() == pytest.approx([1.1])
    assert answer.trust.tolist() == [0, 0, 0, 1, 0]
    nearest_two = [1 + 1.21, 0.01 + 0.04, 0.01 + 0.04, 0.01 + 0.01, 48.8**2 + 48.9**2]
    assert answer.suspicion.tolist() == pytest.approx(nearest_two, rel=1e-5)


def test_multi_krum_by_hand():
    assert step_of(MultiKrum(assumed=1), LINE) == pytest.approx([(0 + 1 + 1.2 + 1.1) / 4])
    assert step_of(MultiKrum(assumed=1, kept=3), LINE) == pytest.approx([1.1])
    assert step_of(MultiKrum(assumed=1, kept=1), LINE) == pytest.approx([1.1])


def test_twins_are_chosen_by_their_number_and_not_by_their_place():
    twins = [[1, 0], [0, 1], [1, 0], [0, 1], [9, 9]]
    for ids in ([5, 4, 3, 2, 1], [1, 2, 3, 4, 5]):
        chosen = int(made(Krum(assumed=1), round_of(twins, ids=ids)).trust.argmax())
        assert ids[chosen] == min(ids[i] for i in range(4))


def test_medians_and_trimmed_means_by_hand():
    assert step_of(CoordinateMedian(), [1, 2, 4, 100]) == [3]
    assert step_of(CoordinateMedian(), [5, 1, 2, 4, 100]) == [4]
    assert step_of(TrimmedMean(assumed=1), [0, 1, 2, 3, 100]) == [2]
    assert step_of(TrimmedMean(assumed=0), [0, 1, 2, 3, 100]) == pytest.approx([21.2])
    assert step_of(TrimmedMean(), [0, 1, 2, 3, 100]) == [2], "a fifth of five is one"


def test_means_by_hand():
    assert step_of(FedAvg(), [0, 3], sizes=[1, 2]) == [2]
    assert step_of(FedAvg(weighted=False), [0, 3], sizes=[1, 2]) == [1.5]


def test_the_geometric_median_is_found_and_not_the_mean():
    rfa = RobustFederatedAggregation()
    assert step_of(rfa, [0.001, 0.001, 0.001, 0.05]) == pytest.approx([0.001], abs=1e-9)
    assert step_of(rfa, [10, 10, 10, 1000]) == pytest.approx([10])
    assert step_of(rfa, [10, 1000], sizes=[2, 1]) == pytest.approx([10], abs=1e-3)
    corner = step_of(rfa, [[0, 0], [1, 0], [0, 1], [1, 1]])
    assert corner == pytest.approx([0.5, 0.5])
    fermat = (3 - 3**0.5) / 6  # of the triangle (0, 0), (1, 0), (0, 1)
    assert step_of(rfa, [[0, 0], [1, 0], [0, 1]]) == pytest.approx([fermat, fermat], abs=1e-6)


@pytest.mark.parametrize("far", [1e3, 1e12, 1e30])
def test_a_client_far_away_moves_the_geometric_median_as_little_as_one_nearby(far):
    rows = np.random.default_rng(0).normal(size=(9, 4))
    near, away = rows.copy(), rows.copy()
    near[0], away[0] = 1e2 * rows[0], far * rows[0]
    near, away = (step_of(RobustFederatedAggregation(), x) for x in (near, away))
    assert near == pytest.approx(away, abs=0.02)


def test_bulyan_by_hand():
    # Krum with f = 1 takes 4, 3, 5, 2, 6 in some order; the median of 2..6 is 4.
    assert step_of(Bulyan(assumed=1), [2, 3, 4, 5, 6, 90, -90]) == [4]
    answer = made(Bulyan(assumed=1), round_of([2, 3, 4, 5, 6, 90, -90]))
    assert answer.trust.tolist() == [1, 1, 1, 1, 1, 0, 0]


def test_clipping_by_hand():
    rows = [[3, 4], [0.3, 0.4], [0, -20]]
    plain = NormClipping(bound=1.0, noise=0.0)
    assert step_of(plain, rows) == pytest.approx([(0.6 + 0.3) / 3, (0.8 + 0.4 - 1) / 3])
    assert made(plain, round_of(rows)).trust.tolist() == pytest.approx([0.2, 1, 0.05])
    median = NormClipping(noise=0.0)
    assert step_of(median, rows) == pytest.approx([3.3 / 3, (4.4 - 5) / 3])


def test_the_noise_of_weak_privacy_has_its_size_and_belongs_to_the_round():
    rule, zeros = NormClipping(bound=2.0, noise=0.5), np.zeros((2, 20_000))
    first = made(rule, round_of(zeros, seed=3)).step
    assert float(first.std()) == pytest.approx(1.0, rel=0.05)
    assert torch.equal(first, made(rule, round_of(zeros, seed=3)).step)
    assert not torch.equal(first, made(rule, round_of(zeros, seed=3, number=1)).step)
    assert not torch.equal(first, made(rule, round_of(zeros, seed=4)).step)


def test_coordinates_without_agreement_are_turned_back_by_hand():
    rows = [[1, 1, 0], [1, 2, 0], [4, -9, 4]]
    assert step_of(RobustLearningRate(threshold=2), rows) == pytest.approx([2, 2, -4 / 3])
    assert step_of(RobustLearningRate(threshold=1), rows) == pytest.approx([2, -2, 4 / 3])


@pytest.mark.parametrize(
    ("rule", "least"),
    [
        (Krum(assumed=2), 7), (MultiKrum(assumed=2), 7), (MultiKrum(assumed=0, kept=5), 5),
        (Bulyan(assumed=1), 7), (TrimmedMean(assumed=2), 5), (RobustLearningRate(threshold=4), 4),
    ],
)  # fmt: skip
def test_too_many_assumed_attackers_are_refused_in_a_sentence(rule, least):
    made(rule, round_of(np.arange(least)))
    with pytest.raises(MethodError, match=f"least {least} clients in a round, found {least - 1}"):
        made(rule, round_of(np.arange(least - 1)))


@pytest.mark.parametrize("rule", [Krum, MultiKrum, Bulyan, TrimmedMean])
def test_fewer_attackers_than_none_are_refused(rule):
    with pytest.raises(MethodError, match=r"assumed=-1: expected 0 attackers or more"):
        made(rule(assumed=-1), round_of(LINE))


@pytest.mark.parametrize(
    "rule",
    [
        NormClipping(bound=0.0), NormClipping(noise=-1.0), RobustLearningRate(threshold=0),
        RobustFederatedAggregation(smoothing=0.0), RobustFederatedAggregation(iterations=0),
    ],
)  # fmt: skip
def test_settings_out_of_range_are_refused(rule):
    with pytest.raises(MethodError, match="expected"):
        made(rule, round_of(LINE))


def apart(rows):
    return ((rows[:, None] - rows[None]) ** 2).sum(2)


def krum_order(rows, f):
    """Positions by Krum's scores; equal scores, to 9 digits, by position."""
    m = len(rows)
    scores = [
        np.sort(np.delete(d, i))[: max(m - f - 2, 1)].sum() for i, d in enumerate(apart(rows))
    ]
    return sorted(range(m), key=lambda i: (float(f"{scores[i]:.8e}"), i))


def krum_reference(rows):
    return rows[krum_order(rows, (len(rows) - 3) // 2)[0]]


def multi_krum_reference(rows):
    f = (len(rows) - 3) // 2
    return rows[krum_order(rows, f)[: len(rows) - f]].mean(0)


def bulyan_reference(rows):
    m, f = len(rows), max((len(rows) - 3) // 4, 0)
    left, taken = list(range(m)), []
    while len(taken) < m - 2 * f:
        best = krum_order(rows[left], f)[0] if len(left) > 1 else 0
        taken.append(left.pop(best))
    step = []
    for column in rows[taken].T:
        near = sorted((abs(v - np.median(column)), v) for v in column)
        step.append(np.mean([v for _, v in near[: len(taken) - 2 * f]]))
    return np.array(step)


def trimmed_reference(rows):
    cut = min(len(rows) // 5, (len(rows) - 1) // 2)
    return np.sort(rows, 0)[cut : len(rows) - cut].mean(0)


def clipped_reference(rows):
    length = np.linalg.norm(rows, axis=1)
    factor = np.minimum(1, np.median(length) / np.maximum(length, 1e-30))
    return (factor[:, None] * rows).mean(0)


def rlr_reference(rows):
    agreed = np.abs(np.sign(rows).sum(0)) >= len(rows) // 5 + 1
    return np.where(agreed, 1, -1) * rows.mean(0)


REFERENCES = {
    FedAvg(): lambda rows: rows.mean(0),
    Krum(): krum_reference,
    MultiKrum(): multi_krum_reference,
    Bulyan(): bulyan_reference,
    CoordinateMedian(): lambda rows: np.median(rows, 0),
    TrimmedMean(): trimmed_reference,
    NormClipping(noise=0.0): clipped_reference,
    RobustLearningRate(): rlr_reference,
}


@pytest.mark.parametrize("rule", REFERENCES, ids=lambda rule: rule.name())
def test_rounds_of_any_size_are_as_the_reference_has_them(rule):
    for rows in random_rounds(40):
        expected = REFERENCES[rule](rows)
        assert step_of(rule, rows) == pytest.approx(expected.tolist(), rel=1e-5, abs=1e-6), rows


def test_no_point_has_a_smaller_sum_of_distances_than_the_geometric_median():
    rng = np.random.default_rng(0)
    for rows in random_rounds(20):
        v = np.array(step_of(RobustFederatedAggregation(), rows))

        def total(point, rows=rows):
            return np.linalg.norm(rows - point, axis=1).sum()

        others = [*rows, *(v + rng.normal(size=v.shape) * 10.0**-k for k in (0, 1, 2, 3))]
        assert total(v) <= min(map(total, others)) * (1 + 1e-6)


def near_twins(p, norm, gap):
    """A client of a norm, one so far away from it, one twice and one four times as far."""
    rng = torch.Generator().manual_seed(0)
    first = torch.randn(p, generator=rng).double()
    aside = torch.randn(p, generator=rng).double()
    first, aside = norm * first / first.norm(), gap * aside / aside.norm()
    return torch.stack([first, first + aside, first + 2 * aside, first - 4 * aside]).float()


@pytest.mark.parametrize("norm", [0.1, 1000.0])
def test_clients_a_little_apart_are_told_apart(norm):
    gap = 1e-4 * max(norm, 1)  # of updates of norm 1,000 float32 itself holds no smaller one
    rows = near_twins(100_000, norm, gap)
    exact = apart(rows[:, :1000].double().numpy()) * 0
    for start in range(0, 100_000, 1000):
        exact += apart(rows[:, start : start + 1000].double().numpy())
    assert squared_distances(rows).numpy() == pytest.approx(exact, rel=1e-9)
    assert int(made(Krum(assumed=0), round_of(rows)).trust.argmax()) in (0, 1)


def test_an_update_far_away_spoils_no_distance_between_others():
    rows = torch.cat([near_twins(1000, 0.1, 1e-4), torch.full((1, 1000), 1e30)])
    alone, among = squared_distances(rows[:4]), squared_distances(rows)[:4, :4]
    assert among.numpy() == pytest.approx(alone.numpy(), rel=1e-9)


def test_a_block_ends_anywhere():
    wide = torch.randn(8, BLOCK // 8 + 3, generator=torch.Generator().manual_seed(0))
    narrow = wide[:, -4:]
    for rule in (CoordinateMedian(), FedAvg(), RobustLearningRate()):
        step = made(rule, round_of(wide)).step
        assert torch.allclose(step[-4:], made(rule, round_of(narrow)).step, atol=1e-7)
    assert squared_distances(wide).numpy() == pytest.approx(
        torch.cdist(wide.double(), wide.double()).square().numpy(), rel=1e-9, abs=1e-6
    )
