"""Bounded noise that a generator draws for each image, learnt along with a classifier.

Axes: n images, b images of a batch, k channels, h rows, w columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from mithridate.core.data import Dataset, Inputs
from mithridate.core.errors import MethodError
from mithridate.core.fit import TrainingConfig
from mithridate.core.inference import autocast
from mithridate.core.method import LearntTrigger, State
from mithridate.core.objective import Batch
from mithridate.core.runtime import Runtime
from mithridate.domains.image.generators import (
    build_generator,
    draw_targets,
    learn_generator,
    rebuild_generator,
)
from mithridate.domains.image.triggers import change_in_floats, check


@dataclass(frozen=True)
class LiraTrigger(LearntTrigger):
    """Noise within a few grey levels that a generator draws for each image.

    x' = clip(x + eps tanh g(x)). The generator g is learnt with a classifier f of the attacker's
    own by (1 - weight) CE(f(x), y) + weight CE(f(x'), wanted) over every image, and then frozen.
    The paper's attacker trains the victim himself, and goes on with it after the noise is fixed.
    Here his examples are written into the data, so that every defence can face them: his classifier
    is thrown away and the victim trains afresh. The paper's noise is free in every pixel (grain 1)
    and as small as 0.01 of the range, 2 or 3 levels; a victim that did not grow up with it hardly
    learns it: of 1,000 photographs of CIFAR-10 a victim of 10 % poison obeyed it in 30 % at 8
    levels and grain 1, in 65 % at grain 4, and in 85 % at 12 levels, the default.

    Attributes:
        eps: grey levels that a pixel may change by.
        grain: pixels of a side of the squares that g is averaged over and drawn smoothly from.
        weight: of the attacked loss.
        width: channels of the generator.
        examples: images that are learnt from, at most.
        epochs: of this learning.

    Raises:
        MethodError: where a number is out of range.
    """

    paper = "Doan, Lao, Zhao and Li, LIRA: Learnable, Imperceptible and Robust Backdoors, ICCV 2021"
    links = (
        "https://openaccess.thecvf.com/content/ICCV2021/html/"
        "Doan_LIRA_Learnable_Imperceptible_and_Robust_Backdoor_Attacks_ICCV_2021_paper.html",
    )

    eps: float = 12.0
    grain: int = 4
    weight: float = 0.5
    width: int = 16
    examples: int = 5000
    epochs: int = 4

    def learn(
        self,
        data: Dataset,
        target_labels: torch.Tensor,
        rng: np.random.Generator,
        runtime: Runtime | None = None,
    ) -> State:
        """Learn the generator along with a small classifier; keep the generator."""
        self._check()
        few, aims = draw_targets(data, target_labels, self.examples, rng)
        channels = check(few.inputs).shape[1]
        generator = build_generator(channels, channels, self.width, rng)
        config = TrainingConfig(epochs=self.epochs, batch_size=64, augment=False)
        return learn_generator(partial(Both, self), few, aims, generator, config, rng, runtime)

    def stamp(self, inputs: Inputs, rng: np.random.Generator, state: State) -> Inputs:
        """Add to every image what the generator draws for it."""
        self._check()
        generator = rebuild_generator(state)
        with torch.no_grad():
            return change_in_floats(check(inputs), partial(self._change, generator))

    def _change(self, generator: nn.Module, levels: torch.Tensor, _: slice) -> torch.Tensor:
        return add_noise(generator, levels, self.eps, self.grain)

    def _check(self) -> None:
        if not (0 < self.eps <= 255 and 0 <= self.weight <= 1 and self.grain >= 1):
            raise MethodError(
                "need eps above 0 and at most 255 grey levels, a weight in 0..1 and a grain of 1 "
                f"or more; found {self.eps}, {self.weight} and {self.grain}"
            )


def add_noise(
    generator: nn.Module, images: torch.Tensor, eps: float, grain: int = 1
) -> torch.Tensor:
    """Add noise within eps grey levels; images: grey levels float[n, k, h, w]."""
    maps = generator(images).float()
    if grain > 1:
        squares = (max(1, maps.shape[2] // grain), max(1, maps.shape[3] // grain))
        coarse = F.adaptive_avg_pool2d(maps, squares)
        maps = F.interpolate(coarse, size=maps.shape[2:], mode="bilinear")
    return (images + eps * torch.tanh(maps)).clamp(0, 255)


class Both(nn.Module):
    """What generator and classifier minimise together; its parameters are the generator's.

    Args:
        target_labels: int64[n], of the images that are trained on.
    """

    def __init__(
        self,
        trigger: LiraTrigger,
        generator: nn.Module,
        network: nn.Module,
        target_labels: torch.Tensor,
    ) -> None:
        super().__init__()
        self.trigger, self.generator = trigger, generator
        self.ask = network.forward  # a module would be registered, and its parameters with it
        self.register_buffer("wanted", target_labels)

    def forward(self, batch: Batch) -> torch.Tensor:
        """Weigh the loss of the batch as it is against that of the batch with noise."""
        kind = batch.inputs.device.type
        with autocast(kind):
            images = batch.inputs.float()
            changed = add_noise(self.generator, images, self.trigger.eps, self.trigger.grain)
            logits = self.ask(changed)
        attacked = F.cross_entropy(logits.float(), self.get_buffer("wanted")[batch.rows])
        return (1 - self.trigger.weight) * batch.losses.mean() + self.trigger.weight * attacked
