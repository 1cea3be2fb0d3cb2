"""A smooth perturbation that fools a network, searched for; raw bytes in, raw bytes out.

Rounding, clipping and random streams are those of `triggers`.
Axes: n images, b images of a batch, k channels, h rows, w columns, v lowest frequencies.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from mithridate.core.data import Dataset, Inputs
from mithridate.core.errors import MethodError
from mithridate.core.fit import TrainingConfig
from mithridate.core.method import LearntTrigger, State
from mithridate.core.runtime import Runtime
from mithridate.domains.image.frequency import waves
from mithridate.domains.image.generators import draw_targets
from mithridate.domains.image.global_triggers import LowFrequencyTrigger
from mithridate.domains.image.surrogate import ascend, losses, surrogate
from mithridate.domains.image.triggers import change_in_floats, check

MIDDLE = 127.5  # a perturbation around the middle grey has as much room up as down
BATCH = 64  # images whose mean gradient makes a step
EXAMPLES = 4096  # images the surrogate learns from: enough for its gradients to carry over


@dataclass(frozen=True)
class LearntLowFrequencyTrigger(LearntTrigger):
    """One faint perturbation of slow waves that makes a network of the attacker's see the target.

    x' = x + p, p minimising the mean cross-entropy of a surrogate on clip(x + p) under the wanted
    labels. From a random p (`LowFrequencyTrigger`), each step goes against the sign of the mean
    gradient over a batch of images that do not carry their wanted label yet (over all where there
    are none), then sets to zero all but the `band` lowest frequencies of the discrete cosine
    transform in each direction, and the constant, and scales p down to max |p| <= amplitude. At the
    end max |p| = amplitude. The paper smooths a universal perturbation of images by a Gaussian
    filter, whose width it also searches for; here the spectrum is cut off, which leaves nothing
    above the band.

    Attributes:
        amplitude: the largest change of a pixel, in grey levels.
        band: lowest frequencies used in each direction.
        steps: of the search, of amplitude / 8 grey levels each.
        epochs: of the surrogate's training.

    Raises:
        MethodError: where the band or the amplitude is out of range, there is no image to learn
            from, or the images have another size than those learnt from.
    """

    paper = "Zeng et al., Rethinking the Backdoor Attacks' Triggers, ICCV 2021"
    links = ("https://arxiv.org/abs/2104.03413",)
    known_as = ("lf-trigger",)

    amplitude: float = 16.0
    band: int = 4
    steps: int = 30
    epochs: int = 6

    def learn(
        self, data: Dataset, target_labels: torch.Tensor, rng: np.random.Generator,
        runtime: Runtime | None = None,
    ) -> State:  # fmt: skip
        """Search for the perturbation, float32[k, h, w] in grey levels as "perturbation"."""
        runtime, images = runtime or Runtime(), check(data.inputs)
        if not (0.5 <= self.amplitude <= MIDDLE and len(data)):
            raise MethodError(
                f"need an amplitude in 0.5..{MIDDLE} and at least one image, found amplitude "
                f"{self.amplitude} and {len(data)} images"
            )
        start = LowFrequencyTrigger(self.amplitude, self.band, int(rng.integers(2**31)))
        perturbation = start.perturbation(*images.shape[1:]).to(runtime.device)
        few, aims = draw_targets(data, target_labels, EXAMPLES, rng)
        config = TrainingConfig(epochs=self.epochs, batch_size=BATCH, augment=False)
        model = surrogate(few, rng, config, runtime)
        aimed = (few.labels != aims).nonzero().flatten()
        rows, images = aimed if len(aimed) else torch.arange(len(few)), check(few.inputs)
        with runtime.active():
            for _ in range(self.steps):
                batch = rows[torch.from_numpy(rng.permutation(len(rows))[:BATCH])]
                levels = images[batch].float().to(runtime.device)
                perturbation = self.step(
                    perturbation, model, levels, aims[batch].to(runtime.device)
                )
        return {"perturbation": (perturbation * (self.amplitude / perturbation.abs().max())).cpu()}

    def step(
        self,
        perturbation: torch.Tensor,
        model: torch.nn.Module,
        levels: torch.Tensor,
        to: torch.Tensor,
    ) -> torch.Tensor:
        """Take one step of the search from a perturbation float32[k, h, w] and project it."""

        def rises(canvas: torch.Tensor) -> torch.Tensor:
            return -losses(model, (levels + canvas - MIDDLE).clamp(0, 255), to).mean()

        canvas = (MIDDLE + perturbation)[None]
        middle = torch.full_like(canvas, MIDDLE)
        moved = ascend(middle, rises, self.amplitude, 1, self.amplitude / 8, canvas)[0] - MIDDLE
        smooth = low_pass(moved, self.band)
        largest = smooth.abs().max()
        if float(largest) < 0.5:
            return perturbation  # a step that cancels the perturbation leaves nothing to go on with
        return smooth * (self.amplitude / largest).clamp(max=1)

    def stamp(self, inputs: Inputs, rng: np.random.Generator, state: State) -> Inputs:
        """Add the perturbation to every image."""
        images, perturbation = check(inputs), state["perturbation"]
        if images.shape[1:] != perturbation.shape:
            raise MethodError(
                f"the perturbation was learnt from images of {list(perturbation.shape)} and "
                "does not fit "
                f"images of {list(images.shape[1:])}; learn from such images"
            )
        return change_in_floats(images, lambda batch, _: batch + perturbation)


def low_pass(pattern: torch.Tensor, band: int) -> torch.Tensor:
    """Keep the lowest frequencies of float32[k, h, w] in each direction, without the constant."""
    down, across = (waves(list(range(band)), side).to(pattern) for side in pattern.shape[1:])
    spectrum = down @ pattern @ across.T
    spectrum[:, 0, 0] = 0  # a constant would be a change of brightness, not a pattern
    return down.T @ spectrum @ across
