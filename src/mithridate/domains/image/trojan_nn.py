"""A square whose pattern drives chosen neurons of a network of the attacker's own.

Axes: n images, k channels, s pixels of a side, d features, c classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from mithridate.core.data import Dataset, Inputs
from mithridate.core.errors import MethodError
from mithridate.core.fit import TrainingConfig
from mithridate.core.inference import features_of, forward, last_linear
from mithridate.core.method import LearntTrigger, State
from mithridate.core.runtime import Runtime
from mithridate.domains.image.generators import draw_targets
from mithridate.domains.image.surrogate import ascend, surrogate
from mithridate.domains.image.triggers import check, corner, to_bytes

SEEN = 32  # images under the pattern while it is sought


@dataclass(frozen=True)
class TrojanNNTrigger(LearntTrigger):
    """A square at the bottom right whose pattern drives chosen neurons to a large value.

    p = argmin sum_j mean_x (v_j - f_j(x with p))^2 over the chosen neurons j among the inputs of
    the last linear layer, v_j = factor times the largest f_j of the clean images, by signed
    gradients from grey. Chosen are those with the largest sum over classes of the absolute weights
    of the last layer. The paper takes the neurons by the weights that lead into them, drives them
    on an empty picture to a fixed value, makes up training data from the model alone and retrains
    the model with them; here the attacker has the data, the pattern is sought under images, and the
    victim, who trains afresh, is poisoned with it.

    Attributes:
        size: pixels of a side.
        row: of the top left pixel, negative from the end.
        column: of the top left pixel, negative from the end.
        neurons: how many are driven.
        factor: how far they are driven, in multiples of their largest value on clean images.
        steps: of the search.
        stride: of one step, in grey levels.
        examples: images that the surrogate learns from, at most.
        epochs: of this learning.

    Raises:
        MethodError: where a number is out of range or the square leaves the image.
    """

    paper = "Liu et al., Trojaning Attack on Neural Networks, NDSS 2018"
    links = ("https://doi.org/10.14722/ndss.2018.23291",)

    size: int = 6
    row: int = -7
    column: int = -7
    neurons: int = 2
    factor: float = 10.0
    steps: int = 40
    stride: float = 16.0
    examples: int = 5000
    epochs: int = 5

    def learn(
        self, data: Dataset, target_labels: torch.Tensor, rng: np.random.Generator,
        runtime: Runtime | None = None,
    ) -> State:  # fmt: skip
        """Train a small network and seek the pattern that drives it."""
        self._check()
        few, _ = draw_targets(data, target_labels, self.examples, rng)
        images = check(few.inputs)
        where = self._where(images)
        runtime = runtime or Runtime()
        config = TrainingConfig(epochs=self.epochs, batch_size=64, augment=False)
        model = surrogate(few, rng, config, runtime)
        sample = images[:SEEN]
        features = forward(model, sample, runtime)[0]
        driven = strongest(last_linear(model).weight.cpu(), self.neurons)
        goal = self.factor * features[:, driven].amax(0).clamp_min(1)
        under = sample.float().to(runtime.device)

        def rises(pattern: torch.Tensor) -> torch.Tensor:
            covered = under.clone()
            covered[where] = pattern
            activation = features_of(model, covered)[:, driven]
            return -(goal.to(activation.device) - activation).square().mean()

        grey = torch.full((1, images.shape[1], self.size, self.size), 127.5)
        with runtime.active():
            pattern = ascend(grey.to(under.device), rises, 255.0, self.steps, self.stride)
        return {"pattern": to_bytes(pattern[0]).cpu()}

    def stamp(self, inputs: Inputs, rng: np.random.Generator, state: State) -> Inputs:
        """Set the square in every image."""
        images = check(inputs)
        copy = images.clone()
        if len(images):
            copy[self._where(images)] = state["pattern"]
        return copy

    def _where(self, images: torch.Tensor) -> tuple[slice, slice, slice, slice]:
        row = corner(self.row, self.size, images.shape[2])
        column = corner(self.column, self.size, images.shape[3])
        every = slice(None)
        return every, every, slice(row, row + self.size), slice(column, column + self.size)

    def _check(self) -> None:
        if self.neurons < 1 or self.steps < 1 or self.factor <= 0:
            raise MethodError(
                "neurons and steps must be at least 1 and the factor positive; found "
                f"{self.neurons}, {self.steps} and {self.factor}"
            )


def strongest(weights: torch.Tensor, neurons: int) -> torch.Tensor:
    """Choose the neurons that speak loudest to the classes: largest column sums of |w|, int64.

    Fewer than d at most are chosen.

    Args:
        weights: float[c, d] of the last linear layer.
    """
    return weights.abs().sum(0).topk(min(neurons, weights.shape[1])).indices
