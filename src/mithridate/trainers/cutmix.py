"""CutMix: training on inputs that carry a box of another one, with both labels.

Axes: b examples of a batch, k channels, h rows, w columns.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from mithridate.core.data import Dataset
from mithridate.core.domain import Domain
from mithridate.core.errors import MethodError
from mithridate.core.fit import TrainingConfig, fit
from mithridate.core.method import Trained, Trainer
from mithridate.core.objective import Batch
from mithridate.core.training_run import TrainingRun

RATE = 0.05
"""A quarter of the usual rate: at 0.1 networks of a few dozen steps at times call all one class."""


class Mixed(NamedTuple):
    """Inputs with boxes of others in them.

    Attributes:
        inputs: uint8[b, k, h, w].
        partners: int64[b], whose box each carries.
        kept: float[b], the share of an input that is its own.
    """

    inputs: torch.Tensor
    partners: torch.Tensor
    kept: torch.Tensor


@dataclass(frozen=True)
class CutMix(Trainer):
    """Train on inputs that carry a box of another input, each label in its share.

    Minimises mean_i k_i CE(f(m_i), y_i) + (1 - k_i) CE(f(m_i), y_j), m_i the input i with a box of
    input j of the same batch, k_i the share of i that is left. A trigger that lies in a box calls
    for its label by the share of the box only, and where the box covers it, for another label. The
    network is asked once in each step. Boxes are drawn for each example, where the authors draw one
    for a batch; share = 0.5 is theirs for CIFAR, at 1 every example is mixed. Boxes need inputs of
    bytes with rows and columns, uint8[b, k, h, w]. Whatever else a domain prepares, such as numbers
    of words, is trained on as it is, which is ordinary training.

    Attributes:
        share: of the examples that are mixed, drawn anew in each step.
        alpha: of the distribution Beta(alpha, alpha) that the share of the other input is drawn
            from; boxes have the proportions of the input and are cut where they leave it.
        training: of the training.

    Raises:
        MethodError: where the share is outside 0..1 or alpha is not above 0.
    """

    paper = "Yun et al., CutMix, ICCV 2019"
    links = ("https://arxiv.org/abs/1905.04899",)
    spelled = "cutmix"
    space: ClassVar[dict[str, tuple[float, ...]]] = {"share": (0.5, 1.0)}

    share: float = 0.5
    alpha: float = 1.0
    training: TrainingConfig = field(default_factory=lambda: TrainingConfig(learning_rate=RATE))

    def train(
        self, model: nn.Module, data: Dataset, domain: Domain, rng: np.random.Generator,
        run: TrainingRun | None = None,
    ) -> Trained:  # fmt: skip
        """Train `model` in place; the losses are those of the mixed inputs by their own label."""
        if not (0 <= self.share <= 1 and self.alpha > 0):
            raise MethodError(
                f"need a share in 0..1 and alpha > 0; found {self.share} and {self.alpha}"
            )
        now: list[Mixed] = []  # of the step that is being taken

        def vary(batch: torch.Tensor, _: torch.Tensor, noise: torch.Generator) -> torch.Tensor:
            usual = domain.augment(batch, noise) if self.training.augment else batch
            now[:] = [self.mix(usual, noise)]
            return now[0].inputs

        def both(batch: Batch) -> torch.Tensor:
            others = F.cross_entropy(
                batch.logits.float(), batch.labels[now[0].partners], reduction="none",
                label_smoothing=self.training.label_smoothing,
            )  # fmt: skip
            return now[0].kept * batch.losses + (1 - now[0].kept) * others

        mixed = replace(self.checked(run), objective=both)
        return fit(model, data, domain, self.training, rng, mixed, vary=vary)

    def mix(self, batch: torch.Tensor, noise: torch.Generator) -> Mixed:
        """Put a box of another input into each; inputs without rows and columns stay."""
        device, b = noise.device, len(batch)
        if batch.ndim != 4 or batch.dtype != torch.uint8:
            return Mixed(batch, torch.arange(b, device=device), torch.ones(b, device=device))
        height, width = batch.shape[2:]
        partners = torch.randperm(b, generator=noise, device=device)
        drawn = torch.rand((4, b, 1), generator=noise, device=device)
        side = (1 - self._shares(drawn[0])).sqrt() * (drawn[1] < self.share)
        down = _cover(height, side, drawn[2])
        across = _cover(width, side, drawn[3])
        box = down.view(b, 1, height, 1) & across.view(b, 1, 1, width)
        mixed = torch.where(box, batch[partners], batch)
        return Mixed(mixed, partners, 1 - down.float().mean(1) * across.float().mean(1))

    def _shares(self, uniform: torch.Tensor) -> torch.Tensor:
        """Turn uniform draws into draws of Beta(alpha, alpha), by its quantiles."""
        if self.alpha == 1:
            return uniform
        from scipy.special import betaincinv  # the one in torch takes no generator

        shares = betaincinv(self.alpha, self.alpha, uniform.cpu().double().numpy())
        return torch.as_tensor(shares, dtype=uniform.dtype, device=uniform.device)


def _cover(side: int, length: torch.Tensor, centre: torch.Tensor) -> torch.Tensor:
    """Say which places of an axis a box covers, bool[b, side], cut at the ends of the axis.

    Args:
        length: float[b, 1], as shares of the axis.
        centre: float[b, 1], as shares of the axis.
    """
    half, middle = (length * side / 2).floor(), (centre * side).floor()
    place = torch.arange(side, device=length.device)
    return (place >= middle - half) & (place < middle + half)
