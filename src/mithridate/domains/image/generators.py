"""A small network that draws over each image, and images to learn it from.

Axes: n images, k channels, h rows, w columns, o maps. Grey levels run from 0 to 255.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from mithridate.core.data import Dataset
from mithridate.core.errors import MethodError
from mithridate.core.fit import TrainingConfig, fit
from mithridate.core.method import State
from mithridate.core.runtime import Runtime
from mithridate.core.streams import seed_torch
from mithridate.core.training_run import TrainingRun
from mithridate.domains.image.domain import ImageDomain
from mithridate.domains.image.surrogate import NETWORK

GROUPS = 4
"""Of channels that are normalised together, within each image: what is drawn on one image then
does not depend on the others of its batch."""


class Generator(nn.Module):
    """Grey levels float[n, k, h, w] to maps float[n, o, h, w] of any sign.

    Five convolutions, two of them at half the sides; the first map of full size is seen again by
    the last layer, so that what is drawn may follow edges.
    """

    def __init__(self, channels: int, maps: int, width: int = 16) -> None:
        super().__init__()
        self.outer = _layer(channels, width)
        self.inner = nn.Sequential(
            _layer(width, 2 * width, 2), _layer(2 * width, 2 * width), _layer(2 * width, width)
        )
        self.last = nn.Conv2d(2 * width, maps, 3, 1, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Draw."""
        fine = self.outer(images / 127.5 - 1)
        coarse = F.interpolate(self.inner(fine), size=fine.shape[2:])
        drawn: torch.Tensor = self.last(torch.cat([fine, coarse], 1))
        return drawn


def _layer(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1), nn.GroupNorm(GROUPS, outputs), nn.ReLU()
    )


def build_generator(channels: int, maps: int, width: int, rng: np.random.Generator) -> Generator:
    """Build a generator with first weights of its own.

    Raises:
        MethodError: where the width is no positive multiple of 4.
    """
    if width < 1 or width % GROUPS:
        raise MethodError(
            f"the width of a generator must be a positive multiple of {GROUPS}, found {width}"
        )
    with seed_torch(rng):
        return Generator(channels, maps, width)


Together = Callable[[Generator, nn.Module, torch.Tensor], nn.Module]
"""Is given generator, classifier and the labels wanted, int64[n], and gives their objective, whose
parameters are the generator's."""


def learn_generator(
    together: Together,
    data: Dataset,
    target_labels: torch.Tensor,
    generator: Generator,
    config: TrainingConfig,
    rng: np.random.Generator,
    runtime: Runtime | None = None,
) -> State:
    """Learn a generator along with a small classifier of images, and give its weights.

    Args:
        together: Gives the objective of both.
        data: Images to learn from; see `draw_targets`.
        target_labels: int64[n], the label that the attacker wants for each.
        generator: With its first weights.
        config: Of the training.
        rng: Of the first weights of the classifier, and of the training.
        runtime: Where to compute.
    """
    domain = ImageDomain()
    network = domain.network(data, NETWORK, rng)
    run = TrainingRun(runtime or Runtime(), objective=together(generator, network, target_labels))
    fit(network, data, domain, config, rng, run)
    return pack_generator(generator)


def pack_generator(generator: nn.Module) -> State:
    """Give the weights of a generator as plain tensors."""
    return {name: value.detach().cpu().clone() for name, value in generator.state_dict().items()}


def rebuild_generator(state: State) -> Generator:
    """Build a generator again from its weights, which say how large it is."""
    first, last = state["outer.0.weight"], state["last.weight"]
    with torch.device("meta"):  # draws no first weights
        generator = Generator(first.shape[1], last.shape[0], first.shape[0])
    generator.load_state_dict(state, assign=True)
    return generator.eval().requires_grad_(False)


def draw_targets(
    data: Dataset, target_labels: torch.Tensor, examples: int, rng: np.random.Generator
) -> tuple[Dataset, torch.Tensor]:
    """Draw at most so many examples and the labels wanted for them, int64[n].

    A single image is taken twice, since training compares images.

    Raises:
        MethodError: where fewer than two are asked for, or there is none.
    """
    if examples < 2 or not len(data):
        raise MethodError(
            f"need at least 2 examples to learn from, found {examples} asked for of {len(data)}"
        )
    rows = torch.from_numpy(rng.permutation(len(data))[:examples])
    rows = rows.repeat(2) if len(rows) == 1 else rows
    return data.subset(rows), target_labels[rows]
