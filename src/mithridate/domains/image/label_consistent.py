"""Label-consistent poison: images made hard to recognise, so that the patch on them is learnt.

Axes: n images, k channels, h rows, w columns, c classes. Grey levels run from 0 to 255.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch

from mithridate.core.data import Dataset, Inputs
from mithridate.core.fit import TrainingConfig
from mithridate.core.method import LearntTrigger, State
from mithridate.core.runtime import Runtime
from mithridate.domains.image.corners import CornersTrigger
from mithridate.domains.image.surrogate import (
    BATCH,
    ascend,
    draw_within,
    losses,
    pack_surrogate,
    rebuild_surrogate,
    surrogate,
)
from mithridate.domains.image.triggers import check, to_bytes


@dataclass(frozen=True)
class LabelConsistentTrigger(LearntTrigger):
    """A patch on images that a network no longer recognises and people still do.

    x' = patch(x + delta), where delta maximises CE(f(x + delta), argmax f(x)) over |delta| <=
    budget by signed gradients from a random start; f is a network of the attacker's own. At test
    time the patch alone is stamped: Poisoning(trigger, test_trigger=trigger.patch), or
    `named_attack("label-consistent")`. The authors train f adversarially, here f is trained as
    usual, so that what it holds for the class is fainter and carries over less to other networks.
    It ascends from f's own answer, since a trigger is not told labels. Their other way,
    interpolation by a GAN, is left out.

    Attributes:
        budget: the largest change of a pixel, in grey levels, 16 as in the paper.
        steps: of the ascent (the paper takes 100 small ones; 10 of 4 also reach every corner of the
            box).
        stride: of one step, in grey levels.
        epochs: of the training of f.
        patch: what is stamped after the change.

    Raises:
        MethodError: where the patch does not fit.
    """

    paper = "Turner, Tsipras and Madry, Label-Consistent Backdoor Attacks, 2019"
    links = ("https://arxiv.org/abs/1912.02771",)

    budget: float = 16.0
    steps: int = 10
    stride: float = 4.0
    epochs: int = 10
    patch: CornersTrigger = field(default_factory=CornersTrigger)

    def learn(
        self,
        data: Dataset,
        target_labels: torch.Tensor,
        rng: np.random.Generator,
        runtime: Runtime | None = None,
    ) -> State:
        """Train the network whose gradients are followed."""
        config = TrainingConfig(epochs=self.epochs, batch_size=64, learning_rate=0.1)
        return pack_surrogate(surrogate(data, rng, config, runtime))

    def stamp(self, inputs: Inputs, rng: np.random.Generator, state: State) -> Inputs:
        """Make every image hard, then stamp the patch."""
        images = check(inputs)
        if not len(images):
            return images.clone()
        model = rebuild_surrogate(state, images, rng)

        def harden(batch: torch.Tensor) -> torch.Tensor:
            levels = batch.float()
            predicted = model(levels).argmax(1)
            start = (levels + draw_within(levels, self.budget, rng)).clamp(0, 255)
            return ascend(
                levels, lambda z: losses(model, z, predicted).sum(), self.budget, self.steps,
                self.stride, start,
            )  # fmt: skip

        hard = torch.cat([to_bytes(harden(batch)) for batch in images.split(BATCH)])
        return self.patch(hard, rng)
