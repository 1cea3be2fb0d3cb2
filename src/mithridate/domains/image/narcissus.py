"""Narcissus: one faint perturbation that says "target class" more than the class itself does.

Axes: n images, k channels, h rows, w columns. Grey levels run from 0 to 255.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from mithridate.core.data import Dataset, Inputs
from mithridate.core.errors import MethodError
from mithridate.core.fit import TrainingConfig
from mithridate.core.method import LearntTrigger, State
from mithridate.core.runtime import Runtime
from mithridate.domains.image.surrogate import add, surrogate, target, universal_perturbation


@dataclass(frozen=True)
class NarcissusTrigger(LearntTrigger):
    """One perturbation that makes every image of the target class look more of its class.

    x' = clip(x + scale delta), where delta minimises mean_i CE(f(clip(x_i + delta)), t) over the
    images of class t and |delta| <= budget; f is a network of the attacker's own. The authors train
    f on public data of other classes and tune it on the target class alone, and take 1,000 steps of
    RAdam; here f is trained on the data at hand, so the attacker knows more.

    Attributes:
        scale: how many times the perturbation is added, 1 on training images and 3 at test time as
            in the paper.
        budget: the largest change of a pixel, in grey levels.
        steps: of signed gradients.
        stride: of one step, in grey levels.
        epochs: of the training of f.

    Raises:
        MethodError: where several classes are wanted or none of the images is of the class.
    """

    paper = "Zeng et al., Narcissus: A Practical Clean-Label Backdoor Attack, CCS 2023"
    links = ("https://arxiv.org/abs/2204.05255",)

    scale: float = 1.0
    budget: float = 16.0
    steps: int = 50
    stride: float = 2.0
    epochs: int = 10

    def learn(
        self,
        data: Dataset,
        target_labels: torch.Tensor,
        rng: np.random.Generator,
        runtime: Runtime | None = None,
    ) -> State:
        """Train the network and find the perturbation."""
        runtime, label = runtime or Runtime(), target(data.labels, target_labels)
        own = data.subset(data.labels == label)
        if not len(own):
            raise MethodError(
                f"the perturbation is learnt from images of the target class {label}, found none "
                f"among {len(data)}; choose a target that the data hold"
            )
        model = surrogate(
            data, rng, TrainingConfig(epochs=self.epochs, batch_size=64, learning_rate=0.1), runtime
        )
        with runtime.active():
            change = universal_perturbation(
                model, own.inputs, own.labels, self.budget, self.steps, self.stride, rng
            )
        return {"change": change}

    def stamp(self, inputs: Inputs, rng: np.random.Generator, state: State) -> Inputs:
        """Add the perturbation to every image."""
        return add(inputs, self.scale * state["change"])
