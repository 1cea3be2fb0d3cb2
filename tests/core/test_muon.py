"""Muon against decompositions and literal steps."""

import pytest
import torch
from torch import nn

from mithridate.core.muon import QUINTIC, Muon, hidden, orthogonal


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(6, 20), (20, 6), (7, 7), (1, 5)])
@pytest.mark.parametrize("rounds", [0, 3, 5])
def test_rounds_map_singular_values_and_keep_directions(shape, rounds):
    matrix = drawn(*shape).double()
    u, s, v = torch.linalg.svd(matrix / matrix.norm(), full_matrices=False)
    for _ in range(rounds):
        s = sum(factor * s**power for factor, power in zip(QUINTIC, (1, 3, 5), strict=True))
    torch.testing.assert_close(orthogonal(matrix, rounds), u * s @ v, rtol=1e-4, atol=1e-5)


def test_five_rounds_bring_ordinary_singular_values_near_one():
    values = torch.linalg.svdvals(orthogonal(drawn(32, 64), 5))
    assert values.min() > 0.6 and values.max() < 1.25


def test_filters_and_inner_matrices_are_turned_and_the_rest_is_not():
    table, inner, head = nn.Embedding(900, 8).weight, drawn(8, 8), drawn(3, 8)
    filters, narrow = drawn(4, 2, 3, 3), drawn(8, 1, 3)
    lone, vector = drawn(4, 1, 1, 1), drawn(8)
    every = [nn.Parameter(p) for p in (table, filters, vector, narrow, lone, inner, head)]
    chosen = hidden(every)
    assert [id(p) for p in chosen] == [id(every[i]) for i in (1, 3, 5)]
    assert hidden([nn.Parameter(head)]) == []
    assert hidden([nn.Parameter(torch.zeros(4, 2, 3))]) == [], "it would stay zero"


def weights():
    return [nn.Parameter(drawn(*s, seed=i)) for i, s in enumerate([(4, 3, 2), (5,), (3, 5)])]


def slopes(step):
    return [drawn(*p.shape, seed=10 * step + i) for i, p in enumerate(weights())]


def test_steps_are_the_literal_ones():
    ours, slow = weights(), [p.detach().clone() for p in weights()]
    kept = [torch.zeros_like(p) for p in slow]
    optimiser = Muon(ours, 0.1, times=3.0, momentum=0.8, weight_decay=0.01, rounds=40, exact=True)
    for step in range(1, 4):
        for p, slope in zip(ours, slopes(step), strict=True):
            p.grad = slope
        for group in optimiser.param_groups:
            group["lr"] = 0.1 / step
        optimiser.step()
        for i, slope in enumerate(slopes(step)):
            slope = slope + (0.01 * slow[i] if i else 0)
            kept[i] = 0.8 * kept[i] + slope
            way = slope + 0.8 * kept[i]
            slow[i] = slow[i] - 0.1 / step * way if i else turned(slow[i], way, 0.3 / step)
    torch.testing.assert_close(ours[1:], slow[1:])
    cosine = torch.nn.functional.cosine_similarity(ours[0].flatten(), slow[0].flatten(), dim=0)
    assert cosine > 0.995, "the polynomial leaves singular values between 0.68 and 1.13"
    torch.testing.assert_close(ours[0].norm(), weights()[0].norm())


def turned(weight, way, rate):
    u, _, v = torch.linalg.svd(way.flatten(1), full_matrices=False)
    even = (u @ v).view_as(weight)
    moved = weight - rate * weight.norm() * even / even.norm()
    return moved * weight.norm() / moved.norm()


def test_without_momentum_and_gradients_it_steps_too():
    ours = weights()
    before = [p.detach().clone() for p in ours]
    optimiser = Muon(ours, 0.1, momentum=0.0)
    ours[0].grad = drawn(4, 3, 2)
    optimiser.step()
    assert not torch.equal(ours[0], before[0])
    assert torch.equal(ours[1], before[1]) and not optimiser.state_dict()["state"]
