"""Rounds of a small federation that every aggregator must survive; they name no aggregator."""

from __future__ import annotations

import torch

from mithridate.core.federated import Round
from mithridate.core.flat import LastLayer
from mithridate.core.streams import stream, torch_generator

CLASSES, FEATURES, BODY = 4, 6, 30
HEAD = LastLayer((BODY, BODY + CLASSES * FEATURES), (BODY + CLASSES * FEATURES, 58), CLASSES)
SEGMENTS = ((0, BODY), HEAD.weight, HEAD.bias)
P = 58


def drawn(*place):
    return torch_generator(stream(0, "rounds", *place))


def answers(update):
    """What the last layer of the toy says of eight inputs of noise, float[8, c]."""
    torch_rng = drawn("noise")
    noise = torch.randn(8, FEATURES, generator=torch_rng)
    start = torch.randn(P, generator=torch_rng)
    moved = start + update
    weight = moved[slice(*HEAD.weight)].view(CLASSES, FEATURES)
    return (noise @ weight.T + moved[slice(*HEAD.bias)]).softmax(1)


def a_round(m=11, number=0, scale=0.1, outlier=0.0, like=0.7):
    """An ordinary round: updates that share a direction, in which each has noise of its own.

    Args:
        scale: of the numbers of an update.
        outlier: times which the first client's update stands out.
        like: share of the direction in an update.
    """
    torch_rng = drawn("round", number)
    shared = torch.randn(P, generator=torch_rng)
    own = torch.randn(m, P, generator=torch_rng)
    updates = scale * (like * shared + (1 - like) * own)
    if outlier:
        updates[0] *= -outlier
    masks = torch.rand(m, P, generator=torch_rng) < 0.6
    sizes = torch.randint(20, 60, (m,), generator=torch_rng).float()
    return Round(
        updates.float(), sizes, torch.arange(m) + 100, number, SEGMENTS, 7, masks,
        (scale * shared).float(), HEAD, answers,
    )  # fmt: skip


def copied(seen):
    """The same round in other memory."""
    return seen._replace(
        **{
            name: value.clone()
            for name, value in seen._asdict().items()
            if isinstance(value, torch.Tensor)
        }
    )


def rearranged(seen, order):
    """The same round with its clients in another order."""
    return seen._replace(
        updates=seen.updates[order], sizes=seen.sizes[order], ids=seen.ids[order],
        masks=None if seen.masks is None else seen.masks[order],
    )  # fmt: skip
