"""Sharpness-aware fine-tuning (FT-SAM): weights that the backdoor leans on must not matter."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from mithridate.core.errors import MethodError
from mithridate.core.fit import TrainingConfig
from mithridate.repairs.fine_tuning import FineTuning


@dataclass(frozen=True)
class SharpnessAwareFineTuning(FineTuning):
    """Fine-tune on trusted examples so that the loss is low around the weights, too.

    Minimises max over |e| <= radius of mean_i CE(f_(w + e)(x_i), y_i): every step follows the
    gradient at the worst point of the ball, w + radius g / |g|, for twice the passes of
    fine-tuning. At the same rate it removes backdoors that fine-tuning leaves. The paper takes the
    adaptive form, in which each weight moves in proportion to its own size, with a radius of 2 on
    CIFAR-10; this is the plain form, whose radius is a distance in all weights together. On
    CIFAR-10 with 1,000 trusted examples radii above 0.2 cost the accuracy.

    Attributes:
        radius: of the ball, a distance in all weights together.

    Raises:
        MethodError: where fewer than ten examples are trusted or a setting is not positive.
    """

    paper = (
        "Zhu, Wei, Shen, Fan and Wu, Enhancing Fine-Tuning Based Backdoor Defense with "
        "Sharpness-Aware Minimization, ICCV 2023"
    )
    links = ("https://arxiv.org/abs/2304.11823",)
    known_as = ("ft-sam",)
    space: ClassVar[dict[str, tuple[float, ...]]] = {
        "radius": (0.05, 0.1, 0.2),
        "learning_rate": (0.05, 0.1, 0.2),
    }

    epochs: int = 10
    learning_rate: float = 0.2
    radius: float = 0.1

    def training(self) -> TrainingConfig:
        """Give the recipe of the training."""
        if not self.radius > 0:
            raise MethodError(
                f"the radius must be positive, found {self.radius}; fine-tuning has none"
            )
        return replace(super().training(), sam_radius=self.radius)
