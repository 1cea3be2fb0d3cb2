"""How far a sound was changed.

Axes: n clips, t samples.
"""

from __future__ import annotations

import numpy as np
import torch

from mithridate.core.errors import DataError, MissingExtra
from mithridate.core.extras import import_extra

UNCHANGED = 100.0
"""The signal-to-noise ratio of an unchanged clip in decibels, which would be infinite."""

WINDOW = 256
"""Samples of a window in which spectra are compared."""

FLOOR = 1e-7
"""Energy, of full scale, below which a frequency counts as silent: -70 dB."""

CHUNK = 256
"""Clips compared at a time."""


def difference(before: torch.Tensor, after: torch.Tensor, rate: int) -> dict[str, torch.Tensor]:
    """Compare clips int16[n, t] with their changed twins, float64[n] for each measure.

    snr: 10 log10(sum x^2 / sum (x - y)^2) in decibels, smaller is easier to notice, at most 100,
    and 0 of silence that was changed; distance: the log-spectral distance in decibels, larger is
    easier to notice; peak: the largest difference of a sample, of full scale 1, larger is easier to
    notice; stoi: short-time objective intelligibility of speech in 0..1 where pystoi is installed,
    smaller is easier to notice. It is 1 for no change, and where a clip holds too little sound to
    tell, less than about 0.4 seconds.

    Raises:
        DataError: where the shapes differ.
    """
    if before.shape != after.shape:
        raise DataError(
            "sounds can only be compared with their changed twins of the same length: expected "
            f"{list(before.shape)}, found {list(after.shape)}; compare before they are cut"
        )
    pairs = zip(before.split(CHUNK), after.split(CHUNK), strict=True)
    parts = [_measures(first.double() / 32768, second.double() / 32768) for first, second in pairs]
    measured = {name: torch.cat([part[name] for part in parts]) for name in ("snr", "distance",
                                                                         "peak")}  # fmt: skip
    understood = _stoi(before, after, rate)
    return measured if understood is None else {**measured, "stoi": understood}


def _measures(first: torch.Tensor, second: torch.Tensor) -> dict[str, torch.Tensor]:
    gap = second - first
    power, noise = first.square().sum(1), gap.square().sum(1)
    snr = 10 * torch.log10(power.clamp_min(1e-12) / noise.clamp_min(1e-30))
    snr = torch.where(noise == 0, UNCHANGED, torch.where(power == 0, 0.0, snr))
    return {
        "snr": snr.clamp(max=UNCHANGED),
        "distance": (_levels(first) - _levels(second)).square().mean(1).sqrt().mean(1),
        "peak": gap.abs().amax(1),
    }


def _levels(sounds: torch.Tensor) -> torch.Tensor:
    """Give the levels of frequencies in decibels, float64[n, frequency, frame]."""
    window = torch.hann_window(WINDOW, dtype=torch.float64)
    short = max(0, WINDOW - sounds.shape[1])
    spectrum = torch.stft(
        torch.nn.functional.pad(sounds, (0, short)), WINDOW, WINDOW // 2, window=window,
        pad_mode="constant", return_complex=True,
    )  # fmt: skip
    return 10 * torch.log10(spectrum.abs().square() / window.square().sum() + FLOOR)


def _stoi(before: torch.Tensor, after: torch.Tensor, rate: int) -> torch.Tensor | None:
    """Ask pystoi how well speech is understood still, float64[n]; None where it is absent.

    It gives 1e-5 and a warning where less than 30 frames are loud enough, which is no measure.
    """
    try:
        pystoi = import_extra("pystoi", "intelligibility is measured by pystoi")
    except MissingExtra:
        return None
    import warnings

    values = []
    for first, second in zip(before.numpy(), after.numpy(), strict=True):
        heard = np.flatnonzero(np.abs(first.astype(np.int32)) > 32)
        last = int(heard[-1]) + 1 if len(heard) else 0
        a, b = (each[:last].astype(np.float64) / 32768 for each in (first, second))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            same = last <= rate // 4 or np.array_equal(a, b)
            value = 1.0 if same else float(pystoi.stoi(a, b, rate))
        values.append(value if 1e-5 < value < 1 else 1.0)  # 1e-5 says that it cannot tell
    return torch.tensor(values, dtype=torch.float64)
