"""Attackers who do not search for a subspace of their own, so that fusion keeps what they train."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from mithridate.core.clients import ClientAttack, Known
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
