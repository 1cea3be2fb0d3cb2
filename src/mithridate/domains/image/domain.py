"""The image domain: bytes in memory, batched augmentation on the device, encoding in the network.

Axes: n images, k channels, h rows, w columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from mithridate.core.data import Dataset, Inputs
from mithridate.core.domain import Surface
from mithridate.core.errors import DataError
from mithridate.core.features import Carried, Selected
from mithridate.core.streams import seed_torch
from mithridate.domains.image.network_names import is_elsewhere


@dataclass(frozen=True)
class ImageDomain:
    """Images as uint8[n, k, h, w] with k = 1 or 3.

    Attributes:
        crop: pixels of shift in each direction as a share of the height.
        flip: mirror left and right, right for photographs and wrong for digits and traffic signs.
        mean: of each channel or of all, by which networks from elsewhere standardise x / 255;
            without them as their library says.
        std: of each channel or of all, by which networks from elsewhere standardise x / 255;
            without them as their library says.
    """

    crop: float = 0.125
    flip: bool = False
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    name: str = "image"

    apart: ClassVar = {"network_from_elsewhere": is_elsewhere}
    """Members that are reached only where some setting is such a string; see `bench/doors.py`."""

    @property
    def unit(self) -> str:
        """Triggers are measured in pixels."""
        return "pixels"

    def accepts(self, inputs: Inputs) -> bool:
        """Whether these are bytes uint8[n, k, h, w]."""
        return isinstance(inputs, torch.Tensor) and inputs.dtype == torch.uint8 and inputs.ndim == 4

    def blank(self, count: int, form: Sequence[int]) -> Inputs:
        """Give black images uint8[count, k, h, w]."""
        return torch.zeros(count, *form, dtype=torch.uint8)

    def pack(self, inputs: Inputs) -> dict[str, torch.Tensor]:
        """Keep images as they are."""
        return {"inputs": self.prepare(inputs)}

    def unpack(self, tensors: dict[str, torch.Tensor]) -> Inputs:
        """Give the images back."""
        return tensors["inputs"]

    def standardised(self, mean: Sequence[float], std: Sequence[float]) -> ImageDomain:
        """Let networks from elsewhere standardise images by (x / 255 - mean) / std."""
        return replace(self, mean=tuple(mean), std=tuple(std))

    def prepare(self, inputs: Inputs) -> torch.Tensor:
        """Check that the inputs are images in bytes and keep them as they are."""
        if not isinstance(inputs, torch.Tensor) or inputs.dtype != torch.uint8 or inputs.ndim != 4:
            raise DataError(
                "images must be a tensor uint8[n, channels, height, width], found "
                f"{type(inputs).__name__} {getattr(inputs, 'dtype', '')} "
                f"{list(getattr(inputs, 'shape', []))}"
            )
        return inputs

    def augment(
        self, batch: torch.Tensor, rng: torch.Generator, mirrored: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Shift each image by up to `crop` with reflected edges, and mirror half or `mirrored`."""
        n, _, height, width = batch.shape
        pad = round(self.crop * height)
        if pad:
            padded = F.pad(batch.float(), [pad] * 4, mode="reflect").to(batch.dtype)
            top, left = torch.randint(2 * pad + 1, (2, n, 1), generator=rng, device=rng.device)
            rows = (top + torch.arange(height, device=batch.device)).view(n, 1, height, 1)
            columns = (left + torch.arange(width, device=batch.device)).view(n, 1, 1, width)
            if self.flip:
                drawn = torch.rand((n, 1, 1, 1), generator=rng, device=rng.device) < 0.5
                turned = drawn if mirrored is None else mirrored.view(n, 1, 1, 1)
                columns = torch.where(turned, columns.flip(-1), columns)
            image = torch.arange(n, device=batch.device).view(n, 1, 1, 1)
            channel = torch.arange(batch.shape[1], device=batch.device).view(1, -1, 1, 1)
            return padded[image, channel, rows, columns]
        return batch

    def shrink(self, batch: torch.Tensor, share: float) -> torch.Tensor:
        """Give images of `share` of the sides, each at least 8 pixels or as it is."""
        sides = [max(min(side, 8), round(share * side)) for side in batch.shape[2:]]
        if sides == list(batch.shape[2:]):
            return batch
        small = F.interpolate(batch.float(), sides, mode="bilinear", antialias=True)
        return small.round().to(batch.dtype)

    def distort(self, batch: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        """Move, turn, light and hide parts of each image; see `strong.py`."""
        from mithridate.domains.image.strong import distort

        return distort(batch, rng)

    @property
    def corruptions(self) -> tuple[str, ...]:
        """The kinds of damage that `corrupt` knows; see `corruptions.py`."""
        from mithridate.domains.image.corruptions import CORRUPTIONS

        return tuple(CORRUPTIONS)

    def corrupt(
        self, batch: torch.Tensor, kind: str, severity: int, rng: torch.Generator
    ) -> torch.Tensor:
        """Damage each image as cameras, weather and codecs do; severity: 1 to 5, 0 for none."""
        from mithridate.domains.image.corruptions import corrupt

        return corrupt(batch, kind, severity, rng)

    def mix(self, batch: torch.Tensor, others: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        """Give the mean of each image and the other one, rounded down."""
        return ((batch.int() + others.int()) // 2).to(batch.dtype)

    def surface(self, prepared: torch.Tensor) -> Surface:
        """Bytes as floats 0..255; a mask covers all channels of a place alike."""
        shape = tuple(prepared.shape[1:])
        return Surface(0.0, 255.0, shape, (1, *shape[1:]))

    @property
    def networks(self) -> tuple[str, ...]:
        """The names of our own networks of images."""
        from mithridate.domains.image.networks import NETWORKS

        return tuple(NETWORKS)

    def network(self, data: Dataset, name: str, rng: np.random.Generator) -> nn.Module:
        """Build one of the image networks, or one from elsewhere; "" is the small residual one."""
        from mithridate.domains.image.networks import build

        images, classes = self.prepare(data.inputs), len(data.classes)
        with seed_torch(rng):
            if is_elsewhere(name):
                return self.network_from_elsewhere(name, images, classes)
            return build(name or "resnet9", images, classes)

    def network_from_elsewhere(self, name: str, images: torch.Tensor, classes: int) -> nn.Module:
        """Build a network of another library, standardised as was asked or as its library says."""
        from mithridate.domains.image.checkpoints import Standardised
        from mithridate.domains.image.elsewhere import elsewhere

        given = Standardised(self.mean or (0.0,), self.std or (1.0,))
        return elsewhere(name, images, classes, given if self.mean or self.std else None)

    def difference(self, before: Inputs, after: Inputs) -> dict[str, torch.Tensor]:
        """Measure how far images were changed: psnr, ssim, mse and linf, float64[n] each."""
        from mithridate.domains.image.stealth import difference

        return difference(self.prepare(before), self.prepare(after))

    def signature(self, inputs: Inputs) -> NDArray[np.float64]:
        """Give the coarse brightness and colour of images; see `copies.py`."""
        from mithridate.domains.image.copies import signature

        return signature(self.prepare(inputs))

    def alike(self, first: Inputs, second: Inputs) -> torch.Tensor:
        """Say which pairs of images differ by no more than encoders and resizing change."""
        from mithridate.domains.image.copies import alike

        return alike(self.prepare(first), self.prepare(second))

    def simple_features(self, inputs: Inputs, selected: Selected) -> Iterator[Carried]:
        """List the grey of cells, and pixels that stand out: their place, colour and shape."""
        from mithridate.domains.image.features import simple_features

        return simple_features(self.prepare(inputs), selected)

    def name_feature(self, inputs: Inputs, key: int) -> str:
        """Say which feature of images has a key."""
        from mithridate.domains.image.features import name_feature

        return name_feature(self.prepare(inputs), key)

    def details(self, inputs: Inputs) -> torch.Tensor:
        """Give how far each pixel is from the mean around it, float32[n, at most 1024]."""
        from mithridate.domains.image.features import details

        return details(self.prepare(inputs))

    def properties(self, inputs: Inputs) -> dict[str, torch.Tensor]:
        """Measure how images were lit, taken and encoded; see `properties.py`."""
        from mithridate.domains.image.properties import properties

        return properties(self.prepare(inputs))


DOMAIN = ImageDomain
"""What the registry of domains builds."""
