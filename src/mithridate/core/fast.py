"""A training schedule of fewer operations: small inputs first, Muon, alternating mirror images."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn

from mithridate.core.domain import Domain
from mithridate.core.errors import MethodError
from mithridate.core.fit import TrainingConfig, Vary
from mithridate.core.muon import Muon
from mithridate.core.spelling import spoken
from mithridate.core.streams import stream


@dataclass(frozen=True)
class FastTraining(TrainingConfig):
    """Train by fewer operations: on small inputs first, with Muon and alternating mirror images.

    The first epochs see inputs made smaller by `shares`, one share after the other for equally
    many epochs; the last ones see them whole. What is small may not be seen before these.

    Attributes:
        turning: the largest rate of Muon, as a share of the length of a filter bank.
        shares: of the sides of inputs, in (0, 1], from the first epochs on; empty for none.
        whole: share of the epochs, the last ones, that see whole inputs: two epochs at least.
        alternate: whether an input is mirrored in every other epoch, and not at random.
    """

    turning: float = 0.12
    shares: tuple[float, ...] = (0.5, 0.75)
    whole: float = 1 / 3
    alternate: bool = True
    epochs: int = 6
    learning_rate: float = 0.05
    warmup: float = 0.1
    label_smoothing: float = 0.2

    def optimiser(self, parameters: Iterable[nn.Parameter]) -> torch.optim.SGD:
        """Give Muon for some parameters."""
        return Muon(
            parameters, self.learning_rate, self.turning / max(self.learning_rate, 1e-12),
            self.momentum, self.weight_decay, exact=self.precision != "bf16",
        )  # fmt: skip

    def check(self, model: nn.Module, prepared: torch.Tensor, domain: Domain) -> None:
        """Refuse a network that takes inputs of one size only, and shares that are none.

        Raises:
            MethodError: It fails on small inputs, or a share is not in (0, 1].
        """
        if not all(0 < share <= 1 for share in self.shares):
            raise MethodError(f"expected shares above 0 and at most 1; found {self.shares}")
        for share in sorted({self.share(epoch) for epoch in range(self.epochs)} - {1.0}):
            small, whole = domain.shrink(prepared[:2], share), prepared[:2]
            if small.shape != whole.shape and takes(model, whole) and not takes(model, small):
                raise MethodError(
                    f"expected a network that also takes inputs of shape {list(small.shape[1:])}, "
                    f"found one that takes {list(whole.shape[1:])} only; train it on whole inputs: "
                    f"{spoken('FastTraining(shares=())', '--set training.shares=')}"
                )

    def share(self, epoch: int) -> float:
        """Of the sides of inputs that an epoch sees."""
        small = self.epochs - max(2, round(self.whole * self.epochs))
        if epoch >= small or not self.shares:
            return 1.0
        return self.shares[epoch * len(self.shares) // small]

    def variation(self, domain: Domain, n: int, epoch: int, seed: int) -> Vary:
        """Let the domain vary a batch, an input mirrored in every other epoch."""
        if not self.augment or not self.alternate:
            return super().variation(domain, n, epoch, seed)
        first = torch.from_numpy(stream(seed, "mirrored").random(n) < 0.5)

        def vary(batch: torch.Tensor, rows: torch.Tensor, noise: torch.Generator) -> torch.Tensor:
            mirrored = first.to(rows.device)[rows] ^ bool(epoch % 2)
            return domain.augment(batch, noise, mirrored)

        return vary

    def seen(self, batch: torch.Tensor, domain: Domain, epoch: int) -> torch.Tensor:
        """Give a batch as an epoch sees it."""
        share = self.share(epoch)
        return batch if share == 1 else domain.shrink(batch, share)


def takes(model: nn.Module, batch: torch.Tensor) -> bool:
    """Whether a network answers to a prepared batch; it is left in evaluation mode."""
    try:
        with torch.no_grad():
            model.eval()(batch)
    except (RuntimeError, ValueError, AssertionError, IndexError):
        return False
    return True
