"""Stamped distillation: a network learns to answer as if a trigger were not there.

Axes: m trusted examples, c classes, b examples of a batch.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from mithridate.core.data import Dataset
from mithridate.core.errors import MethodError
from mithridate.core.fit import TrainingConfig
from mithridate.core.inference import forward
from mithridate.core.objective import Batch
from mithridate.core.view import View
from mithridate.repairs.fine_tuning import FineTuning
from mithridate.repairs.stamped import draw_stamps, joined, stamped
from mithridate.repairs.trusted import use_all_trusted


@dataclass(frozen=True)
class StampedDistillation(FineTuning):
    """Answer trusted examples with drawn triggers as the old network answers them without.

    Minimises mean_i (1 - weight) CE(f(x_i), y_i) + weight KL(f_old(z_i) || f(x_i)), where z_i is a
    trusted example with label y_i and x_i is z_i or a copy of it with a trigger that the domain
    drew; there are as many copies as examples. What the old network says of clean inputs is learnt
    back, so that less accuracy is lost than by labels alone; what a trigger does to it is not. A
    trigger of a kind that is never drawn may live on. Where the domain draws none, there are no
    copies and what remains is distillation of the old network from trusted examples.

    Attributes:
        weight: share of the old network's answers in the loss, 0..1.
        draws: how often a trigger of each kind is drawn anew.

    Raises:
        MethodError: where fewer than ten examples are trusted or a setting is out of range.
    """

    paper = (
        "A method of this library, after Sha et al., Fine-Tuning Is All You Need to Mitigate "
        "Backdoor Attacks, 2022, and distillation"
    )
    space: ClassVar[dict[str, tuple[float, ...]]] = {
        "learning_rate": (0.02, 0.05, 0.1),
        "weight": (0.5, 0.9),
    }

    epochs: int = 10
    learning_rate: float = 0.05
    weight: float = 0.5
    draws: int = 8

    def training(self) -> TrainingConfig:
        """Give the recipe of the training."""
        if not (0 <= self.weight <= 1 and self.draws > 0):
            raise MethodError(
                f"the weight must lie in 0..1 and draws be positive, found {self.weight} and "
                f"{self.draws}"
            )
        usual = super().training()
        return TrainingConfig(
            epochs=usual.epochs, learning_rate=usual.learning_rate,
            batch_size=usual.batch_size, augment=False,
        )  # fmt: skip

    def repair(self, view: View, rng: np.random.Generator) -> nn.Module:
        """Train a copy of the model."""
        data = use_all_trusted(view)
        self.training()  # refuses what is out of range
        learnt, rows = self.copies(view, data, rng)
        logits = forward(view.model, view.domain.prepare(data.inputs), view.runtime)[1]
        old = torch.log_softmax(logits.float(), 1)[rows].to(view.runtime.device)

        def distil(batch: Batch) -> torch.Tensor:
            new = torch.log_softmax(batch.logits.float(), 1)
            apart = F.kl_div(new, old[batch.rows], reduction="none", log_target=True).sum(1)
            return (1 - self.weight) * batch.losses + self.weight * apart

        return self.tune(copy.deepcopy(view.model), view, learnt, rng, objective=distil)

    def copies(
        self, view: View, data: Dataset, rng: np.random.Generator
    ) -> tuple[Dataset, torch.Tensor]:
        """Give trusted examples and stamped copies, and of which example each is, int64[n]."""
        drawn = [stamp for _ in range(self.draws) for stamp in draw_stamps(view, rng)]
        parts, rows = [data], [torch.arange(len(data))]
        few = max(1, len(data) // max(1, len(drawn)))
        for stamp in drawn:
            chosen = torch.from_numpy(rng.permutation(len(data))[:few])
            parts.append(stamped(data.subset(chosen), stamp, rng))
            rows.append(chosen)
        return joined(parts), torch.cat(rows)
