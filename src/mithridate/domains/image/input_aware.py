"""Triggers that a generator draws anew for each image, learnt along with a classifier.

Axes: n images, b images of a batch, a attacked of them, k channels, h rows, w columns.
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
class InputAwareTrigger(LearntTrigger):
    """A pattern and its place that a generator draws for each image and that work on no other.

    x' = (1 - m(x)) x + m(x) p(x), with the pattern p in 0..255 and the mask m in 0..1 from one
    generator with two heads. It is learnt with a classifier f of the attacker's own by
      CE(f(x'), wanted) on a share `attacked` of each batch, CE(f((1 - m(z)) x + m(z) p(z)), y) on
      a share `crossed`, with z another image, CE(f(x), y) on the rest,
      + diversity mean |x - z| / |p(x) - p(z)|
    and then frozen. m = min(1, density h w softmax(map)) over the pixels, so its mean is the
    density at most. The paper's attacker trains the victim himself. Here his examples are written
    into the data, so that every defence can face them: his classifier is thrown away and the victim
    trains afresh. The paper learns the mask first, by a penalty on its mean above the density, and
    holds it fixed; here both are learnt at once, and a penalty made the mask vanish.

    Attributes:
        attacked: share of a batch that gets its own pattern and the target label.
        crossed: share of a batch that gets the pattern of another image and keeps its label.
        diversity: weight of the term that keeps patterns of unlike images apart.
        density: share of the pixels that the mask may cover.
        width: channels of the generator.
        examples: images that are learnt from, at most.
        epochs: of this learning.
        cross: stamp each image with what is drawn for another one of the batch, for the cover
            examples that keep their labels.

    Raises:
        MethodError: where a number is out of range.
    """

    paper = "Nguyen and Tran, Input-Aware Dynamic Backdoor Attack, NeurIPS 2020"
    links = ("https://arxiv.org/abs/2010.08138",)

    attacked: float = 0.1
    crossed: float = 0.1
    diversity: float = 1.0
    density: float = 0.05
    width: int = 16
    examples: int = 5000
    epochs: int = 8
    cross: bool = False

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
        generator = build_generator(channels, channels + 1, self.width, rng)
        config = TrainingConfig(epochs=self.epochs, batch_size=128, augment=False)
        return learn_generator(partial(Game, self), few, aims, generator, config, rng, runtime)

    def stamp(self, inputs: Inputs, rng: np.random.Generator, state: State) -> Inputs:
        """Draw on every image what the generator gives for it, or for another one."""
        images = check(inputs)
        generator = rebuild_generator(state)
        donors = _others(images, rng) if self.cross else images

        def change(levels: torch.Tensor, rows: slice) -> torch.Tensor:
            return put_pattern(levels, *draw_pattern(generator, donors[rows].float(), self.density))

        with torch.no_grad():
            return change_in_floats(images, change)

    def _check(self) -> None:
        if min(self.attacked, self.crossed) < 0 or self.attacked + self.crossed > 1:
            raise MethodError(
                "the shares attacked and crossed must not be negative and be 1 at most together, "
                f"found {self.attacked} and {self.crossed}"
            )
        if self.diversity < 0 or not 0 < self.density <= 1:
            raise MethodError(
                "the weight of diversity must not be negative and the density lie in 0..1, "
                f"found {self.diversity} and {self.density}"
            )


def _others(images: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Give each image another one: its successor in a random circle of all.

    A single image has none and is given itself upside down.
    """
    if len(images) < 2:
        return images.flip(2)
    circle = torch.from_numpy(rng.permutation(len(images)))
    others = torch.empty_like(images)
    others[circle] = images[circle.roll(1)]
    return others


def draw_pattern(
    generator: nn.Module, images: torch.Tensor, density: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Give the pattern float[n, k, h, w] in 0..255 and the mask float[n, 1, h, w] in 0..1."""
    maps = generator(images).float()
    pixels = maps.shape[2] * maps.shape[3]
    where = maps[:, -1:].flatten(1).softmax(1).view_as(maps[:, -1:])
    return 255 * torch.sigmoid(maps[:, :-1]), (density * pixels * where).clamp_max(1)


def put_pattern(images: torch.Tensor, pattern: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Put a pattern where the mask is 1, in grey levels."""
    return images + mask * (pattern - images)


class Game(nn.Module):
    """What generator and classifier minimise together; its parameters are the generator's.

    Args:
        target_labels: int64[n], of the images that are trained on.
    """

    def __init__(
        self,
        trigger: InputAwareTrigger,
        generator: nn.Module,
        network: nn.Module,
        target_labels: torch.Tensor,
    ) -> None:
        super().__init__()
        self.trigger, self.generator = trigger, generator
        self.ask = network.forward  # a module would be registered, and its parameters with it
        self.register_buffer("wanted", target_labels)

    def forward(self, batch: Batch) -> torch.Tensor:
        """Attack the first images of the batch and cross the next; the batch is in random order."""
        images, labels = batch.inputs.float(), batch.labels
        a = max(1, round(self.trigger.attacked * len(images)))
        c = min(round(self.trigger.crossed * len(images)), len(images) - a)
        kind = images.device.type
        with autocast(kind):
            pattern, mask = draw_pattern(self.generator, images[:a], self.trigger.density)
        donors = (torch.arange(c, device=images.device) + 1) % a
        crossed = put_pattern(images[a : a + c], pattern[donors], mask[donors])
        mixed = torch.cat([put_pattern(images[:a], pattern, mask), crossed, images[a + c :]])
        predicted = torch.cat([self.get_buffer("wanted")[batch.rows[:a]], labels[a:]])
        with autocast(kind):
            logits = self.ask(mixed)
        alike = likeness(images[:a], pattern) if a > 1 else pattern.sum() * 0
        return F.cross_entropy(logits.float(), predicted) + self.trigger.diversity * alike


def likeness(images: torch.Tensor, patterns: torch.Tensor) -> torch.Tensor:
    """Mean of |x - z| / |p(x) - p(z)| over neighbours of a batch, large where patterns repeat."""
    apart = (images - images.roll(1, 0)).flatten(1).norm(dim=1)
    drawn_apart = (patterns - patterns.roll(1, 0)).flatten(1).norm(dim=1)
    ratios: torch.Tensor = apart / (drawn_apart + 1)
    return ratios.mean()
