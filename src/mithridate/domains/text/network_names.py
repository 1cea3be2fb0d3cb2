"""What the name of a network of texts says of an encoder in a folder."""

from __future__ import annotations

from typing import NamedTuple

LIBRARY = "huggingface"
"""What stands before the colon of such a name."""


class EncoderName(NamedTuple):
    """An encoder in a folder, and how many of its last layers learn."""

    folder: str
    layers: int


def is_encoder(name: str) -> bool:
    """Whether a name says where an encoder lies: "huggingface:FOLDER"."""
    return name.partition(":")[0] == LIBRARY


def encoder_name(name: str) -> EncoderName:
    """Read "huggingface:FOLDER", of which nothing but the last layer learns, or with ":LAYERS"."""
    folder = name.partition(":")[2]
    before, _, last = folder.rpartition(":")
    if before and last.isdecimal():
        return EncoderName(before, int(last))
    return EncoderName(folder, 0)
