"""The sound domain: 16-bit samples in memory, log-mel spectrograms in the network.

Axes: n clips, t samples.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mithridate.core.data import Dataset, Inputs
from mithridate.core.domain import Surface
from mithridate.core.errors import DataError, MethodError
from mithridate.core.features import Carried, Selected
from mithridate.core.streams import seed_torch

PEAK = 32767
"""The loudest sample."""

HIDDEN = 0.1
"""Share of a clip that is silenced at each of two places by `distort`."""


@dataclass(frozen=True)
class SoundDomain:
    """Clips as int16[n, t], mono and of one length.

    Attributes:
        rate: samples a second, of all clips.
        shift: seconds by which a clip is moved to either side, at most.
        gain: decibels by which it is made louder or softer, at most.
    """

    rate: int = 8000
    shift: float = 0.03
    gain: float = 6.0
    name: str = "sound"

    @property
    def unit(self) -> str:
        """Triggers are measured in decibels below the clip."""
        return "dB"

    def accepts(self, inputs: Inputs) -> bool:
        """Whether these are samples int16[n, t]."""
        return isinstance(inputs, torch.Tensor) and inputs.dtype == torch.int16 and inputs.ndim == 2

    def blank(self, count: int, form: Sequence[int]) -> Inputs:
        """Give silent clips int16[count, t]."""
        return torch.zeros(count, *form, dtype=torch.int16)

    def pack(self, inputs: Inputs) -> dict[str, torch.Tensor]:
        """Keep clips as they are."""
        return {"inputs": self.prepare(inputs)}

    def unpack(self, tensors: dict[str, torch.Tensor]) -> Inputs:
        """Give the clips back."""
        return tensors["inputs"]

    def standardised(self, mean: Sequence[float], std: Sequence[float]) -> SoundDomain:
        """Raise MethodError: a mean and a deviation of colours mean nothing in sounds."""
        raise MethodError(
            "expected no mean and no std, which belong to networks of images; sounds are turned "
            "into spectrograms by the network itself; leave them out"
        )

    def prepare(self, inputs: Inputs) -> torch.Tensor:
        """Check that the inputs are samples of 16 bits and keep them as they are."""
        if not isinstance(inputs, torch.Tensor) or not self.accepts(inputs):
            raise DataError(
                "sounds must be a tensor int16[n, samples], found "
                f"{type(inputs).__name__} {getattr(inputs, 'dtype', '')} "
                f"{list(getattr(inputs, 'shape', []))}"
            )
        return inputs

    def augment(
        self, batch: torch.Tensor, rng: torch.Generator, mirrored: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Move each clip by up to `shift` and make it louder or softer by up to `gain`.

        What is moved out is lost, and what comes in is silent.
        """
        n, length = batch.shape
        drawn = torch.rand((2, n, 1), generator=rng, device=rng.device).to(batch.device) * 2 - 1
        most = min(round(self.shift * self.rate), length)
        moved = torch.arange(length, device=batch.device) - (drawn[0] * most).round().long()
        inside = (moved >= 0) & (moved < length)
        samples = batch.gather(1, moved.clamp(0, length - 1)) * inside
        return to_samples(samples.float() * 10 ** (drawn[1] * self.gain / 20))

    def shrink(self, batch: torch.Tensor, share: float) -> torch.Tensor:
        """Give the batch as it is: a lower rate would be another pitch to the network."""
        return batch

    def distort(self, batch: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        """Silence a tenth of each clip at two places and add noise 25 dB below it."""
        n, length = batch.shape
        hidden = max(1, round(HIDDEN * length))
        drawn = torch.rand((2, n, 1), generator=rng, device=rng.device).to(batch.device)
        place = torch.arange(length, device=batch.device)
        kept = torch.ones_like(batch, dtype=torch.bool)
        for first in (drawn * (length - hidden + 1)).long():
            kept &= (place < first) | (place >= first + hidden)
        noise = torch.randn(batch.shape, generator=rng, device=rng.device).to(batch.device)
        loud = batch.float().square().mean(1, keepdim=True).sqrt() * 10 ** (-25 / 20)
        return to_samples(batch.float() * kept + noise * loud)

    @property
    def corruptions(self) -> tuple[str, ...]:
        """The kinds of damage that `corrupt` knows; see `corruptions.py`."""
        from mithridate.domains.sound.corruptions import CORRUPTIONS

        return tuple(CORRUPTIONS)

    def corrupt(
        self, batch: torch.Tensor, kind: str, severity: int, rng: torch.Generator
    ) -> torch.Tensor:
        """Damage each clip as rooms, codecs and microphones do; severity: 1 to 5, 0 for none."""
        from mithridate.domains.sound.corruptions import corrupt

        return corrupt(batch, kind, severity, rng)

    def mix(self, batch: torch.Tensor, others: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        """Give half the sum of each clip and the other one."""
        return to_samples((batch.float() + others.float()) / 2)

    def surface(self, prepared: torch.Tensor) -> Surface:
        """Samples as floats -32768..32767; a mask covers each of them by itself."""
        shape = tuple(prepared.shape[1:])
        return Surface(-float(PEAK) - 1, float(PEAK), shape, shape)

    @property
    def networks(self) -> tuple[str, ...]:
        """The names of our networks of sounds."""
        from mithridate.domains.sound.networks import NETWORKS

        return tuple(NETWORKS)

    def network(self, data: Dataset, name: str, rng: np.random.Generator) -> nn.Module:
        """Build one of the networks of sounds; "" is the convolutional one."""
        from mithridate.domains.sound.networks import build

        self.prepare(data.inputs)
        with seed_torch(rng):
            return build(name or "cnn", self.rate, len(data.classes))

    def difference(self, before: Inputs, after: Inputs) -> dict[str, torch.Tensor]:
        """Measure how far clips were changed: snr, distance, peak and stoi, float64[n] each."""
        from mithridate.domains.sound.stealth import difference

        return difference(self.prepare(before), self.prepare(after), self.rate)

    def signature(self, inputs: Inputs) -> NDArray[np.float64]:
        """Give the coarse course of loudness and pitch of clips; see `copies.py`."""
        from mithridate.domains.sound.copies import signature

        return signature(self.prepare(inputs))

    def alike(self, first: Inputs, second: Inputs) -> torch.Tensor:
        """Say which pairs of clips differ by no more than codecs, rates and gain change."""
        from mithridate.domains.sound.copies import alike

        return alike(self.prepare(first), self.prepare(second))

    def simple_features(self, inputs: Inputs, selected: Selected) -> Iterator[Carried]:
        """List the loudness of bands over time, narrow lines, lasting tones and clicks."""
        from mithridate.domains.sound.features import simple_features

        return simple_features(self.prepare(inputs), self.rate, selected)

    def name_feature(self, inputs: Inputs, key: int) -> str:
        """Say which feature of sounds has a key."""
        from mithridate.domains.sound.features import name_feature

        return name_feature(self.prepare(inputs), self.rate, key)

    def details(self, inputs: Inputs) -> torch.Tensor:
        """Give how far each part of a spectrogram is from what lies around it, float32[n, d]."""
        from mithridate.domains.sound.features import details

        return details(self.prepare(inputs))

    def properties(self, inputs: Inputs) -> dict[str, torch.Tensor]:
        """Measure how clips were recorded and written; see `properties.py`."""
        from mithridate.domains.sound.properties import properties

        return properties(self.prepare(inputs), self.rate)


def to_samples(sound: torch.Tensor) -> torch.Tensor:
    """Round floats in units of 16-bit samples to int16; what is louder is clipped."""
    return sound.round().clamp(-PEAK - 1, PEAK).to(torch.int16)


DOMAIN = SoundDomain
"""What the registry of domains builds."""
