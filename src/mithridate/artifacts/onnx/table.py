"""The table of operators that the interpreter knows, and what it is sure of in each.

A node is admitted before anything runs: an operator, an attribute, a value of an attribute or an
output that is not in the table ends in CannotJudge, which names it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch

from mithridate.core.errors import CannotJudge

LARGEST = 2**28
"""Elements of one tensor; more is no step of an ordinary classifier but a bomb."""
OLDEST = 7
"""The first set of operators in which shapes are broadcast as they still are."""


@dataclass(frozen=True)
class Call:
    """A node at work.

    Attributes:
        inputs: tensors, None where one is left out.
        attributes: as in the file.
        opset: the version of the operators.
        outputs: how many are asked for.
        batch: examples that the network was given.
        clips: whether quantised activations stay in their ranges, see `Rounder`.
    """

    inputs: Sequence[torch.Tensor | None]
    attributes: Mapping[str, Any]
    opset: int
    outputs: int = 1
    batch: int = 1
    clips: bool = True

    def __getitem__(self, place: int) -> torch.Tensor:
        value = self.get(place)
        if value is None:
            raise ValueError(f"input {place} is missing")
        return value

    def get(self, place: int) -> torch.Tensor | None:
        """An input that may be left out."""
        return self.inputs[place] if place < len(self.inputs) else None

    def setting(self, name: str, default: Any = None) -> Any:
        """An attribute, or what holds without it."""
        return self.attributes.get(name, default)

    def whole(self, place: int, name: str) -> list[int] | None:
        """Whole numbers that newer files give as an input and older ones as an attribute."""
        value = self.get(place)
        numbers = self.attributes.get(name) if value is None else value.flatten().tolist()
        return None if numbers is None else [int(number) for number in numbers]


Function: TypeAlias = Callable[[Call], torch.Tensor | Sequence[torch.Tensor]]
Allowed: TypeAlias = Callable[[Any], bool]


@dataclass(frozen=True)
class Operator:
    """What computes an operator, the values allowed of each attribute, and how many outputs."""

    function: Function
    allowed: Mapping[str, Allowed]
    outputs: int = 1


OPERATORS: dict[str, Operator] = {}
"""By name, those that are not of the standard set with what they are of before it."""


def anything(_: Any) -> bool:
    """Allow every value of an attribute."""
    return True


def only(*values: Any) -> Allowed:
    """Allow some values of an attribute."""
    return lambda value: value in values


def ones(values: Any) -> bool:
    """Allow a list of ones, which leaves things as they are."""
    return all(value == 1 for value in values)


def operator(*names: str, outputs: int = 1, **allowed: Allowed) -> Callable[[Function], Function]:
    """Enter a function into the table under some names, with the attributes that it understands."""

    def enter(function: Function) -> Function:
        for name in names:
            OPERATORS[name] = Operator(function, allowed, outputs)
        return function

    return enter


def full_name(name: str, domain: str) -> str:
    """Name an operator: as it is where it is of the standard set, else with its domain."""
    return name if domain in ("", "ai.onnx") else f"{domain}.{name}"


def admit(full: str, attributes: Mapping[str, Any], outputs: int, where: str) -> Operator:
    """Find the operator of a node, or raise CannotJudge with what is not understood of it.

    Args:
        full: its full name.
    """
    known = OPERATORS.get(full)
    if known is None:
        raise CannotJudge(f"the operator {full!r} of {where} has no derivatives here; {INSTEAD}")
    for key, value in attributes.items():
        if key not in known.allowed:
            raise CannotJudge(
                f"the attribute {key!r} of {full!r} in {where} is not understood; {INSTEAD}"
            )
        if not known.allowed[key](value):
            raise CannotJudge(
                f"{full!r} in {where} has {key} = {str(value)[:80]}, which is not understood; "
                f"{INSTEAD}"
            )
    if outputs > known.outputs:
        raise CannotJudge(
            f"{full!r} in {where} gives {outputs} outputs, of which {known.outputs} can be "
            f"computed; {INSTEAD}"
        )
    return known


INSTEAD = "use methods without gradients on a Session instead"


def check_shape(shape: Sequence[int]) -> list[int]:
    """Give a shape back if a tensor of it is of a sane size, and raise ValueError otherwise."""
    elements = 1
    for length in shape:
        elements *= int(length)
    if elements > LARGEST or min(shape, default=0) < 0:
        raise ValueError(f"expected at most {LARGEST} elements, found the shape {list(shape)}")
    return list(shape)
