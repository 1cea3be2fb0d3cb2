"""Reconstructive neuron pruning: forget the clean task, then see which channels bring it back.

Axes: b examples of a batch, k channels of a layer, c classes.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from mithridate.core.data import Dataset
from mithridate.core.fit import TrainingConfig, fit
from mithridate.core.inference import accuracy
from mithridate.core.method import Repair
from mithridate.core.training_run import TrainingRun
from mithridate.core.view import View
from mithridate.repairs.channels import Masked, prune_deepest
from mithridate.repairs.trusted import hold_out


@dataclass(frozen=True)
class ReconstructiveNeuronPruning(Repair):
    """Cut the channels that are not needed to bring back the clean task once it was unlearnt.

    First a copy climbs the loss of trusted examples until it is right on few of them, which leaves
    the backdoor; then masks in [0, 1] on its channels are trained to be right again, with all
    weights frozen. Channels that end with masks less than `below` served the backdoor: they are cut
    from the model as it was, from the smallest on, those passed over whose cut takes the accuracy
    on held-out trusted examples, half of all, more than a tolerance below that of the uncut model.
    The paper clips gradients where this limits losses, recovers at a rate of 0.2, at which most
    masks that fall reach 0 and have no order, and chooses the threshold by the results. Which
    backdoors are cut is uncertain: of small networks that differ by the seed alone, some kept half.

    Attributes:
        level: accuracy on trusted examples at which unlearning ends, as a share beyond chance.
        ceiling: loss of an example above which it is not unlearnt any further, without which the
            loss has no end.
        unlearn_rate: learning rate of the first stage.
        recover_rate: learning rate of the second stage.
        epochs: of each stage at most.
        below: masks of channels that may be cut.
        tolerance: accuracy that may be lost on the held-out examples, as a share of them.
        batch_size: of both stages.

    Raises:
        MethodError: where fewer than ten examples are trusted or the model has no channels.
    """

    paper = "Li et al., Reconstructive Neuron Pruning for Backdoor Defense, ICML 2023"
    links = ("https://arxiv.org/abs/2305.14876",)
    known_as = ("rnp",)
    space: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "recover_rate": (0.01, 0.02, 0.05, 0.2),
        "tolerance": (0.01, 0.03, 0.05),
    }

    level: float = 0.1
    ceiling: float = 10.0
    unlearn_rate: float = 0.005
    recover_rate: float = 0.02
    epochs: int = 30
    below: float = 0.5
    tolerance: float = 0.03
    batch_size: int = 64

    def repair(self, view: View, rng: np.random.Generator) -> nn.Module:
        """Unlearn, recover by masks, then cut."""
        learn, held = hold_out(view, rng, 0.5)
        masked = Masked(self.unlearnt(view, learn, rng))
        fit(
            masked, learn, view.domain, self._recipe(self.recover_rate), rng,
            TrainingRun(view.runtime), parameters=list(masked.masks),
        )  # fmt: skip
        return prune_deepest(view, held, masked.values(), self.below, self.tolerance)

    def unlearnt(self, view: View, learn: Dataset, rng: np.random.Generator) -> nn.Module:
        """Give a copy that has unlearnt the trusted examples."""
        model = copy.deepcopy(view.model)
        least = 1 / max(1, len(learn.classes))
        low = least + self.level * (1 - least)

        def forgotten(_: int) -> bool:
            return accuracy(model, learn, view.domain, view.runtime) <= low

        run = TrainingRun(
            view.runtime, objective=lambda batch: bounded_climb(batch.losses, self.ceiling)
        )
        config = self._recipe(self.unlearn_rate)
        fit(model, learn, view.domain, config, rng, run, enough=forgotten)
        return model

    def _recipe(self, rate: float) -> TrainingConfig:
        return TrainingConfig(
            self.epochs, self.batch_size, rate, warmup=0, weight_decay=0, augment=False
        )  # fmt: skip


def bounded_climb(losses: torch.Tensor, ceiling: float) -> torch.Tensor:
    """Give what falls as losses float[b] rise up to a ceiling, float[b]."""
    return -losses.clamp_max(ceiling)
