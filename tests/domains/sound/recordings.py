"""Small sounds as people have them in files."""

import io

import numpy as np
import pytest

soundfile = pytest.importorskip("soundfile")


def tone(pitch=440.0, seconds=0.3, rate=8000, level=0.3):
    """Samples of a sine."""
    return level * np.sin(2 * np.pi * pitch * np.arange(round(seconds * rate)) / rate)


def packed(samples, rate=8000, format="WAV", subtype=None):
    """The bytes of a file."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=format, subtype=subtype)
    return file.getvalue()


def folder(root, several):
    """Write files by name below a folder."""
    for name, data in several.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


def two_classes(count=4, suffix="wav", **how):
    """Files of low and high tones in class folders."""
    return {
        f"{name}/{row}.{suffix}": packed(tone(pitch + 20 * row, 0.25 + 0.01 * row), **how)
        for name, pitch in (("low", 300), ("high", 1500))
        for row in range(count)
    }
