"""Three convolutions for tests that train victims: a step takes a third of the usual network's."""

import numpy as np
from torch import nn

from mithridate.core.data import Dataset
from mithridate.core.streams import seed_torch
from mithridate.domains.image.domain import ImageDomain
from mithridate.domains.image.layers import Encode, Pool, convolution


def quick_network(data: Dataset, rng: np.random.Generator, width: int = 16) -> nn.Module:
    """A network for small images of such data, with weights drawn from a stream."""
    images = ImageDomain().prepare(data.inputs)
    with seed_torch(rng):
        return nn.Sequential(
            Encode(images),
            convolution(images.shape[1], width),
            convolution(width, 2 * width, 2),
            convolution(2 * width, 4 * width, 2),
            Pool(),
            nn.Linear(4 * width, len(data.classes)),
        )
