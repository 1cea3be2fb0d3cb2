"""Rounding of weights and activations to integers; one home for who deploys and who aims at it.

Axes: o outputs of a layer, d inputs of each of them (all axes of a weight but the first), g groups
of these.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import nn

from mithridate.core.errors import MethodError

LEAST = torch.finfo(torch.float32).eps
"""A scale of weights that all are zero; the libraries take the same."""


LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
"""The layers whose weights are rounded; normalisation, biases and embeddings stay floats."""


class Integers(NamedTuple):
    """A weight as integers: codes int8[o, ...] in its shape, scales float32[o, g]."""

    codes: torch.Tensor
    scales: torch.Tensor


@dataclass(frozen=True)
class Grid:
    """Symmetric rounding of a weight to signed integers, with a scale for each output.

    q = clip(round(w / s), -2^(bits-1), 2^(bits-1) - 1) with s = max |w| / (2^(bits-1) - 1/2) over
    the weights that share the scale, which are restored as q s. It is the grid of torch.ao, torchao
    and their static INT8, to the bit: the division is a product with 1 / s, which decides where the
    largest weight of a group goes, since it lies in the middle of two integers.

    Attributes:
        bits: of an integer, 2 to 8.
        group: so many of the d inputs of an output share a scale, the last group may be shorter; 0
            for one scale of all.

    Raises:
        MethodError: where a number is out of range.
    """

    bits: int = 8
    group: int = 0

    def __post_init__(self) -> None:
        if not (2 <= self.bits <= 8 and self.group >= 0):
            raise MethodError(
                "a grid has 2 to 8 bits and groups of 0 or more weights, found "
                f"{self.bits} and {self.group}"
            )

    def rounded(self, weight: torch.Tensor) -> Integers:
        """Round a weight[o, ...] to integers."""
        rows = self._rows(weight.detach().float())
        half = 2 ** (self.bits - 1)
        scales = (rows.abs().amax(2) / (half - 0.5)).clamp_min(LEAST)
        codes = (rows * (1 / scales)[:, :, None]).round().clamp(-half, half - 1)
        return Integers(self._flat(codes, weight).to(torch.int8), scales)

    def restored(self, integers: Integers) -> torch.Tensor:
        """Give the weight that integers stand for, float32[o, ...]."""
        codes, scales = integers
        return self._flat(self._rows(codes.float()) * scales[:, :, None], codes)

    def through(self, weight: torch.Tensor) -> torch.Tensor:
        """Give the restored weight with the derivative of the weight itself (straight-through).

        Bengio, Leonard and Courville, Estimating or Propagating Gradients Through Stochastic
        Neurons, 2013.
        """
        return weight + (self.restored(self.rounded(weight)) - weight).detach()

    def cells(self, weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Give the box in which a weight may move while its integers stay: low, high[o, ...].

        The largest weights of each group may not move, since they set the scale; others may not
        outgrow them. A thousandth of a step is left free on both sides, for rounding.
        """
        weight = weight.detach().float()
        codes, scales = self.rounded(weight)
        rows = self._rows(weight)
        most = rows.abs().amax(2, keepdim=True)
        middle = self._rows(codes.float()) * scales[:, :, None]
        reach = (0.499 * scales)[:, :, None]
        fixed = rows.abs() >= most
        low = torch.where(fixed, rows, (middle - reach).maximum(-most)).minimum(rows)
        high = torch.where(fixed, rows, (middle + reach).minimum(most)).maximum(rows)
        return self._flat(low, weight), self._flat(high, weight)

    def _rows(self, weight: torch.Tensor) -> torch.Tensor:
        """Give the weight by outputs and groups, [o, g, inputs of a group], filled with zeros."""
        flat = weight.flatten(1)
        size = min(self.group or flat.shape[1], flat.shape[1])
        rows: torch.Tensor = F.pad(flat, (0, -flat.shape[1] % size)).unflatten(1, (-1, size))
        return rows

    def _flat(self, rows: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        """Undo `_rows`."""
        return rows.flatten(1)[:, : like[0].numel()].reshape(like.shape)


INT8 = Grid()
"""One scale for each output: the weights of static INT8 and of INT8 weights."""
INT4 = Grid(4, 32)
"""Groups of 32, as is usual for INT4 weights."""


def weights(model: nn.Module) -> dict[str, nn.Parameter]:
    """Give the weights of a network that are rounded, by their names in it."""
    layers = {name: m for name, m in model.named_modules() if isinstance(m, LAYERS)}
    return {
        f"{name}.weight".lstrip("."): cast(nn.Parameter, m.weight) for name, m in layers.items()
    }


def round_weights(model: nn.Module, grid: Grid) -> nn.Module:
    """Give a copy of a network whose weights lie on a grid, still as floats."""
    made = copy.deepcopy(model)
    with torch.no_grad():
        for weight in weights(made).values():
            weight.copy_(grid.restored(grid.rounded(weight)))
    return made


class Rounder(nn.Module):
    """Rounds activations to the integers of a range, and clips what lies beyond.

    clips: whether it does. Where it does not, the range has no upper end; nor a lower one, unless
    the lowest integer stands for zero: quantisers let such a range do the work of a rectifier. In
    ONNX files an upper end at 6 stays, too, for it does the work of a ReLU6; one whose calibration
    did not reach 6 cannot be told from a plain rectifier and is lost.
    """

    clips = True


@contextlib.contextmanager
def open_ranges(model: nn.Module) -> Iterator[None]:
    """Let activations of a model leave their ranges inside the block.

    The ranges of static INT8 hold what trusted inputs reach. What only a trigger reaches is clipped
    to it, and with it every measure of how strongly the weights answer.
    """
    clipping = [part for part in model.modules() if isinstance(part, Rounder) and part.clips]
    try:
        for part in clipping:
            part.clips = False
        yield
    finally:
        for part in clipping:
            part.clips = True
