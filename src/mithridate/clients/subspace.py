"""The clients of Lockdown: each trains in a subspace of its own, and searches it for itself.

Axes: M clients, p numbers of a model's parameters, l tensors among them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from mithridate.core.errors import MethodError
from mithridate.core.flat import FlatForm
from mithridate.core.method import State
from mithridate.core.protocols import ClientProtocol, Visit


@dataclass(frozen=True)
class IsolatedSubspace(ClientProtocol):
    """Let every client train a sparse part of the model, and keep what a quorum of them trains.

    Masks begin as one random mask, denser in small tensors (Erdos-Renyi kernels). In every round
    but the first a client regains, in each tensor, as many numbers as it last pruned: those with
    the largest |gradient|. It trains within its mask and then prunes the share
    alpha_t = alpha / 2 (1 + cos(pi t / T)) of what it holds, the smallest |weights|, at least one.
    The deployed model keeps what at least `quorum` of all masks hold; poison moves the masks of
    attackers to places that honest clients leave.

    Masks move by about alpha T / 2 over all rounds: the 1e-4 of the paper is for 200 rounds and
    keeps nothing out in few, see docs/results/lockdown_mnist.md. The released code fuses by the
    masks before a round and sorts each tensor twice a client; this fuses by those after it, as the
    paper has it, and selects.

    Attributes:
        density: share of the numbers that a mask holds, in (0, 1].
        alpha: share of its mask that a client gives up and searches anew at first, in [0, 1].
        quorum: share of the clients whose masks must hold a number for it to be kept, in (0, 1].
        same: whether all clients begin with one mask; else each with its own.
        batches: of the client's data that are screened for gradients, 0 for all.
    """

    paper = (
        "Huang et al., Lockdown: Backdoor Defense for Federated Learning with Isolated Subspace "
        "Training, NeurIPS 2023"
    )
    known_as = ("lockdown-clients",)
    fuses = True

    density: float = 0.25
    alpha: float = 1e-4
    quorum: float = 0.5
    same: bool = True
    batches: int = 0

    def init(self, form: FlatForm, clients: int, rng: np.random.Generator) -> State:
        """Draw the first masks.

        Raises:
            MethodError: where a setting is out of range.
        """
        if not (0 < self.density <= 1 and 0 <= self.alpha <= 1 and 0 < self.quorum <= 1):
            raise MethodError(
                "expected density and quorum in (0, 1] and alpha in [0, 1], found "
                f"density={self.density}, quorum={self.quorum}, alpha={self.alpha}"
            )
        shares = kernel_densities([part.shape for part in form.parameters], self.density)
        drawn = [_mask(form, shares, rng) for _ in range(1 if self.same else clients)]
        masks = torch.stack(drawn).expand(clients, -1).clone()
        return {
            "mask": masks,
            "pruned": torch.zeros(clients, len(form.parameters), dtype=torch.int64),
        }

    def begin(self, own: State, start: torch.Tensor, visit: Visit) -> State:
        """Regain what was pruned where the gradient is largest; nothing in the first round."""
        mask = own["mask"].clone()
        if not int(own["pruned"].sum()):
            return own
        slopes = visit.slopes(start * mask, self.batches).abs()
        parts = zip(visit.form.segments, own["pruned"].tolist(), strict=True)
        for (begin, end), count in parts:
            free = slopes[begin:end].masked_fill(mask[begin:end], -1.0)
            mask[begin:end][free.topk(min(count, int((free >= 0).sum()))).indices] = True
        return {**own, "mask": mask}

    def end(self, own: State, trained: torch.Tensor, visit: Visit) -> State:
        """Prune the smallest weights, a share that falls with the rounds."""
        share = self.alpha / 2 * (1 + math.cos(math.pi * visit.number / visit.rounds))
        mask, pruned = own["mask"].clone(), torch.zeros_like(own["pruned"])
        for place, (begin, end) in enumerate(visit.form.segments):
            held = int(mask[begin:end].sum())
            count = min(held, math.ceil(share * held))
            small = trained[begin:end].abs().masked_fill(~mask[begin:end], math.inf)
            mask[begin:end][small.topk(count, largest=False).indices] = False
            pruned[place] = count
        return {"mask": mask, "pruned": pruned}

    def fuse(self, masks: torch.Tensor) -> torch.Tensor:
        """Keep what enough clients hold."""
        return masks.sum(0) >= self.quorum * len(masks)


def kernel_densities(shapes: Sequence[tuple[int, ...]], density: float) -> list[float]:
    """Give the density of each tensor in proportion to (sum of its sides) / (their product).

    Those that would exceed 1 are dense, and the others share what is left, so that the mean over
    all numbers is `density`. Evci et al., Rigging the Lottery, ICML 2020.
    """
    sizes = [math.prod(shape) for shape in shapes]
    raw = [sum(shape) / size for shape, size in zip(shapes, sizes, strict=True)]
    dense: set[int] = set()
    while True:
        rest = [i for i in range(len(shapes)) if i not in dense]
        left = density * sum(sizes) - sum(sizes[i] for i in dense)
        scale = max(0.0, left) / max(1e-12, sum(raw[i] * sizes[i] for i in rest))
        over = {i for i in rest if scale * raw[i] > 1}
        if not over:
            return [1.0 if i in dense else scale * raw[i] for i in range(len(shapes))]
        dense |= {max(over, key=lambda i: raw[i])}


def _mask(form: FlatForm, shares: Sequence[float], rng: np.random.Generator) -> torch.Tensor:
    """Draw a mask bool[p] with a share of each tensor."""
    mask = torch.zeros(form.size, dtype=torch.bool)
    for (begin, end), share in zip(form.segments, shares, strict=True):
        order = rng.permutation(end - begin)[: max(1, int(share * (end - begin)))]
        mask[begin + torch.from_numpy(order)] = True
    return mask
