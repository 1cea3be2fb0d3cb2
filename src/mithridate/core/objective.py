"""What a training minimises where it is not the mean loss; one type for attacker and defender.

Axes: b examples of a batch, d features, c classes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import torch


class Batch(NamedTuple):
    """What an objective sees of one step, all differentiable but the rows.

    rows: int64[b], positions in the training data; losses: float[b]; features: float[b, d], inputs
    of the last linear layer, flattened; logits: float[b, c].
    """

    rows: torch.Tensor
    losses: torch.Tensor
    features: torch.Tensor
    logits: torch.Tensor


Objective: TypeAlias = Callable[[Batch], torch.Tensor]
"""Gives what is minimised: its mean is, whatever its shape."""
