"""Lockdown's server: a mean of masked updates, and a quorum that says what is deployed.

Axes: m clients, p parameters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from mithridate.aggregators.assuming import checked
from mithridate.aggregators.blocks import blocks
from mithridate.core.errors import MethodError
from mithridate.core.federated import Aggregated, Aggregator, Round
from mithridate.core.method import State


@dataclass(frozen=True)
class Lockdown(Aggregator):
    """Average what each client trained inside its own mask, and deploy what a quorum trained.

        step_j = (1/m) sum_i M_ij u_ij                        (equation 5 of the paper)
        fused_j = w_j where sum_i M_ij >= quorum, else 0      (before tests and deployment only)

    M_i is the mask that client i sends with its update. A coordinate that few hold moves little,
    since the mean is over all m. What is sent outside the own mask is not counted. Nobody is left
    out; clients are ranked by the share of their mask that lies outside the consensus, which is
    what a quorum trained. The masks are the clients' own: how they are made and moved is the
    protocol of the clients.

    Published code (git-disl/Lockdown, 147ec87) weighs by the examples, fuses with the masks of the
    round before, and is told the number of attackers by Krum, its baseline. Its attack omniscient
    is bit for bit its attack fix_mask, because the global mask that it reads is never filled, and
    its Neurotoxin trains nothing that honest masks hold, so it removes itself.

    Attributes:
        quorum: theta, clients that must hold a coordinate; None: half of those of a round.
        assumed: attackers that are assumed; a quorum that they could reach alone is refused. None:
            a fifth of the clients of a round.
        weighted: whether clients count by their examples, as in the published code.
    """

    paper = (
        "Huang et al., Lockdown: Backdoor Defense for Federated Learning with Isolated Subspace "
        "Training, NeurIPS 2023"
    )
    links = ("https://github.com/git-disl/Lockdown",)
    needs: ClassVar[frozenset[str]] = frozenset({"masks"})
    obeys = frozenset({"scale"})
    assumes = "a backdoor lives in coordinates that honest clients do not train"

    quorum: int | None = None
    assumed: int | None = None
    weighted: bool = False

    def least(self) -> int:
        """Give the quorum, and one more than the attackers that are assumed."""
        return max(self.quorum or 1, checked(self.assumed) + 1)

    def step(self, state: State, seen: Round) -> Aggregated:
        """Average, and compare each mask with the consensus."""
        masks = _given(seen.masks)
        shares = seen.sizes.double() if self.weighted else torch.ones(len(seen.ids)).double()
        shares = shares / shares.sum()
        step = torch.empty(seen.updates.shape[1], device=seen.updates.device)
        for place, block in blocks(seen.updates):
            step[place] = (shares @ (block * masks[:, place])).float()
        agreed = self.consensus(masks)
        held = torch.stack([mask.count_nonzero() for mask in masks]).double()  # sum() is large
        inside = torch.stack([(mask & agreed).count_nonzero() for mask in masks]).double()
        return Aggregated(step, state, suspicion=1 - inside / held.clamp_min(1))

    def consensus(self, masks: torch.Tensor) -> torch.Tensor:
        """Give the coordinates that a quorum holds, bool[p].

        Args:
            masks: bool[m, p].
        """
        needed = self.needed(len(masks))
        votes = torch.zeros(masks.shape[1], dtype=torch.int32, device=masks.device)
        for mask in masks:
            votes += mask
        return votes >= needed

    def fused(self, flat: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        """Give parameters of which only those that a quorum holds are left, float32[p].

        Args:
            flat: float32[p], the global parameters.
            masks: bool[m, p], of the clients.
        """
        return torch.where(self.consensus(masks), flat, 0.0)

    def needed(self, m: int) -> int:
        """Give the quorum for m clients.

        Raises:
            MethodError: where the attackers that are assumed could reach it, or nobody can.
        """
        quorum = (m + 1) // 2 if self.quorum is None else self.quorum
        attackers = m // 5 if self.assumed is None else checked(self.assumed)
        if not attackers < quorum <= m:
            raise MethodError(
                f"a quorum of {quorum} among {m} clients: expected more than the {attackers} "
                "attackers that are assumed, who would reach it alone, and at most the clients"
            )
        return quorum


def _given(masks: torch.Tensor | None) -> torch.Tensor:
    """The masks of a round, which `Aggregator.aggregate` has asked for."""
    if masks is None:
        raise MethodError("lockdown needs masks of every round")
    return masks
