"""Logits of networks that end in a softmax: what goes into it, and not the shares that come out.

Axes: b images of a batch, c classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.overrides import TorchFunctionMode

SOFTMAXES = (F.softmax, torch.softmax, torch.Tensor.softmax, torch.special.softmax)
"""The names of one function."""


class _Watch(TorchFunctionMode):
    """Remembers the last softmax that is computed: what went in and what came out."""

    def __init__(self) -> None:
        super().__init__()
        self.given: Any = None
        self.made: Any = None

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Compute, and remember a softmax."""
        made = func(*args, **(kwargs or {}))
        if func in SOFTMAXES:
            self.given, self.made = (args or tuple((kwargs or {}).values()))[0], made
        return made


def before_softmax(model: nn.Module, batch: torch.Tensor) -> torch.Tensor | None:
    """Give what goes into the softmax at the end of a network, [b, c]; None where none is there.

    Where the softmax stands, in a layer or in the function that computes the answer, is the same;
    nothing may come after it.
    """
    with _Watch() as watch:
        answer = model(batch)
    if watch.made is None or answer is not watch.made:
        return None
    logits: torch.Tensor = watch.given
    return logits
