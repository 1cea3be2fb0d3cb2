"""The suspects as the defender finds them, and the truth about them, read apart.

Axes: n suspects, k of them that the attack changed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from mithridate.bench.step import Given, Output, Step
from mithridate.bench.steps.examples import Examples, Split
from mithridate.core.data import Dataset, Inputs, Truth


@dataclass(frozen=True, eq=False)
class Suspects(Step):
    """A step whose value is the suspects, some of their rows changed."""

    data: Examples

    shows = ("data",)

    def value(self, output: Output, given: Given) -> Dataset:
        """Put the changed rows in their places."""
        split: Split = given(self.data)
        if "rows" not in output.tensors:
            return split.suspects
        rows, labels = output.tensors["rows"], split.suspects.labels.clone()
        labels[rows] = output.tensors["labels"]
        inputs = _replace_rows(split.suspects.inputs, rows, split.domain.unpack(output.tensors))
        return replace(split.suspects, inputs=inputs, labels=labels)


def truth_about(poison: Suspects, given: Given) -> Truth:
    """Read what the attack did to the suspects; for the referee alone."""
    split: Split = given(poison.data)
    nobody = torch.zeros(len(split.suspects), dtype=torch.bool)
    tensors = given.output(poison).tensors
    return Truth(
        tensors.get("truth.poisoned", nobody),
        tensors.get("truth.cover", nobody),
        split.suspects.labels,
    )


def _replace_rows(inputs: Inputs, rows: torch.Tensor, new: Inputs) -> Inputs:
    if isinstance(inputs, torch.Tensor):
        copy: Inputs = inputs.clone()
        copy[rows] = new
        return copy
    copy = inputs.copy()
    copy[rows.numpy()] = new
    return copy
