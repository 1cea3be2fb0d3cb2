"""Muon: each step turns a filter bank evenly in all directions, by its momentum made orthogonal.

Axes: r rows, c columns of a matrix; a filter bank is the matrix with a row for each output.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch

from mithridate.core.optimisers import SGD

QUINTIC = (3.4445, -4.7750, 2.0315)
"""Of the odd polynomial that brings singular values near one; they end between 0.68 and 1.13."""

TABLE = 64
"""A matrix with so many times more rows than columns, or columns than rows, is looked up in."""


class Muon(SGD):
    """Orthogonalised momentum for filters and matrices, plain gradient descent for the rest.

    With the momentum M <- mu M + G of a matrix W and the Nesterov direction D = G + mu M it steps
    W <- W - rate |W| O / |O|, where O = U V' for D = U S V', and gives W its earlier length again:
    what is followed by a normalisation does not depend on it. O comes from a few rounds of
    Newton and Schulz and not from a decomposition. Tables of vectors, the last matrix (which says
    the classes) and vectors are left to gradient descent.
    Jordan et al., Muon: An Optimizer for Hidden Layers in Neural Networks, 2024.

    Args:
        parameters: What is trained.
        lr: The rate of plain gradient descent.
        times: The rate of filters and matrices, as a multiple of `lr`.
        momentum: Of both.
        weight_decay: Of plain gradient descent.
        rounds: Of Newton and Schulz.
        exact: Whether these compute in 32 bits and not in bf16.
    """

    def __init__(
        self, parameters: Iterable[torch.nn.Parameter], lr: float, times: float = 1.0,
        momentum: float = 0.9, weight_decay: float = 0.0, rounds: int = 3, exact: bool = False,
    ) -> None:  # fmt: skip
        every = list(parameters)
        turned = {id(p) for p in hidden(every)}
        groups = [
            {"params": [p for p in every if id(p) not in turned], "turned": False},
            {"params": [p for p in every if id(p) in turned], "turned": True},
        ]
        super().__init__(
            [group for group in groups if group["params"]],
            lr=lr, momentum=momentum, weight_decay=weight_decay, nesterov=momentum > 0,
        )  # fmt: skip
        self.times, self.rounds = times, rounds
        self.dtype = torch.float32 if exact else torch.bfloat16

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Take a step; `closure` is for whoever calls any optimiser, and is not asked."""
        for group in self.param_groups:
            moved = [p for p in group["params"] if p.grad is not None]
            if moved:
                ways = self._directions(group, moved)
                (self._turn if group["turned"] else self._descend)(moved, ways, group["lr"])

    def _directions(self, group: dict[str, Any], moved: list[Any]) -> list[torch.Tensor]:
        """Give the Nesterov direction of each parameter, and keep its momentum."""
        decay = 0.0 if group["turned"] else group["weight_decay"]
        slopes = [p.grad.add(p, alpha=decay) for p in moved]
        if not group["momentum"]:
            return slopes
        for p in moved:
            if self.state[p].get("momentum_buffer") is None:
                self.state[p]["momentum_buffer"] = torch.zeros_like(p)
        kept = [self.state[p]["momentum_buffer"] for p in moved]
        torch._foreach_mul_(kept, group["momentum"])
        torch._foreach_add_(kept, slopes)
        torch._foreach_add_(slopes, kept, alpha=group["momentum"])
        return slopes

    def _descend(self, moved: list[Any], ways: list[torch.Tensor], rate: float) -> None:
        torch._foreach_add_(moved, ways, alpha=-rate)

    def _turn(self, moved: list[Any], ways: list[torch.Tensor], rate: float) -> None:
        for weight, way in zip(moved, ways, strict=True):
            # columns in their order in memory: it changes nothing, and copies nothing
            order = [0, *sorted(range(1, way.ndim), key=way.stride, reverse=True)]
            flat = way.permute(order)
            even = orthogonal(flat.flatten(1).to(self.dtype), self.rounds).to(way.dtype)
            length, size = weight.norm(), even.norm()
            step = even.mul_(-rate * self.times * length / (size + 1e-12)).view_as(flat)
            weight.permute(order).add_(step)
            weight.mul_(length / (weight.norm() + 1e-12))


def hidden(parameters: list[torch.nn.Parameter]) -> list[torch.nn.Parameter]:
    """Choose those that are turned: filters, and matrices but for tables and the last one.

    What begins at zero has no length to keep, and is left to gradient descent.
    """
    matrices = [p for p in parameters if p.ndim == 2]
    inner = [p for p in matrices[:-1] if max(p.shape) < TABLE * min(p.shape)]
    filters = [p for p in parameters if p.ndim > 2 and min(p.shape[0], p[0].numel()) > 1]
    return [p for p in (*filters, *inner) if bool(p.detach().any())]


def orthogonal(matrix: torch.Tensor, rounds: int) -> torch.Tensor:
    """Bring the singular values of a matrix float[r, c] near one, its directions as they are.

    Each round maps them by a s + b s^3 + c s^5, from a matrix of length one.
    """
    a, b, c = QUINTIC
    wide = matrix if len(matrix) <= matrix.shape[1] else matrix.T
    wide = wide / (wide.norm() + 1e-7)
    for _ in range(rounds):
        square = wide @ wide.T
        wide = torch.addmm(wide, torch.addmm(square, square, square, beta=b, alpha=c), wide, beta=a)
    return wide if len(matrix) <= matrix.shape[1] else wide.T
