"""Encoded sounds to samples in memory: of one rate and one length.

Axes: n clips, t samples.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch

from mithridate.core.errors import DataError, MissingExtra
from mithridate.core.spelling import raised
from mithridate.domains.formats.sound_files import TRAITS, Clip, decode, resample, to_samples
from mithridate.domains.formats.source import Reading, TooFewSeen

LONGEST = 10.0
"""Seconds of a clip that are kept where no length was asked for."""

WHOLE = 0.99
"""Share of clips that are kept whole where they are not longer than that."""

QUIET = 8
"""Level of 16 bits below which a whole clip is silent."""


def gather(
    encoded: Iterable[Callable[[], bytes]], labels: np.ndarray[Any, Any], names: Sequence[str],
    reading: Reading, wanted: np.ndarray[Any, Any] | None = None,
) -> tuple[torch.Tensor, np.ndarray[Any, Any]]:  # fmt: skip
    """Decode sounds one by one; those without a label (negative) are passed over.

    All get the rate that most have and one length; what was changed for it is said in notes.

    Args:
        encoded: give the file of each sound, [m].
        labels: int64[m].
        names: [m].
        reading: what was asked for.
        wanted: bool[m], where it is known already what is drawn.

    Returns:
        The clips int16[n, t], and the positions int64[n] of the rows that were kept. Where examples
        are drawn ahead, the clips are those of the drawn ones alone, and positions of all.
    """
    wanted = reading.wanted(labels) if wanted is None else wanted
    clips: list[Clip] = []
    kept: list[int] = []
    size = 0
    for row, fetch in enumerate(encoded):
        if not wanted[row]:
            continue
        try:
            clip = decode(fetch(), reading.limits)
        except MissingExtra:
            raise
        except DataError as error:
            reading.reject(names[row], str(error), type(error))
            continue
        size += clip.samples.nbytes
        _check_room(size, reading)
        clips.append(clip)
        kept.append(row)
    rows = np.array(kept, dtype=np.int64)
    sounds, rows = _heard(_together(clips, reading), rows, labels, names, reading)
    return sounds, np.flatnonzero(labels >= 0) if reading.draws_ahead else rows


def _check_room(size: int, reading: Reading) -> None:
    if size > reading.limits.total:
        raise DataError(
            f"{str(reading.root)!r}: expected sounds of at most {reading.limits.total} bytes in "
            f"memory, found more; {raised('total')}"
        )


def _together(clips: Sequence[Clip], reading: Reading) -> torch.Tensor:
    """Bring clips to one rate and one length, int16[n, t], and say what was done."""
    if not clips:
        return torch.zeros(0, 1, dtype=torch.int16)
    rate = reading.rate or _usual_rate(clips)
    special = Counter(trait for clip in clips for trait in clip.traits)
    rates = Counter(clip.rate for clip in clips)
    at_rate = [_at_rate(clip, rate) for clip in clips]
    special["resampled"] += sum(
        clip.rate != rate and "resampled" not in clip.traits for clip in clips
    )
    reading.settings["rate"] = rate
    length = _length([len(samples) for samples in at_rate], rate, reading)
    _check_room(2 * length * len(clips), reading)
    reading.notes += [f"{special[trait]} sounds {TRAITS[trait]}." for trait in TRAITS
                      if special[trait]]  # fmt: skip
    if len(rates) > 1:
        reading.notes.append(f"Sounds of {len(rates)} rates are mixed.")
    return torch.from_numpy(_padded(at_rate, length))


def _usual_rate(clips: Sequence[Clip]) -> int:
    """The rate that most clips have, the lower of two: one odd file must not decide for all."""
    counts = Counter(clip.rate for clip in clips)
    return min(counts, key=lambda rate: (-counts[rate], rate))


def _at_rate(clip: Clip, rate: int) -> np.ndarray[Any, np.dtype[np.int16]]:
    if clip.rate == rate:
        return clip.samples
    return to_samples(
        resample(clip.samples.astype(np.float32) / np.float32(32768), clip.rate, rate)
    )


def _length(lengths: Sequence[int], rate: int, reading: Reading) -> int:
    """Choose the common length in samples, and say which clips are cut."""
    asked = reading.seconds
    whole = sorted(lengths)[min(len(lengths) - 1, int(np.ceil(WHOLE * len(lengths))) - 1)]
    length = max(1, round(asked * rate) if asked else min(whole, round(LONGEST * rate)))
    cut = sum(each > length for each in lengths)
    said = f"Sounds are mono of {rate} samples a second and {length / rate:.2f} seconds each"
    loss = f"; {cut} of {len(lengths)} were longer and lost their ends" if cut else ""
    reading.notes.append(f"{said}: shorter ones end in silence{loss}.")
    return length


def _padded(
    sounds: Sequence[np.ndarray[Any, np.dtype[np.int16]]], length: int
) -> np.ndarray[Any, np.dtype[np.int16]]:
    """Put int16[t] of several lengths into int16[n, length]."""
    together = np.zeros((len(sounds), length), dtype=np.int16)
    for row, samples in enumerate(sounds):
        together[row, : len(samples)] = samples[:length]
    return together


def _heard(
    sounds: torch.Tensor, rows: np.ndarray[Any, Any], labels: np.ndarray[Any, Any],
    names: Sequence[str], reading: Reading,
) -> tuple[torch.Tensor, np.ndarray[Any, Any]]:  # fmt: skip
    """Refuse sounds that were read as silence, where most of a class are; few are only noted."""
    if not len(sounds):
        return sounds, rows
    silent = (sounds.amax(1).int() - sounds.amin(1).int() < QUIET).numpy()
    if not silent.any():
        return sounds, rows
    of_class = np.unique(labels[rows], return_inverse=True)[1]
    share = np.bincount(of_class, silent) / np.bincount(of_class)
    said = f"{int(silent.sum())} of {len(silent)} sounds are silent"
    if share.max() <= 0.5:
        reading.notes.append(f"{said}, first {names[rows[silent.argmax()]]!r}.")
        return sounds, rows
    if reading.draws_ahead:
        raise TooFewSeen(said)
    for row in rows[silent].tolist():
        reading.reject(
            names[row],
            f"expected sounds in which something is heard, but {said}, most of a class; nothing "
            "can be judged that is silent: replace or remove them",
        )
    return sounds[torch.from_numpy(~silent)], rows[~silent]


def refit(sounds: torch.Tensor, length: int) -> torch.Tensor:
    """Give int16[n, t] another length: shorter ones end in silence, longer ones lose their ends."""
    if sounds.shape[1] >= length:
        return sounds[:, :length].contiguous()
    return torch.nn.functional.pad(sounds, (0, length - sounds.shape[1]))
