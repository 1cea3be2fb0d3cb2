"""What stands between prepared inputs and a network from elsewhere.

Axes: n examples, k channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import nn

from mithridate.core.errors import MethodError


class Adapter(nn.Module):
    """Prepared inputs[n, k, ...] as a network takes them: (x scale - mean) / std, differentiable.

    Args:
        scale: 1/255 for a network that was trained on 0..1.
        mean: one for all channels or one for each, after scaling.
        std: one for all channels or one for each, after scaling.
        layout: "NHWC" puts channels last.

    Raises:
        MethodError: where a standard deviation is not positive or the layout is unknown.
    """

    def __init__(
        self,
        scale: float = 1 / 255,
        mean: Sequence[float] = (0.0,),
        std: Sequence[float] = (1.0,),
        layout: Literal["NCHW", "NHWC"] = "NCHW",
    ) -> None:
        super().__init__()
        if min(std) <= 0 or layout not in ("NCHW", "NHWC"):
            raise MethodError(
                f"need a positive std and the layout NCHW or NHWC; found std {tuple(std)}, "
                f"layout {layout!r}"
            )
        self.scale, self.layout = scale, layout
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32))

    @classmethod
    def of(cls, mean: Sequence[float], std: Sequence[float]) -> Adapter | None:
        """Stand for (x / 255 - mean) / std, or for nothing where both are empty."""
        return cls(mean=mean or (0.0,), std=std or (1.0,)) if mean or std else None

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Scale, standardise and order the axes."""
        shape = (1, -1, *[1] * (batch.ndim - 2))
        mean, std = self.get_buffer("mean").view(shape), self.get_buffer("std").view(shape)
        floats = batch if batch.is_floating_point() else batch.to(mean.dtype)
        adapted = (floats * self.scale - mean) / std
        return adapted.movedim(1, -1) if self.layout == "NHWC" else adapted
