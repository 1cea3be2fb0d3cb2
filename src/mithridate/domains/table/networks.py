"""Small classifiers of rows; each begins with its own scale of numbers and embedding of categories.

Axes: b rows of a batch, d columns.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from mithridate.core.errors import MethodError
from mithridate.domains.table.embedding import Columns
from mithridate.domains.table.transformer import FTTransformer


class Perceptron(nn.Module):
    """Two hidden layers over what is told of all columns."""

    def __init__(
        self,
        prepared: torch.Tensor,
        category: torch.Tensor,
        buckets: int,
        classes: int,
        width: int = 8,
        hidden: int = 128,
    ) -> None:
        super().__init__()
        self.columns = Columns(prepared, category, buckets, width)
        inside = prepared.shape[1] * self.columns.width
        self.hidden = nn.Sequential(*_layer(inside, hidden), *_layer(hidden, hidden))
        self.head = nn.Linear(hidden, classes)

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Give logits[b, c]."""
        logits: torch.Tensor = self.head(self.hidden(self.columns(batch).flatten(1)))
        return logits


def _layer(inside: int, outside: int) -> list[nn.Module]:
    """Give a hidden layer."""
    norm = nn.BatchNorm1d(outside)
    return [nn.Linear(inside, outside), norm, nn.ReLU(), nn.Dropout(0.1)]


Builder = Callable[[torch.Tensor, torch.Tensor, int, int], nn.Module]

NETWORKS: dict[str, Builder] = {"mlp": Perceptron, "ft-transformer": FTTransformer}


def build(
    name: str, prepared: torch.Tensor, category: torch.Tensor, buckets: int, classes: int
) -> nn.Module:
    """Build a network by name.

    Args:
        name: Of the network.
        prepared: float32[n, d], on which the scale of numbers is fitted.
        category: bool[d], which columns hold categories.
        buckets: Numbers for categories.
        classes: How many.

    Raises:
        MethodError: for an unknown name.
    """
    if name not in NETWORKS:
        raise MethodError(f"unknown network of tables {name!r}; available: {', '.join(NETWORKS)}")
    return NETWORKS[name](prepared, category, buckets, classes)
