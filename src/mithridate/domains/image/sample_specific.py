"""A trigger that a network writes into each image in its own way; raw bytes in, raw bytes out.

Rounding, clipping and random streams are those of `triggers`.
Axes: n images, b images of a batch, k channels, h rows, w columns, m bits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from mithridate.core.data import Dataset, Inputs
from mithridate.core.errors import MethodError
from mithridate.core.fit import TrainingConfig, fit
from mithridate.core.method import LearntTrigger, State
from mithridate.core.objective import Batch
from mithridate.core.runtime import Runtime
from mithridate.core.streams import seed_torch, stream, torch_generator
from mithridate.core.training_run import TrainingRun
from mithridate.domains.image.domain import ImageDomain
from mithridate.domains.image.generators import draw_targets
from mithridate.domains.image.triggers import change_in_floats, check

WIDTH = 8  # channels inside both networks; more of them learn no faster
EXAMPLES = 1024  # images learnt from: all of a large set would make learning cost grow with n
TOGETHER = 128  # images that the networks are run on at once, for memory
RECIPE = TrainingConfig(
    batch_size=16, learning_rate=0.3, weight_decay=0.0, augment=False, precision="fp32"
)


@dataclass(frozen=True)
class SampleSpecificTrigger(LearntTrigger):
    """A secret bit string, written into each image by a network in a way that fits the image.

    x' = clip(x + bound tanh E(x, s)): the encoder E is trained here, together with a decoder D, so
    that D reads back random strings s; then it writes the attacker's own into every image.
    Minimised is the mean of BCE(D(x'), s) + weight K |x' - x|^2 / (bound^2 k h w), where K = max(0,
    1 - BCE / ln 2), held fixed, is the share of the bits known: an encoder that has said nothing
    yet would else learn to stay silent. The bits stand in cells x cells rectangles of the image,
    one each, as a sign that the features of the image are multiplied by; E and D see no other place
    for them, and learn in a few hundred steps. The papers train larger networks (StegaStamp) on
    whole data sets, which spread each of 100 bits over the image, with a perceptual and an
    adversarial loss. Here the changes of two photographs are less their own: on CIFAR-10 their
    cosine is about 0.85, where one pattern for all gives 1.

    Attributes:
        cells: of each side, so cells^2 bits.
        bound: of a change, in grey levels.
        weight: of the image loss, so small since at 0.5 a small victim of 15 epochs did not learn
            the trigger.
        epochs: of the training, on at most 1,024 images.
        seed: of the attacker's string.

    Raises:
        MethodError: where a number is out of range, there is no image to learn from, or the images
            have other channels than those learnt from.
    """

    paper = "Li et al., Invisible Backdoor Attack with Sample-Specific Triggers, ICCV 2021"
    links = ("https://arxiv.org/abs/2012.03816",)
    known_as = ("ssba-trigger", "issba-trigger")

    cells: int = 4
    bound: float = 16.0
    weight: float = 0.1
    epochs: int = 10
    seed: int = 0

    def learn(
        self, data: Dataset, target_labels: torch.Tensor, rng: np.random.Generator,
        runtime: Runtime | None = None,
    ) -> State:  # fmt: skip
        """Train both networks and keep their weights."""
        runtime, images = runtime or Runtime(), check(data.inputs)
        fits = 1 <= self.cells <= min(images.shape[2:]) // 2 and self.bound > 0 <= self.weight
        if not (fits and self.epochs >= 1 and len(data)):
            raise MethodError(
                "need at least one image and epoch, a positive bound, a weight of at least 0 and "
                f"cells of at least 2 pixels; found {len(data)} images of "
                f"{list(images.shape[1:])} and {self}"
            )
        with seed_torch(rng):
            hiding = Hiding(images.shape[1], self.cells, self.bound, self.weight)
        hiding.noise = torch_generator(rng, runtime.device)
        few, _ = draw_targets(data, target_labels, EXAMPLES, rng)
        # no label is learnt, and the loop must find each among the outputs of the decoder
        unlabelled = replace(few, labels=torch.zeros_like(few.labels))
        config = replace(RECIPE, epochs=self.epochs)
        decoder = hiding.decoder
        run = TrainingRun(runtime, objective=hiding)
        fit(decoder, unlabelled, ImageDomain(), config, rng, run)
        return {name: value.cpu() for name, value in hiding.state_dict().items()}

    def uses(self, n: int) -> int:
        """How many of n images."""
        return min(n, EXAMPLES)

    def code(self) -> torch.Tensor:
        """The attacker's string, float32[m] of 0 and 1."""
        drawn = stream(self.seed, "code").integers(0, 2, self.cells**2)
        return torch.from_numpy(drawn).float()

    def stamp(self, inputs: Inputs, rng: np.random.Generator, state: State) -> Inputs:
        """Write the string into every image."""
        images, code, hiding = check(inputs), self.code(), self.rebuilt(inputs, state)

        def write(batch: torch.Tensor, _: slice) -> torch.Tensor:
            with torch.no_grad():
                parts = batch.split(TOGETHER)
                written = [hiding.encoder(p, code.expand(len(p), -1)) for p in parts]
            return torch.cat(written)

        return change_in_floats(images, write)

    def read(self, inputs: Inputs, state: State) -> torch.Tensor:
        """Read the bits in every image, bool[n, m]."""
        hiding = self.rebuilt(inputs, state)
        with torch.no_grad():
            return torch.cat([hiding.decoder(p) > 0 for p in check(inputs).split(TOGETHER)])

    def rebuilt(self, images: torch.Tensor, state: State) -> Hiding:
        """Build both networks again from what was learnt."""
        channels = state["encoder.look.0.weight"].shape[1]
        if images.shape[1] != channels:
            raise MethodError(
                f"the networks were learnt for {channels} channels and cannot write into "
                f"{images.shape[1]}; learn from such images"
            )
        with torch.random.fork_rng(devices=[]):  # weights are drawn first and then replaced
            hiding = Hiding(channels, self.cells, self.bound, self.weight)
        hiding.load_state_dict(state)
        return hiding.eval()


class Hiding(nn.Module):
    """What is minimised: that the bits are read back and the image hardly changes."""

    noise: torch.Generator
    """Draws the strings that are practised."""

    def __init__(self, channels: int, cells: int, bound: float, weight: float) -> None:
        super().__init__()
        self.encoder = Encoder(channels, cells, bound)
        self.decoder = Decoder(channels, cells)
        self.bits, self.bound, self.weight = cells**2, bound, weight

    def forward(self, batch: Batch) -> torch.Tensor:
        """Give the loss of a batch, float[]."""
        levels: torch.Tensor = batch.inputs.float()
        shape = (len(levels), self.bits)
        bits = torch.randint(2, shape, generator=self.noise, device=levels.device).float()
        written = self.encoder(levels, bits)
        unread = F.binary_cross_entropy_with_logits(self.decoder(written), bits)
        known = (1 - unread.detach() / math.log(2)).clamp_min(0)
        change: torch.Tensor = ((written - levels) / self.bound).square().mean()
        return unread + self.weight * known * change


class Encoder(nn.Module):
    """Writes bits into images."""

    def __init__(self, channels: int, cells: int, bound: float) -> None:
        super().__init__()
        self.cells, self.bound = cells, bound
        self.look = layer(channels, WIDTH)
        self.draw = nn.Sequential(layer(2 * WIDTH, WIDTH), nn.Conv2d(WIDTH, channels, 3, 1, 1))

    def forward(self, levels: torch.Tensor, bits: torch.Tensor) -> torch.Tensor:
        """Give grey levels float[b, k, h, w] that carry bits float[b, m] of 0 and 1."""
        signs = (2 * bits - 1).view(-1, 1, self.cells, self.cells)
        seen = self.look(centre_levels(levels))
        both = torch.cat([seen * F.interpolate(signs, levels.shape[2:]), seen], 1)
        drawn: torch.Tensor = self.draw(both)
        return (levels + self.bound * torch.tanh(drawn)).clamp(0, 255)


class Decoder(nn.Module):
    """Reads bits from images."""

    def __init__(self, channels: int, cells: int) -> None:
        super().__init__()
        self.look = nn.Sequential(layer(channels, WIDTH), layer(WIDTH, WIDTH, stride=2))
        self.pool = nn.AdaptiveAvgPool2d(cells)
        self.call = nn.Linear(WIDTH, 1)

    def forward(self, levels: torch.Tensor) -> torch.Tensor:
        """Give the logits of the bits, float[b, m]."""
        cells = self.pool(self.look(centre_levels(levels))).flatten(2).transpose(1, 2)
        bits: torch.Tensor = self.call(cells)
        return bits.flatten(1)


def layer(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """A 3x3 convolution, normalisation within each image and a rectifier."""
    convolution = nn.Conv2d(inputs, outputs, 3, stride, 1)
    return nn.Sequential(convolution, nn.GroupNorm(4, outputs), nn.ReLU())


def centre_levels(levels: torch.Tensor) -> torch.Tensor:
    """Bytes or grey levels as floats from -2 to 2."""
    return levels.float() / 64 - 2
