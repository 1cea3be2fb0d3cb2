"""Smooth images that any small network can tell apart, for what hides in fine detail."""

import torch
import torch.nn.functional as F

from methods.quick_network import quick_network
from mithridate.core.data import Dataset, dataset
from mithridate.core.fit import TrainingConfig, fit
from mithridate.core.streams import stream
from mithridate.domains.image.domain import ImageDomain


def smooth(n: int, seed: int = 0, side: int = 16) -> Dataset:
    """Clouds of colour in four classes, by the quarter that is brighter."""
    labels = torch.arange(n) % 4
    coarse = torch.rand((n, 3, 4, 4), generator=torch.Generator().manual_seed(seed))
    for quarter in range(4):
        down, right = 2 * (quarter // 2), 2 * (quarter % 2)
        coarse[labels == quarter, :, down : down + 2, right : right + 2] += 0.5
    fine = F.interpolate(coarse / 1.5, side, mode="bicubic", align_corners=True)
    return dataset((20 + 215 * fine.clamp(0, 1)).byte(), labels)


def victim(data: Dataset, epochs: int = 10, quick: bool = False) -> torch.nn.Module:
    """A small network trained on data as they are."""
    domain, rng = ImageDomain(crop=0.0), stream(0, "network")
    model = quick_network(data, rng) if quick else domain.network(data, "resnet9:8", rng)
    config = TrainingConfig(
        epochs, batch_size=64, learning_rate=0.1, augment=False, precision="fp32"
    )
    return fit(model, data, domain, config, stream(0, "train")).model


def trained(attack, data: Dataset, epochs: int = 10, quick: bool = False):
    """A network trained on what an attack makes of the data, and what the attack learnt."""
    state = attack.learn(data, stream(0, "learn"))
    return victim(attack.poison(data, stream(0, "poison"), state).data, epochs, quick), state
