"""Which training examples an attacker changes.

Axes: n examples.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from mithridate.core.errors import MethodError
from mithridate.core.method import Method, lacking


class Chosen(NamedTuple):
    """Positions of the examples to poison and of the cover examples, int64[k] each."""

    poison: torch.Tensor
    cover: torch.Tensor


class Selection(Method):
    """Which examples get the trigger with the wanted label, and which with their own."""

    kind = "selection"

    def choose(
        self, labels: torch.Tensor, target_labels: torch.Tensor, rng: np.random.Generator
    ) -> Chosen:
        """Choose among n examples; labels and wanted labels are int64[n]."""
        raise lacking(self, "choose")


def count(amount: float, n: int, available: int, what: str) -> int:
    """Turn a share of the data set (below 1) or a number of examples into a number.

    Raises:
        MethodError: where fewer examples are available.
    """
    if not 0 <= amount < math.inf:
        raise MethodError(
            f"the amount of {what} must not be negative and must be finite, found {amount}"
        )
    target_labels = round(amount * n) if amount < 1 else round(amount)
    if target_labels > available:
        raise MethodError(
            f"{target_labels} {what} were asked for and only {available} of {n} examples are "
            "eligible; "
            "ask for fewer or aim at more classes"
        )
    return target_labels


def draw(
    eligible: torch.Tensor, amount: float, what: str, rng: np.random.Generator
) -> torch.Tensor:
    """Take the first eligible examples of a random order of all, so that small sets nest in large.

    Args:
        eligible: bool[n]; returns int64[k] positions.
    """
    order = torch.from_numpy(rng.permutation(len(eligible)))
    order = order[eligible[order]]
    return order[: count(amount, len(eligible), len(order), what)]


@dataclass(frozen=True)
class RandomSelection(Selection):
    """Poison random examples whose label the attacker wants changed.

    Attributes:
        poison_rate: share of the whole data set if below 1, else the number of examples.
        cover: amount of further examples that get the trigger and keep their label, of those not
            poisoned: of the classes that the attack does not aim at if there are any (TaCT), else
            of all (Adaptive-Blend).
    """

    paper = "cover samples: Tang et al., TaCT, USENIX Security 2021; Qi et al., ICLR 2023"
    links = ("https://arxiv.org/abs/1908.00686", "https://arxiv.org/abs/2205.13613")

    poison_rate: float = 0.01
    cover: float = 0.0

    def choose(
        self, labels: torch.Tensor, target_labels: torch.Tensor, rng: np.random.Generator
    ) -> Chosen:
        """Choose poison first and cover from another stream, so that neither moves the other."""
        first, second = rng.spawn(2)
        poison = draw(target_labels != labels, self.poison_rate, "poisoned examples", first)
        free = torch.ones(len(labels), dtype=torch.bool)
        free[poison] = False
        spared = target_labels == labels
        if bool(spared.any()) and len(target_labels.unique()) > 1:
            free &= spared
        return Chosen(poison, draw(free, self.cover, "cover examples", second))


@dataclass(frozen=True)
class CleanLabel(Selection):
    """Poison examples that already carry the wanted label, so that no label is wrong.

    Attributes:
        poison_rate: share of the whole data set if below 1, else the number of examples.
    """

    paper = "Barni, Kallas and Tondi, SIG, ICIP 2019"
    links = ("https://arxiv.org/abs/1902.11237",)

    poison_rate: float = 0.01

    def choose(
        self, labels: torch.Tensor, target_labels: torch.Tensor, rng: np.random.Generator
    ) -> Chosen:
        """Choose among the examples of the wanted class."""
        none = torch.zeros(0, dtype=torch.int64)
        return Chosen(
            draw(target_labels == labels, self.poison_rate, "poisoned examples", rng), none
        )


@dataclass(frozen=True)
class CoveredSelection(Selection):
    """Poison random examples and cover them by so many others for each.

    Chooses as `RandomSelection` does, with round(cover_ratio * poisoned) cover samples, so that a
    sweep over `amount` alone keeps the attack in proportion.

    Attributes:
        poison_rate: share of the whole data set if below 1, else the number of examples.
        cover_ratio: cover samples, with the trigger and their own label, for each poisoned one.

    Raises:
        MethodError: where fewer examples are eligible, or a number is negative.
    """

    paper = (
        "Qi et al., Revisiting the Assumption of Latent Separability for Backdoor Defenses, 2023"
    )
    links = ("https://arxiv.org/abs/2205.13613",)

    poison_rate: float = 0.003
    cover_ratio: float = 1.0

    def choose(
        self, labels: torch.Tensor, target_labels: torch.Tensor, rng: np.random.Generator
    ) -> Chosen:
        """Choose poison, and in proportion to it the cover among all others."""
        eligible = int((target_labels != labels).sum())
        poisoned = count(self.poison_rate, len(labels), eligible, "poisoned examples")
        # a whole number: RandomSelection would read a ratio below 1 as a share of all examples
        cover = float(round(self.cover_ratio * poisoned))
        return RandomSelection(self.poison_rate, cover).choose(labels, target_labels, rng)
