"""How images look on a page: PNG at their own size, magnified by the browser without smoothing.

Axes: n examples, k channels, h rows, w columns.
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image

from mithridate.core.showing import spread_evenly

SIDE = 112  # pixels of the longer side above which a picture is made smaller
BUDGET = 2_000_000  # characters of all pictures of a page


def show(inputs: torch.Tensor) -> Pictures:
    """Show raw images."""
    return Pictures(inputs)


@dataclass(frozen=True, eq=False)
class Pictures:
    """Images uint8[n, k, h, w], grey where k is not 3."""

    inputs: torch.Tensor
    kind: ClassVar[str] = "pictures"

    def room(self, classes: int) -> int:
        """At most 16, fewer where pictures are heavy."""
        weight = len(_png(self.inputs[0])["src"])
        return max(4, min(16, BUDGET // (classes * weight) // 2))

    def card(self, row: int, contrast: dict[str, Any]) -> dict[str, Any]:
        """Give the picture itself."""
        return _png(self.inputs[row])

    def contrast(self, suspects: torch.Tensor, rest: torch.Tensor) -> dict[str, Any]:
        """Average both groups and stretch their difference: mid grey is no difference.

        `largest` is the largest difference of the averages in grey levels, 0..255.
        """
        if not len(suspects) or not len(rest):
            return {}
        first, second = self._mean(suspects), self._mean(rest)
        difference = first - second
        largest = float(difference.abs().max())
        stretched = 127.5 + difference * (127.5 / max(largest, 1e-9))
        pictures = {"suspects": first, "rest": second, "difference": stretched}
        return {
            "largest": round(largest, 1),
            **{name: _png(image.round().to(torch.uint8)) for name, image in pictures.items()},
        }

    def _mean(self, rows: torch.Tensor) -> torch.Tensor:
        chosen = spread_evenly(rows)
        total = torch.zeros(self.inputs.shape[1:], dtype=torch.float64)
        for part in chosen.split(128):  # large images of a class would not fit in memory as floats
            total += self.inputs[part].double().sum(0)
        return total / len(chosen)


def _png(image: torch.Tensor) -> dict[str, Any]:
    """Encode uint8[k, h, w] as the address of a PNG.

    width, height: of the image; reduced: the longer side shown where that is less, else 0.
    """
    levels = image.permute(1, 2, 0).numpy()
    picture = Image.fromarray(
        levels if image.shape[0] == 3 else np.ascontiguousarray(levels[..., 0])
    )
    height, width = image.shape[1:]
    reduced = SIDE if max(height, width) > SIDE else 0
    if reduced:
        scale = SIDE / max(height, width)
        picture = picture.resize((max(1, round(width * scale)), max(1, round(height * scale))))
    kept = io.BytesIO()
    picture.save(kept, "PNG", optimize=True)
    address = "data:image/png;base64," + base64.b64encode(kept.getvalue()).decode("ascii")
    return {"src": address, "width": int(width), "height": int(height), "reduced": reduced}
