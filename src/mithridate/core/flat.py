"""The one flattening of a model for a federation: which tensors are aggregated, in which order.

Axes: p numbers of all parameters together, q numbers of all running moments, c classes.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import nn

from mithridate.core.errors import MethodError
from mithridate.core.inference import last_linear

MOMENTS = ("running_mean", "running_var")
"""What buffers that hold running moments are called; other buffers are constants or counters."""


class Part(NamedTuple):
    """One tensor of a model.

    Attributes:
        key: its name in the state dict.
        shape: its sides.
        dtype: its type in the model; in a flat vector everything is float32.
    """

    key: str
    shape: tuple[int, ...]
    dtype: torch.dtype

    @property
    def size(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)


class LastLayer(NamedTuple):
    """Where the last linear layer lies in a flat vector.

    Attributes:
        weight: first and last-plus-one number of its weight, float[c, d] in rows.
        bias: the same of its bias, float[c]; None where it has none.
        classes: c.
    """

    weight: tuple[int, int]
    bias: tuple[int, int] | None
    classes: int


@dataclass(frozen=True)
class FlatForm:
    """Which tensors of a model clients and server exchange.

    Integers (such as the number of batches seen), constants and everything else stay the server's:
    they are sent by nobody, averaged by nobody and enter no distance.

    Attributes:
        parameters: floating parameters; one that several layers share counts once.
        moments: running means and variances, which are averaged apart and enter no distance.
        head: where the last linear layer lies; None where there is none.
    """

    parameters: tuple[Part, ...]
    moments: tuple[Part, ...]
    head: LastLayer | None = None

    @staticmethod
    def of(model: nn.Module) -> FlatForm:
        """Give the form of a model.

        Raises:
            MethodError: where it has no floating parameter.
        """
        floating = [(k, v) for k, v in model.named_parameters() if v.is_floating_point()]
        moments = [
            (key, value)
            for key, value in model.state_dict().items()
            if key.rpartition(".")[2] in MOMENTS and value.is_floating_point()
        ]
        if not floating:
            raise MethodError(
                "the model has no floating parameters, so there is nothing that clients could "
                "train; give one that was not quantised"
            )
        parameters = tuple(Part(k, tuple(v.shape), v.dtype) for k, v in floating)
        kept = tuple(Part(k, tuple(v.shape), v.dtype) for k, v in moments)
        return FlatForm(parameters, kept, _head(model, parameters))

    @property
    def size(self) -> int:
        """Numbers of the parameters, p."""
        return sum(part.size for part in self.parameters)

    @property
    def moments_size(self) -> int:
        """Numbers of the running moments, q."""
        return sum(part.size for part in self.moments)

    @property
    def segments(self) -> tuple[tuple[int, int], ...]:
        """First and last-plus-one number of each parameter in a flat vector."""
        return _segments(self.parameters)

    def flatten(self, state: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Give the parameters of a state dict as one vector, float32[p]."""
        return _flat(self.parameters, state)

    def moments_of(self, state: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Give the running moments of a state dict as one vector, float32[q]."""
        return _flat(self.moments, state)

    def write(
        self, model: nn.Module, flat: torch.Tensor, moments: torch.Tensor | None = None
    ) -> None:
        """Write parameters, and moments where they are given, into a model of this form.

        Args:
            model: is changed; its types, its device and all its other tensors stay.
            flat: float32[p].
            moments: float32[q].

        Raises:
            MethodError: where a vector has another length.
        """
        state = model.state_dict()
        with torch.no_grad():
            for key, value in self.tensors(flat, moments).items():
                state[key].copy_(value)

    def tensors(
        self, flat: torch.Tensor, moments: torch.Tensor | None = None
    ) -> dict[str, torch.Tensor]:
        """Give parameters, and moments where they are given, by name, in the types of the model.

        Raises:
            MethodError: where a vector has another length.
        """
        given = [(self.parameters, flat)] + ([] if moments is None else [(self.moments, moments)])
        made: dict[str, torch.Tensor] = {}
        for parts, vector in given:
            total = sum(part.size for part in parts)
            if vector.shape != (total,):
                raise MethodError(
                    f"expected a vector of {total} numbers for this model, found shape "
                    f"{list(vector.shape)}; flatten with the FlatForm of the same model"
                )
            for part, (start, end) in zip(parts, _segments(parts), strict=True):
                made[part.key] = vector[start:end].view(part.shape).to(part.dtype)
        return made


def _segments(parts: Sequence[Part]) -> tuple[tuple[int, int], ...]:
    ends = list(itertools.accumulate((part.size for part in parts), initial=0))
    return tuple(itertools.pairwise(ends))


def _flat(parts: Sequence[Part], state: Mapping[str, torch.Tensor]) -> torch.Tensor:
    pieces = [state[part.key].detach().to(torch.float32).flatten() for part in parts]
    return torch.cat([torch.zeros(0, device=pieces[0].device if pieces else None), *pieces])


def _head(model: nn.Module, parameters: Sequence[Part]) -> LastLayer | None:
    """Where the last linear layer lies; None where its weight is no parameter of its own."""
    try:
        layer = last_linear(model)
    except MethodError:
        return None
    keys = {id(value): key for key, value in model.named_parameters()}
    of = dict(zip((part.key for part in parameters), _segments(parameters), strict=True))
    weight = of.get(keys.get(id(layer.weight), ""))
    bias = of.get(keys.get(id(layer.bias), "")) if layer.bias is not None else None
    return None if weight is None else LastLayer(weight, bias, layer.out_features)
