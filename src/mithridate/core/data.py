"""Labelled data as columns, and the truth about an attack, which travels separately.

Axes: n examples. Raw inputs are what an attacker can touch, before any normalisation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import torch

from mithridate.core.errors import DataError

Inputs: TypeAlias = Any
"""Raw inputs[n]: a tensor of bytes, an array object[n] of texts, a structured array[n] of rows."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled examples as columns.

    Attributes:
        inputs: raw inputs[n].
        labels: int64[n].
        ids: int64[n], unique, kept through every subset.
        classes: the names of the classes, `labels` index into them.
    """

    inputs: Inputs
    labels: torch.Tensor
    ids: torch.Tensor
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        n = len(self.inputs)
        if len(self.labels) != n or len(self.ids) != n:
            raise DataError(
                "a data set needs as many labels and ids as inputs: "
                f"found {n} inputs, {len(self.labels)} labels, {len(self.ids)} ids"
            )
        if self.labels.dtype != torch.int64 or self.ids.dtype != torch.int64:
            raise DataError(
                f"labels and ids must be int64, found {self.labels.dtype} and {self.ids.dtype}"
            )
        if n and not 0 <= int(self.labels.min()) <= int(self.labels.max()) < len(self.classes):
            raise DataError(
                f"labels must lie in 0..{len(self.classes) - 1} (there are {len(self.classes)} "
                f"classes), found {int(self.labels.min())}..{int(self.labels.max())}"
            )

    def __len__(self) -> int:
        return len(self.inputs)

    def subset(self, index: torch.Tensor | np.ndarray[Any, Any] | Sequence[int]) -> Dataset:
        """Give the rows at `index` (int64[k] positions or bool[n]), with their ids."""
        where = torch.as_tensor(np.asarray(index))
        if where.dtype == torch.bool:
            where = where.nonzero().flatten()
        where = where.long()
        inputs = self.inputs
        rows = inputs[where] if isinstance(inputs, torch.Tensor) else inputs[where.numpy()]
        return replace(self, inputs=rows, labels=self.labels[where], ids=self.ids[where])

    def with_inputs(self, inputs: Inputs) -> Dataset:
        """Give the same rows with other inputs."""
        return replace(self, inputs=inputs)


def dataset(inputs: Inputs, labels: Any, classes: Sequence[str] | None = None) -> Dataset:
    """Build a data set from raw inputs[n] and labels[n]; ids are 0..n-1.

    Without `classes` they are named "0", "1", ... up to the largest label.
    """
    known = labels if isinstance(labels, torch.Tensor) else torch.from_numpy(np.array(labels))
    column = known.long()
    if classes is None:
        classes = [str(c) for c in range(int(column.max()) + 1 if len(column) else 0)]
    return Dataset(inputs, column, torch.arange(len(column)), tuple(classes))


def concatenate(first: Dataset, second: Dataset) -> Dataset:
    """Put two data sets of the same classes one after the other; ids are renumbered 0..n-1."""
    if first.classes != second.classes:
        raise DataError(
            "the two data sets name different classes: "
            f"expected {list(first.classes)[:5]}..., found {list(second.classes)[:5]}..."
        )
    if isinstance(first.inputs, torch.Tensor):
        if first.inputs.shape[1:] != second.inputs.shape[1:]:
            raise DataError(
                "the two data sets hold inputs of different shapes: "
                f"expected {list(first.inputs.shape[1:])}, found {list(second.inputs.shape[1:])}"
            )
        inputs: Inputs = torch.cat([first.inputs, second.inputs])
    else:
        if first.inputs.dtype.names != second.inputs.dtype.names:
            raise DataError(
                "the two data sets hold rows of different columns: expected "
                f"{list(first.inputs.dtype.names or ())[:5]}..., found "
                f"{list(second.inputs.dtype.names or ())[:5]}..."
            )
        inputs = np.concatenate([first.inputs, second.inputs])
    labels = torch.cat([first.labels, second.labels])
    return Dataset(inputs, labels, torch.arange(len(labels)), first.classes)


def of_classes(data: Dataset, classes: tuple[str, ...], what: str) -> Dataset:
    """Give the same examples with labels that index into other class names.

    Raises:
        DataError: where an example is of a class that is not among them.
    """
    if data.classes == classes:
        return data
    there = {data.classes[label] for label in data.labels.unique().tolist()}
    strange = sorted(there - set(classes))
    if strange:
        raise DataError(
            f"expected {what} examples of the classes {list(classes)[:10]}, found {strange[:10]}; "
            "name the classes alike in both"
        )
    place = {name: number for number, name in enumerate(classes)}
    numbers = torch.tensor([place.get(name, -1) for name in data.classes])
    return replace(data, labels=numbers[data.labels], classes=classes)


@dataclass(frozen=True, eq=False)
class Truth:
    """What the attack did, for the referee alone; no defence ever receives one.

    Attributes:
        poisoned: bool[n], trigger and label chosen by the attacker.
        cover: bool[n], trigger with the true label.
        labels: int64[n], before the attack.
    """

    poisoned: torch.Tensor
    cover: torch.Tensor
    labels: torch.Tensor


@dataclass(frozen=True, eq=False)
class Poisoned:
    """A poisoned data set, and the truth about it beside it."""

    data: Dataset
    truth: Truth


def leave_untouched(data: Dataset) -> Poisoned:
    """Give data that an attacker left alone, and the truth that says so."""
    none = torch.zeros(len(data), dtype=torch.bool)
    return Poisoned(data, Truth(none, none.clone(), data.labels.clone()))
