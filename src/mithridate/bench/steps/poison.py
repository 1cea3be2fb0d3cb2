"""What the attacker does to the data; the truth about it is read apart from the data.

Axes: n suspects.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from mithridate.bench.step import Given, Output, Step
from mithridate.bench.steps.data import Data, Split
from mithridate.bench.steps.learn import Learn, state_of
from mithridate.bench.steps.packing import pack, unpack
from mithridate.core.data import Dataset, Inputs, Truth
from mithridate.core.method import Attack
from mithridate.core.streams import stream


@dataclass(frozen=True, eq=False)
class Poison(Step):
    """Poison the suspects; without an attack they are the clean twin of every attack.

    Attributes:
        learnt: where the attack learnt first, the step in which it did.
    """

    data: Data
    attack: Attack | None
    seed: int
    learnt: Learn | None = None

    def run(self, given: Given) -> Output:
        """Keep the rows that changed, and the truth."""
        split: Split = given(self.data)
        clean = split.suspects
        if self.attack is None:
            return Output(facts={"poisoned": 0, "changed": 0})
        made = self.attack.poison(clean, stream(self.seed, "poison"), state_of(self.learnt, given))
        rows = _changed_rows(clean, made.data)
        part = made.data.subset(rows)
        tensors = {
            "rows": rows,
            "labels": part.labels,
            "truth.poisoned": made.truth.poisoned,
            "truth.cover": made.truth.cover,
            **pack(part.inputs),
        }
        return Output(tensors, {"poisoned": int(made.truth.poisoned.sum()), "changed": len(rows)})

    def value(self, output: Output, given: Given) -> Dataset:
        """Give the suspects as the defender finds them."""
        split: Split = given(self.data)
        if self.attack is None:
            return split.suspects
        rows, labels = output.tensors["rows"], split.suspects.labels.clone()
        labels[rows] = output.tensors["labels"]
        inputs = _replace_rows(split.suspects.inputs, rows, unpack(output.tensors))
        return replace(split.suspects, inputs=inputs, labels=labels)


def truth_about(poison: Poison, given: Given) -> Truth:
    """Read what the attack did to the suspects; for the referee alone."""
    split: Split = given(poison.data)
    nobody = torch.zeros(len(split.suspects), dtype=torch.bool)
    tensors = given.output(poison).tensors
    return Truth(
        tensors.get("truth.poisoned", nobody),
        tensors.get("truth.cover", nobody),
        split.suspects.labels,
    )


def _changed_rows(before: Dataset, after: Dataset) -> torch.Tensor:
    """Positions of rows whose input or label is another, int64[k]."""
    labels = before.labels != after.labels
    if isinstance(before.inputs, torch.Tensor):
        inputs = (before.inputs != after.inputs).flatten(1).any(1)
    else:
        inputs = torch.from_numpy((before.inputs != after.inputs).astype(bool))
    changed: torch.Tensor = labels | inputs
    return changed.nonzero().flatten()


def _replace_rows(inputs: Inputs, rows: torch.Tensor, new: Inputs) -> Inputs:
    if isinstance(inputs, torch.Tensor):
        copy: Inputs = inputs.clone()
        copy[rows] = new
        return copy
    copy = inputs.copy()
    copy[rows.numpy()] = new
    return copy
