"""Attackers who train where honest clients do not, so that the backdoor lasts.

Axes: p numbers of a model's parameters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from mithridate.core.clients import ClientAttack, Known, Level
from mithridate.core.errors import MethodError
from mithridate.core.fit import Wrap
from mithridate.core.method import Attack
from mithridate.core.steering import gradients_within


@dataclass(frozen=True)
class Neurotoxin(ClientAttack):
    """Train only the parameters that the last global step moved least.

    The `avoid` share of the numbers with the largest |w_t - w_{t-1}| are left to the honest. Before
    any step is seen the attacker trains all.

    Where clients isolate themselves in masks, the mask that it claims are these numbers, as in the
    code of Lockdown: what nobody trains has moved least of all, so none of them lies in the masks
    of honest clients and the attack removes itself. `InsideNeurotoxin` does not.

    Attributes:
        data: the attack on the data.
        avoid: share of the numbers that are left alone, in [0, 1).
    """

    paper = "Zhang et al., Neurotoxin: Durable Backdoors in Federated Learning, ICML 2022"
    links = ("https://arxiv.org/abs/2206.10341",)
    level: ClassVar[Level] = "weak"

    data: Attack | None = None
    avoid: float = 0.05

    def wrap(self, known: Known) -> Wrap | None:
        """Hold the gradients of what is left alone at zero."""
        kept = self.trained(known)
        return None if kept is None else gradients_within(kept)

    def mask(self, mask: torch.Tensor, known: Known) -> torch.Tensor | None:
        """Claim as many numbers as the own mask has, those that moved least."""
        moved = known.last_step.abs()
        if not bool(moved.any()):
            return mask
        claimed = torch.zeros_like(mask)
        claimed[moved.topk(int(mask.sum()), largest=False).indices] = True
        return claimed

    def trained(self, known: Known) -> torch.Tensor | None:
        """Give the numbers that are trained, bool[p]; None where that is all of them.

        Raises:
            MethodError: where the share is out of range.
        """
        if not 0 <= self.avoid < 1:
            raise MethodError(f"expected the share to avoid in [0, 1), found {self.avoid}")
        return least_moved(known.last_step, self.avoid)


@dataclass(frozen=True)
class InsideNeurotoxin(Neurotoxin):
    """Train what moved least among the numbers that survive the fusion of masks.

    Neurotoxin made for Lockdown: it claims the consensus of the last round, and leaves the `avoid`
    share of it alone that the last global step moved most. Ours; no paper has it.

    Attributes:
        data: the attack on the data.
        avoid: share of the consensus that is left alone, in [0, 1).
    """

    paper = "Neurotoxin (Zhang et al., ICML 2022) inside the masks of Lockdown"
    level = "strong"

    def mask(self, mask: torch.Tensor, known: Known) -> torch.Tensor | None:
        """Claim the consensus."""
        return known.consensus.clone()

    def trained(self, known: Known) -> torch.Tensor | None:
        """Give the numbers of the consensus that moved least."""
        inside = known.consensus
        kept = inside.clone()
        few = least_moved(known.last_step[inside], self.avoid)
        if few is not None:
            kept[inside] = few
        return kept


def least_moved(step: torch.Tensor, avoid: float) -> torch.Tensor | None:
    """Give all numbers but the share that moved most, bool[p]; None where nothing moved."""
    count = round(avoid * len(step))
    if not count or not bool(step.any()):
        return None
    kept = torch.ones_like(step, dtype=torch.bool)
    kept[step.abs().topk(count).indices] = False
    return kept
