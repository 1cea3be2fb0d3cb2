"""Search by queries: a trigger known by hand, one that was trained, and what is asked."""

import math

import pytest
import torch

from methods.model_to_scan import Linear, scores, twin, view_of
from methods.victim_to_repair import victim
from mithridate.core.domain import Surface
from mithridate.core.errors import CannotJudge, EvidenceWithheld, MethodError
from mithridate.core.streams import stream
from mithridate.core.threat import ThreatModel
from mithridate.core.view import View
from mithridate.scanners.random_search import RandomSearch, Walk, box, put_patches

HALF = RandomSearch(side=0.5)


def corner():
    """Class 2 where the four places at the top left are white."""
    weight = torch.zeros(3, 16)
    weight[2, [0, 1, 4, 5]] = 10.0
    return Linear(weight, torch.tensor([0.0, -1.0, -30.0]))


def test_it_finds_a_trigger_that_is_known():
    scanned = HALF.judge(view_of(corner()), stream(0, "scan"))
    rest = 1 + math.exp(-1)
    expected = [1 / rest, math.exp(-1) / rest, math.exp(10) / (math.exp(10) + rest)]
    assert scanned.scores.values.tolist() == pytest.approx(expected, abs=1e-4)
    assert scanned.shown["success"].tolist() == [1, 0, 1]
    assert scanned.shown["mask"][2].nonzero().tolist() == [
        [0, i, j] for i in (0, 1) for j in (0, 1)
    ]
    assert (scanned.shown["pattern"][2, :, :2, :2] == 255).all()


def test_it_asks_as_often_as_it_says():
    asked = []

    class Counting(torch.nn.Module):
        def forward(self, batch):
            assert batch.dtype == torch.uint8
            asked.append(len(batch))
            return torch.rand(len(batch), 3, generator=torch.Generator().manual_seed(len(asked)))

    view = view_of(Counting(), labels=[0, 1, 2] * 40)
    RandomSearch(starts=5, generations=7, candidates=3, examples=4).judge(view, stream(0, "scan"))
    assert sum(asked) == 3 * 4 * (5 + 7 * 3) + 3 * 8  # and the held-out inputs of each class


def test_it_finds_a_backdoor_and_less_in_the_clean_twin():
    search = RandomSearch(side=0.4, generations=200, candidates=4, examples=8)
    # one search finds the patch in six of nine, so what is judged is the best of up to three
    for seed in range(3):
        suspect = scores(search, victim()[0], seed)
        if suspect[0] > 0.9:
            break
    assert suspect.argmax() == 0
    assert suspect[0] > 0.9
    assert scores(search, twin(), seed).max() < 0.85  # 0.46 to 0.80 in nine searches of twins


def test_it_looks_only_at_answers():
    model, trusted = corner(), view_of(corner())
    blind = View(
        domain=trusted.domain, model=model, clean=trusted.clean,
        threat=ThreatModel(granted=frozenset({"queries", "clean"})),
    )  # fmt: skip
    assert HALF.judge(blind, stream(0, "scan")).scores.values.argmax() == 2
    shut = ThreatModel(granted=frozenset({"model", "clean"}))
    with pytest.raises(EvidenceWithheld, match="queries"):
        HALF.judge(View(domain=trusted.domain, model=model, clean=trusted.clean, threat=shut),
                   stream(0, "scan"))  # fmt: skip


def test_patches_keep_their_size_and_stay_inside():
    surface = Surface(0.0, 255.0, (3, 8, 6), (1, 8, 6))
    walk = Walk(surface, 0.5, torch.uint8, torch.Generator().manual_seed(0))
    low, pattern = walk.begin(50)
    assert (walk.mask(low).sum((1, 2, 3)) == 4 * 3).all()
    assert low[:, 1].unique().tolist() == [0, 1, 2, 3, 4]
    for left in (1.0, 0.5, 0.01):
        low, pattern = walk.change(low, pattern, left)
        assert (walk.mask(low).sum((1, 2, 3)) == 4 * 3).all()
    assert set(pattern.unique().tolist()) == {0, 255}


def test_a_moved_patch_takes_its_content_along():
    surface = Surface(0.0, 255.0, (1, 9), (1, 9))
    walk = Walk(surface, 0.34, torch.uint8, torch.Generator().manual_seed(1))
    low = torch.tensor([[0, 3]]).repeat(40, 1)
    pattern = torch.tensor([[[0, 0, 0, 255, 0, 255, 0, 0, 0]]], dtype=torch.uint8).repeat(40, 1, 1)
    moved, new = walk.change(low, pattern, 1.0)
    for place, content in zip(moved[:, 1].tolist(), new, strict=True):
        if place != 3:
            assert content[0, place : place + 3].tolist() == [255, 0, 255]
    assert len(moved[:, 1].unique()) > 3


def test_boxes_and_stamps():
    mask = box(torch.tensor([[0, 1]]), torch.tensor([[1, 2]]), (1, 4))
    assert mask.tolist() == [[[False, True, True, False]]]
    one = put_patches(torch.zeros(2, 1, 4), mask, torch.full((1, 1, 4), 9.0))
    assert one.tolist() == [[[[0, 9, 9, 0]]] * 2]


def test_edges():
    for wrong in (RandomSearch(side=0.0), RandomSearch(side=1.5), RandomSearch(starts=0)):
        with pytest.raises(MethodError, match="side must lie"):
            wrong.judge(view_of(corner()), stream(0, "scan"))
    with pytest.raises(CannotJudge, match="trust more"):
        HALF.judge(view_of(corner(), labels=[0] * 12), stream(0, "scan"))
    unsearched = RandomSearch(generations=0).judge(view_of(corner()), stream(0, "scan"))
    assert torch.isfinite(unsearched.scores.values).all()
