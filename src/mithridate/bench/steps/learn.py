"""What an attacker learns before it changes anything: a pattern, an encoder, a generator."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from mithridate.bench.step import Given, Output, Step
from mithridate.bench.steps.examples import Examples, Split
from mithridate.core.method import Attack, State
from mithridate.core.streams import stream


@dataclass(frozen=True, eq=False)
class Learn(Step):
    """Let an attack learn from the clean suspects; one learning serves every poison rate."""

    data: Examples
    attack: Attack
    seed: int

    heavy = True
    shows = ()

    def run(self, given: Given) -> Output:
        """Keep what was learnt."""
        split: Split = given(self.data)
        state = self.attack.learn(split.suspects, stream(self.seed, "learn"), given.runtime)
        return Output(pack_state(state))


def pack_state(state: State) -> dict[str, torch.Tensor]:
    """Name what an attacker learnt, so that it can lie beside other tensors."""
    return {f"state.{name}": value for name, value in state.items()}


def state_of(step: Step | None, given: Given) -> State | None:
    """Give what an attacker learnt in an earlier step; None where there was none."""
    if step is None:
        return None
    tensors = given.output(step).tensors
    return {name[6:]: value for name, value in tensors.items() if name.startswith("state.")}
