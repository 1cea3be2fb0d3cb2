"""Aggregators that say whom they trust: by hand, and beside references of a few lines."""

import itertools

import numpy as np
import pytest
import torch

from methods.federation import made, random_rounds, round_of
from mithridate.aggregators.clustering import clusters
from mithridate.aggregators.deepsight import DeepSight, energy_shares, learnt_few
from mithridate.aggregators.flame import Flame
from mithridate.aggregators.fldetector import FLDetector, hessian_times_last, spreads
from mithridate.aggregators.fltrust import FLTrust
from mithridate.aggregators.fools_gold import FoolsGold, fools_gold_weights
from mithridate.aggregators.lockdown import Lockdown
from mithridate.core.errors import MethodError
from mithridate.core.flat import LastLayer
from mithridate.core.streams import stream

WHOLE = LastLayer((0, 2), None, 2)
"""A last layer that is all there is, of two numbers."""


def test_fltrust_by_hand():
    rows = [[3, 0], [0, 5], [-1, 0], [2, 2]]
    answer = made(FLTrust(), round_of(rows, root=torch.tensor([0.5, 0.0])))
    half = 0.5**0.5
    expected = (0.5 * 1 + 0.5 * half * half) / (1 + half)
    assert answer.trust.tolist() == pytest.approx([1, 0, 0, half])
    assert answer.step.tolist() == pytest.approx([expected, 0.5 * half * half / (1 + half)])
    assert answer.suspicion.tolist() == pytest.approx([0, 1, 2, 1 - half])


def test_fltrust_takes_no_step_where_nobody_points_the_servers_way():
    answer = made(FLTrust(), round_of([[-1, 0], [-2, 0]], root=torch.tensor([1.0, 0.0])))
    assert answer.step.tolist() == [0, 0]
    assert answer.trust.tolist() == [0, 0]
    nothing = made(FLTrust(), round_of([[1, 0], [2, 0]], root=torch.zeros(2)))
    assert nothing.step.tolist() == [0, 0]


def fools_gold_reference(history):
    m = len(history)
    unit = history / np.maximum(np.linalg.norm(history, axis=1, keepdims=True), 1e-300)
    cosine = unit @ unit.T - np.eye(m)
    most = np.maximum(cosine.max(1), 0)
    for i in range(m):
        for j in range(m):
            if i != j and most[i] < most[j]:
                cosine[i, j] *= most[i] / most[j]
            if i == j:
                cosine[i, j] = 0
    alone = np.clip(1 - cosine.max(1), 0, 1)
    alone = alone / max(alone.max(), 1e-300)
    with np.errstate(divide="ignore"):
        return np.clip(np.log(alone / (1 - alone)) + 0.5, 0, 1)


def test_foolsgold_is_as_the_reference_has_it():
    for rows in random_rounds(40, ties=False):
        weights, _ = fools_gold_weights(torch.tensor(rows))
        assert weights.tolist() == pytest.approx(fools_gold_reference(rows).tolist(), abs=1e-6)


def test_foolsgold_weighs_sybils_down_by_their_history():
    rule = FoolsGold()
    first = round_of([[1, 0], [0, 1], [5, 5], [5, 5]], ids=[3, 1, 7, 9], head=WHOLE)
    answer = rule.aggregate(rule.init(2), first)
    assert answer.trust[2:].tolist() == [0, 0]
    assert answer.step.tolist() == pytest.approx([0.5, 0.5])
    assert answer.state["ids"].tolist() == [1, 3, 7, 9]
    # One comes back alone: its history stays that of a twin, but its twin is not there.
    second = round_of([[2, -1], [0, 1], [1, 0]], number=1, ids=[9, 1, 5], head=WHOLE)
    later = rule.aggregate(answer.state, second)
    kept = dict(zip(later.state["ids"].tolist(), later.state["history"].tolist(), strict=True))
    assert kept == {1: [0, 2], 3: [1, 0], 5: [1, 0], 7: [5, 5], 9: [7, 4]}
    expected = fools_gold_reference(np.array([[7.0, 4], [0, 2], [1, 0]]))
    assert later.trust.tolist() == pytest.approx((expected / expected.max()).tolist(), abs=1e-6)


def test_clusters_count_as_hdbscan_does_with_one_neighbour():
    points = torch.tensor([0.0, 1, 2, 10, 11, 12, 50])
    label = clusters((points[:, None] - points).abs().double(), torch.arange(7), 2, single=False)
    assert label[0] == label[1] == label[2] != label[3] == label[4] == label[5]
    assert label[6] == -1
    assert clusters(torch.zeros(1, 1), torch.zeros(1), 2, single=True).tolist() == [0]


def bundle(honest=9, apart=4, p=40):
    """Updates that share a direction, and some that share another one."""
    rng = stream(0, "bundle")
    one, other = rng.normal(size=(2, p))
    rows = one + 0.3 * rng.normal(size=(honest + apart, p))
    rows[honest:] = 3 * other + 0.01 * rng.normal(size=(apart, p))
    return rows.astype(np.float32)


def test_flame_keeps_one_cluster_shortens_to_the_median_of_all_and_averages():
    rows = bundle()
    answer = made(Flame(noise=0.0), round_of(rows))
    kept = answer.trust.bool().numpy()
    assert not kept[9:].any(), "all four attackers are left out"
    assert kept.sum() >= 7, "and some honest ones, which HDBSCAN takes for noise"
    length = np.linalg.norm(rows, axis=1)
    bound = np.median(length)
    assert bound > np.median(length[kept]), "the median of all differs from that of the kept"
    expected = (np.minimum(1, bound / length)[:, None] * rows)[kept].mean(0)
    assert answer.step.tolist() == pytest.approx(expected.tolist(), rel=1e-5)
    assert answer.suspicion[9:].min() > answer.suspicion[:9].max()


def test_flame_blurs_by_a_share_of_the_median_norm():
    rows = np.tile([3.0, 4.0] + [0.0] * 20_000, (5, 1))
    step = made(Flame(noise=0.1), round_of(rows, seed=1)).step
    assert float(step[2:].std()) == pytest.approx(0.5, rel=0.05)


HEAD = LastLayer((0, 8), (8, 12), 4)


def narrow_and_wide():
    """Last layers of seven who learnt all four classes, and of four who learnt one."""
    rng = stream(0, "last layers")
    rows = rng.normal(size=(11, 12)).astype(np.float32)
    rows[:7, :8] = np.sign(rows[:7, :8]) + 0.1 * rows[:7, :8]
    rows[:7, 8:] = 0.5 + 0.01 * rows[:7, 8:]
    rows[7:] = 0.01 * rows[7:]
    rows[7:, 8], rows[7:, 0:2] = 4.0, 2.0
    return rows


def answers(update):
    """What each class is given grows with its bias."""
    return (update[8:12][None] * torch.linspace(0.5, 1.5, 30)[:, None]).softmax(1)


def test_deepsight_sees_who_learnt_few_classes_by_hand():
    seen = round_of([[1, -1, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0], [1] * 12], head=HEAD)
    assert energy_shares(seen).tolist() == [[1, 0, 0, 0], [0.25] * 4]
    shares = torch.tensor([[0.7, 0.2, 0.1, 0.0], [0.25] * 4, [0.97, 0.01, 0.01, 0.01]])
    # More than a quarter of the largest: 2, 4 and 1 classes; half of the median of these is 1.
    assert learnt_few(shares.double()).tolist() == [False, False, True]


def test_deepsight_leaves_out_the_cluster_that_learnt_few_classes():
    rows = narrow_and_wide()
    answer = made(DeepSight(), round_of(rows, head=HEAD, answers=answers))
    assert answer.trust.tolist() == [1] * 7 + [0] * 4
    length = np.linalg.norm(rows, axis=1)
    expected = (np.minimum(1, np.median(length) / length)[:, None] * rows)[:7].mean(0)
    assert answer.step.tolist() == pytest.approx(expected.tolist(), rel=1e-5, abs=1e-7)
    for share in (0.0, 1.5):
        with pytest.raises(MethodError, match="share"):
            made(DeepSight(share=share), round_of(rows, head=HEAD, answers=answers))


def dense_hessian(steps):
    """B of L-BFGS by the updates of its definition, one pair after another."""
    pairs = [(a, b - a) for a, b in itertools.pairwise(steps)]
    s, y = pairs[-1]
    hessian = (s @ y) / (s @ s) * np.eye(len(s))
    for s, y in pairs:
        moved = hessian @ s
        hessian = hessian - np.outer(moved, moved) / (s @ moved) + np.outer(y, y) / (s @ y)
    return hessian


def test_the_hessian_is_that_of_the_recursion():
    rng = stream(0, "hessian")
    curvature = rng.normal(size=(6, 6))
    curvature = -curvature @ curvature.T / 20
    steps = [rng.normal(size=6)]
    for _ in range(4):  # the path of a quadratic, whose changes are curvature times steps
        steps.append(steps[-1] + curvature @ steps[-1])
    rows = torch.tensor(np.array(steps))
    foretold = hessian_times_last(rows @ rows.T) @ rows
    assert foretold.numpy() == pytest.approx(dense_hessian(steps) @ steps[-1], rel=1e-6, abs=1e-9)


def test_two_clusters_on_a_line_are_cut_where_their_spread_is_least():
    one, two, cut = spreads(np.array([[0.0, 1.0, 10.0, 11.0], [0.0, 0.0, 0.0, 3.0]]))
    assert one == pytest.approx([101, 6.75])
    assert two == pytest.approx([1, 0])
    assert cut.tolist() == [2, 3]


def path(rounds, liars, m=12, p=30):
    """Updates of clients that each descend a quadratic, and of some that make theirs up."""
    rng = stream(0, "path")
    model, goal = np.zeros(p), rng.normal(size=(m, p)) * 0.1 + rng.normal(size=p)
    for number in range(rounds):
        updates = 0.1 * (goal - model) + 0.001 * rng.normal(size=(m, p))
        updates[:liars] = 0.1 * rng.normal(size=(liars, p))
        model = model + (yield number, updates.astype(np.float32))


def followed(rule, rounds, liars):
    """What an aggregator that steers the path makes of each round."""
    walk, state, answers = path(rounds, liars), rule.init(30), []
    number, updates = next(walk)
    while True:
        answers.append(rule.aggregate(state, round_of(updates, number=number)))
        state = answers[-1].state
        try:
            number, updates = walk.send(answers[-1].step.numpy().astype(np.float64))
        except StopIteration:
            return answers


def test_fldetector_leaves_liars_out_for_good_once_its_window_is_full():
    answers = followed(FLDetector(window=4), 9, liars=3)
    assert all(answer.trust.tolist() == [1] * 12 for answer in answers[:5])
    assert answers[5].trust.tolist() == answers[8].trust.tolist() == [0] * 3 + [1] * 9
    assert answers[4].suspicion[:3].min() > answers[4].suspicion[3:].max()
    assert answers[8].state["out"].tolist() == [0, 1, 2]
    assert answers[8].state["steps"].shape == (5, 30)


def test_the_gap_statistic_sees_two_clusters_where_there_is_one_as_often_as_is_told():
    seen = round_of(np.zeros(3))

    def share(m, draws):
        drawn = (torch.tensor(stream(k, "gap").normal(size=m)) for k in range(draws))
        alarms = [FLDetector().upper(v, seen._replace(seed=k)).any() for k, v in enumerate(drawn)]
        return float(torch.stack(alarms).double().mean())

    assert 0.02 < share(8, 300) < 0.12
    assert share(40, 50) == 0


def test_lockdowns_step_is_the_mean_of_masked_updates_over_all_clients_by_hand():
    masks = torch.tensor([[1, 1, 0], [1, 0, 0], [1, 1, 1], [0, 0, 1]], dtype=torch.bool)
    rows = [[4, 4, 4], [4, 4, 4], [4, 8, 4], [4, 4, 12]]
    answer = made(Lockdown(), round_of(rows, masks=masks))
    assert answer.step.tolist() == [12 / 4, 12 / 4, 16 / 4]
    assert answer.trust is None
    assert answer.suspicion.tolist() == [0, 0, 0, 0], "a quorum of two holds every coordinate"
    weighed = made(Lockdown(weighted=True), round_of(rows, masks=masks, sizes=[1, 1, 1, 5]))
    assert weighed.step.tolist() == [12 / 8, 12 / 8, (4 + 60) / 8]


def test_lockdowns_fusion_keeps_what_a_quorum_holds():
    masks = torch.tensor([[1, 1, 0], [1, 0, 0], [1, 1, 1], [0, 0, 1]], dtype=torch.bool)
    three = Lockdown(quorum=3)
    assert three.consensus(masks).tolist() == [True, False, False]
    assert three.fused(torch.tensor([5.0, 6.0, 7.0]), masks).tolist() == [5, 0, 0]
    outside = made(three, round_of(torch.zeros(4, 3), masks=masks)).suspicion
    assert outside.tolist() == pytest.approx([1 / 2, 0, 2 / 3, 1])
    assert Lockdown().needed(40) == 20
    assert Lockdown().needed(5) == 3


@pytest.mark.parametrize(
    ("rule", "m"), [(Lockdown(quorum=2), 10), (Lockdown(quorum=5, assumed=5), 10)]
)
def test_a_quorum_that_attackers_could_reach_alone_is_refused(rule, m):
    seen = round_of(torch.zeros(m, 2), masks=torch.ones(m, 2, dtype=torch.bool))
    with pytest.raises(MethodError, match=r"a quorum of \d among 10 clients.*alone"):
        made(rule, seen)


def test_a_quorum_of_more_than_there_are_is_refused():
    seen = round_of(torch.zeros(3, 2), masks=torch.ones(3, 2, dtype=torch.bool))
    with pytest.raises(MethodError, match="at least 4 clients in a round, found 3"):
        made(Lockdown(quorum=4), seen)
