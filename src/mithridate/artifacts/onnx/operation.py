"""One node of a graph, ready to be computed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Operation:
    """A node to be computed. names: of tensors; where: how to speak of it; layer: of torch's."""

    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    where: str = ""
    layer: str = ""
    last: tuple[str, ...] = ()
