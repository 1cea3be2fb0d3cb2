"""What the attacker does to the data.

Axes: n suspects.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from mithridate.bench.step import Given, NotDone, Output
from mithridate.bench.steps.examples import Split
from mithridate.bench.steps.learn import Learn, state_of
from mithridate.bench.steps.suspects import Suspects
from mithridate.core.data import Dataset, Poisoned
from mithridate.core.domain import Domain
from mithridate.core.fingerprint import differing
from mithridate.core.method import Attack, WeightsAttack
from mithridate.core.streams import stream


@dataclass(frozen=True, eq=False)
class Poison(Suspects):
    """Poison the suspects; without an attack they are the clean twin of every attack.

    Attributes:
        learnt: where the attack learnt first, the step in which it did.
    """

    attack: Attack | None
    seed: int
    learnt: Learn | None = None

    def run(self, given: Given) -> Output:
        """Keep the rows that changed, and the truth.

        Raises:
            NotDone: "void", where the poison rate rounds to no example at all: what followed would
                be about clean data under the name of an attack.
        """
        split: Split = given(self.data)
        clean = split.suspects
        if self.attack is None:
            return Output(facts={"poisoned": 0, "changed": 0})
        made = self.attack.poison(clean, stream(self.seed, "poison"), state_of(self.learnt, given))
        if not isinstance(self.attack, WeightsAttack):
            check_some(made)
        return pack_poisoned(clean, made, split.domain)


def pack_poisoned(clean: Dataset, made: Poisoned, domain: Domain) -> Output:
    """Keep the rows that an attack changed, and the truth."""
    rows = _changed_rows(clean, made.data)
    part = made.data.subset(rows)
    tensors = {
        "rows": rows,
        "labels": part.labels,
        "truth.poisoned": made.truth.poisoned,
        "truth.cover": made.truth.cover,
        **domain.pack(part.inputs),
    }
    return Output(tensors, {"poisoned": int(made.truth.poisoned.sum()), "changed": len(rows)})


def check_some(made: Poisoned) -> None:
    """Raise NotDone where nothing was poisoned."""
    n = len(made.data)
    if not made.truth.poisoned.any():
        raise NotDone(
            "void",
            f"the attack poisons none of {n} suspects: its poison rate rounds to nothing; ask for "
            f"a rate of at least {1 / n:.2g}, or for more suspects",
        )


def _changed_rows(before: Dataset, after: Dataset) -> torch.Tensor:
    """Positions of rows whose input or label is another, int64[k]."""
    labels = before.labels != after.labels
    changed: torch.Tensor = labels | differing(before.inputs, after.inputs)
    return changed.nonzero().flatten()
