"""How often a model calls examples by their labels."""

from __future__ import annotations

from torch import nn

from mithridate.core.data import Dataset
from mithridate.core.domain import Domain
from mithridate.core.runtime import Runtime
from mithridate.core.view import forward


def agreement(
    model: nn.Module, data: Dataset, domain: Domain, runtime: Runtime | None = None
) -> float:
    """Give the share of examples that the model calls by the label given, in [0, 1].

    Raises MethodError where there is no example.
    """
    logits = forward(model, domain.prepare(data.inputs), runtime or Runtime())[1]
    return float((logits.argmax(1) == data.labels).double().mean())
