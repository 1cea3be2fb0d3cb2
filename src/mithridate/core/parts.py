"""Inputs in parts, by domains whose inputs have some: what can be left out, or put before others.

Axes: n inputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch

from mithridate.core.data import Inputs
from mithridate.core.errors import CannotJudge
from mithridate.core.view import View


@dataclass(frozen=True)
class Parted:
    """One raw input in parts.

    Attributes:
        pieces: the parts in order, as they are written; `whole` puts them together again.
        names: what each of them is, equal for parts that mean the same.
    """

    pieces: tuple[str, ...]
    names: tuple[str, ...]


@runtime_checkable
class HasParts(Protocol):
    """A domain whose inputs have parts; others lack these members."""

    def parts(self, inputs: Inputs) -> list[Parted]:
        """Divide raw inputs[n], each alone."""

    def whole(self, pieces: Sequence[Sequence[str]]) -> Inputs:
        """Put the parts of each of n inputs together: all of an input's parts give that input."""

    def surprise(self, inputs: Inputs, model: str) -> torch.Tensor:
        """Say how unexpected raw inputs[n] are to a model of such data in a folder, float64[n].

        -log p of the whole input, in nats; no code of the folder is run.

        Raises:
            MethodError: where the folder holds no such model.
        """


def parted_domain(view: View) -> HasParts:
    """Give the domain of a view as one that has parts.

    Raises:
        CannotJudge: where its inputs have none.
    """
    domain = view.domain
    if not isinstance(domain, HasParts):
        raise CannotJudge(
            f"inputs of the domain {domain.name!r} have no parts that could be left out; use a "
            "detector of features or a guard that only asks the model"
        )
    return domain


def each_left_out(parted: Sequence[Parted]) -> tuple[list[tuple[str, ...]], torch.Tensor]:
    """Give every input without each of its parts, one after the other, and whose that is.

    Returns the pieces, and the positions of the inputs int64[k].
    """
    pieces, rows = list[tuple[str, ...]](), list[int]()
    for row, one in enumerate(parted):
        for place in range(len(one.pieces)):
            pieces.append(one.pieces[:place] + one.pieces[place + 1 :])
            rows.append(row)
    return pieces, torch.tensor(rows, dtype=torch.int64)
