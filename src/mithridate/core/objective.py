"""What a training minimises where it is not the mean loss; one type for attacker and defender.

Axes: b examples of a batch, d features, c classes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import torch


class Batch(NamedTuple):
    """What an objective sees of one step.

    Attributes:
        rows: int64[b], positions in the training data.
        losses: float[b].
        features: float[b, d], inputs of the last linear layer, flattened.
        logits: float[b, c].
        labels: int64[b].
        inputs: prepared inputs [b, ...] as the network was given them, augmented. losses, features
            and logits are differentiable by the parameters.
    """

    rows: torch.Tensor
    losses: torch.Tensor
    features: torch.Tensor
    logits: torch.Tensor
    labels: torch.Tensor
    inputs: torch.Tensor


Objective: TypeAlias = Callable[[Batch], torch.Tensor]
"""Gives what is minimised: its mean is, whatever its shape.

An objective that asks the network about other inputs holds the network itself. One that is a
`torch.nn.Module` may have parameters of its own, such as those of a generator: they are trained
along with the network's. One that draws at random draws from torch's own generators, which the
loop seeds in every epoch: a generator of its own would not go on where a training was stopped.
"""
