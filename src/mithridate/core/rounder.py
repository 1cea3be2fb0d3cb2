"""The parts of a network that round activations to integers, and bound them by doing so."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from torch import nn


class Rounder(nn.Module):
    """Rounds activations to the integers of a range, and clips what lies beyond.

    clips: whether it does. Where it does not, the range has no upper end; nor a lower one, unless
    the lowest integer stands for zero: quantisers let such a range do the work of a rectifier. In
    ONNX files an upper end at 6 stays, too, for it does the work of a ReLU6; one whose calibration
    did not reach 6 cannot be told from a plain rectifier and is lost.
    """

    clips = True


@contextlib.contextmanager
def unclipped(model: nn.Module) -> Iterator[None]:
    """Let activations of a model leave their ranges inside the block.

    The ranges of static INT8 hold what trusted inputs reach. What only a trigger reaches is clipped
    to it, and with it every measure of how strongly the weights answer.
    """
    found = [part for part in model.modules() if isinstance(part, Rounder) and part.clips]
    try:
        for part in found:
            part.clips = False
        yield
    finally:
        for part in found:
            part.clips = True
