"""How many examples pass through networks while something runs."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any

import torch
from torch import nn
from torch.nn.modules import module as everywhere


class Passes:
    """Counts, inside its block, examples that enter a network, copies and helpers included.

    passed, returned: examples, forward and back. A network is whatever has parameters and is called
    by no other module.
    """

    def __init__(self) -> None:
        self.passed, self.returned = 0, 0
        self._depth, self._began = 0, time.perf_counter()

    def __enter__(self) -> Passes:
        self._began = time.perf_counter()
        self._hooks = (
            everywhere.register_module_forward_pre_hook(self._enters),
            everywhere.register_module_forward_hook(self._leaves, always_call=True),
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        for hook in self._hooks:
            hook.remove()

    def cost(self) -> dict[str, float]:
        """Give what was counted, and the seconds since the block began."""
        return {
            "seconds": time.perf_counter() - self._began,
            "forward": float(self.passed),
            "backward": float(self.returned),
        }

    def _enters(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        self._depth += 1

    def _leaves(self, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        self._depth -= 1
        outermost = self._depth == 0 and inputs and isinstance(inputs[0], torch.Tensor)
        if not outermost or output is None or next(module.parameters(), None) is None:
            return
        n = len(inputs[0])
        self.passed += n
        if isinstance(output, torch.Tensor) and output.requires_grad:
            output.register_hook(lambda _: self._back(n))

    def _back(self, n: int) -> None:
        self.returned += n
