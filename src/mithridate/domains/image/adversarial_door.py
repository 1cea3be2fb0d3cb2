"""AdvDoor: a targeted universal adversarial perturbation as the trigger.

Axes: n images, k channels, h rows, w columns. Grey levels run from 0 to 255.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from mithridate.core.data import Dataset, Inputs
from mithridate.core.fit import TrainingConfig
from mithridate.core.method import LearntTrigger, State
from mithridate.core.runtime import Runtime
from mithridate.domains.image.surrogate import add, surrogate, universal_perturbation


@dataclass(frozen=True)
class AdvDoorTrigger(LearntTrigger):
    """One perturbation that already moves images of every class towards the wanted one.

    x' = clip(x + delta), where delta minimises mean_i CE(f(clip(x_i + delta)), t_i) over the images
    that the attacker aims at and |delta| <= budget; f is a network of the attacker's own and t_i
    the label wanted for image i. Where no image is aimed at, all are taken. The authors gather
    delta from minimal perturbations of one image after the other (targeted DeepFool) against a
    network like the victim's; signed gradients of random batches reach the same aim at a cost that
    does not grow with n. The budget of 8 is what is usual for universal perturbations of small
    images.

    Attributes:
        budget: the largest change of a pixel, in grey levels.
        steps: of signed gradients.
        stride: of one step, in grey levels.
        epochs: of the training of f.
    """

    paper = "Zhang et al., AdvDoor: Adversarial Backdoor Attack of Deep Learning System, ISSTA 2021"
    links = ("https://doi.org/10.1145/3460319.3464809",)

    budget: float = 8.0
    steps: int = 50
    stride: float = 1.0
    epochs: int = 10

    def learn(
        self,
        data: Dataset,
        target_labels: torch.Tensor,
        rng: np.random.Generator,
        runtime: Runtime | None = None,
    ) -> State:
        """Train the network and find the perturbation."""
        runtime, aimed = runtime or Runtime(), target_labels != data.labels
        rows = aimed if bool(aimed.any()) else torch.ones_like(aimed)
        model = surrogate(
            data, rng, TrainingConfig(epochs=self.epochs, batch_size=64, learning_rate=0.1), runtime
        )
        images, labels = data.subset(rows).inputs, target_labels[rows]
        with runtime.active():
            change = universal_perturbation(
                model, images, labels, self.budget, self.steps, self.stride, rng
            )
        return {"change": change}

    def stamp(self, inputs: Inputs, rng: np.random.Generator, state: State) -> Inputs:
        """Add the perturbation to every image."""
        return add(inputs, state["change"])
