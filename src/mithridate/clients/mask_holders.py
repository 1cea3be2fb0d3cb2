"""Attackers who do not search for a subspace of their own, so that fusion keeps what they train."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from mithridate.core.clients import ClientAttack, Known
from mithridate.core.errors import MethodError
from mithridate.core.method import Attack


@dataclass(frozen=True)
class FixMask(ClientAttack):
    """Keep the first mask for ever instead of searching for a better one.

    All clients begin with one mask, which honest ones leave slowly, so the first one stays near
    their consensus.

    Attributes:
        data: the attack on the data.
    """

    paper = (
        "Huang et al., Lockdown: Backdoor Defense for Federated Learning with Isolated Subspace "
        "Training, NeurIPS 2023, section on adaptive attacks"
    )
    level = "medium"

    data: Attack | None = None

    def mask(self, mask: torch.Tensor, known: Known) -> torch.Tensor | None:
        """Keep what is held."""
        return mask


@dataclass(frozen=True)
class Omniscience(ClientAttack):
    """Train and claim exactly what survived the fusion of the last round.

    The released code of the paper fills no global mask, so its Omniscience is its FixMask bit for
    bit; here it is the consensus of all masks of the round before.

    Attributes:
        data: the attack on the data.
    """

    paper = (
        "Huang et al., Lockdown: Backdoor Defense for Federated Learning with Isolated Subspace "
        "Training, NeurIPS 2023, section on adaptive attacks"
    )
    level = "strong"

    data: Attack | None = None

    def mask(self, mask: torch.Tensor, known: Known) -> torch.Tensor | None:
        """Take the consensus."""
        return known.consensus.clone()


@dataclass(frozen=True)
class OverstatedOmniscience(Omniscience):
    """Train in the consensus, and overstate by how much one differs from the honest median.

    u' = median + push (u - median) inside the consensus, so every number lies as far out on the
    side of the poisoned update as an order statistic can notice. Made for aggregators that take
    medians inside masks, on which a larger push has no more effect than being on that side. Ours.

    Attributes:
        data: the attack on the data.
        push: the factor, above 1.
    """

    paper = "Omniscience (Huang et al., Lockdown, NeurIPS 2023) against a median"
    level = "strong"

    push: float = 10.0

    def submit(self, update: torch.Tensor, known: Known, rng: np.random.Generator) -> torch.Tensor:
        """Overstate; with nobody honest in the round the update is sent as it is."""
        if not self.push > 1:
            raise MethodError(f"expected a push above 1, found {self.push}")
        if not len(known.others):
            return update
        ranked = known.others.sort(0).values  # torch.quantile takes 16 million numbers at most
        middle = (ranked[(len(ranked) - 1) // 2] + ranked[len(ranked) // 2]) / 2
        return torch.where(known.consensus, middle + self.push * (update - middle), 0.0)
