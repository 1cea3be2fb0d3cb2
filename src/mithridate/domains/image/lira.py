"""Bounded noise that a generator draws for each image, learnt along with a classifier.

Axes: n images, b images of a batch, k channels, h rows, w columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from mithridate.core.data import Dataset, Inputs
from mithridate.core.errors import MethodError
from mithridate.core.fit import Recipe, fit
from mithridate.core.method import LearntTrigger, State
from mithridate.core.objective import Batch
from mithridate.core.runtime import Runtime
from mithridate.core.view import autocast
from mithridate.domains.image.domain import ImageDomain
from mithridate.domains.image.generators import fresh, kept, rebuilt, some
from mithridate.domains.image.surrogate import NETWORK
from mithridate.domains.image.triggers import check, in_floats


@dataclass(frozen=True)
class LiraTrigger(LearntTrigger):
    """Noise within a few grey levels that a generator draws for each image.

    x' = clip(x + eps tanh g(x)). The generator g is learnt with a classifier f of the attacker's
    own by (1 - weight) CE(f(x), y) + weight CE(f(x'), wanted) over half of the images each, and
    then frozen.
    eps: grey levels that a pixel may change by; weight: of the attacked half; width: channels of
    the generator; examples: images that are learnt from, at most; epochs: of this learning.
    The paper's attacker trains the victim himself, and goes on with it after the noise is fixed.
    Here his examples are written into the data, so that every defence can face them: his
    classifier is thrown away and the victim trains afresh. The noise is rounded to bytes, so the
    paper's 0.01 of the range of a pixel is 2 or 3 levels; a victim that was not learnt with it
    needs more of them, which is why the default is larger.
    Raises MethodError where a number is out of range.
    """

    paper = "Doan, Lao, Zhao and Li, LIRA: Learnable, Imperceptible and Robust Backdoors, ICCV 2021"

    eps: float = 8.0
    weight: float = 0.5
    width: int = 16
    examples: int = 5000
    epochs: int = 8

    def learn(
        self,
        data: Dataset,
        wanted: torch.Tensor,
        rng: np.random.Generator,
        runtime: Runtime | None = None,
    ) -> State:
        """Learn the generator along with a small classifier; keep the generator."""
        self._check()
        few, aims = some(data, wanted, self.examples, rng)
        channels = check(few.inputs).shape[1]
        domain, generator = ImageDomain(), fresh(channels, channels, self.width, rng)
        network = domain.network(few, NETWORK, rng)
        objective = Both(self, generator, network, aims)
        recipe = Recipe(epochs=self.epochs, batch_size=64, augment=False)
        fit(network, few, domain, recipe, rng, runtime=runtime, objective=objective)
        return kept(generator)

    def stamp(self, inputs: Inputs, rng: np.random.Generator, state: State) -> Inputs:
        """Add to every image what the generator draws for it."""
        self._check()
        generator = rebuilt(state)
        with torch.no_grad():
            return in_floats(check(inputs), lambda levels, _: noisy(generator, levels, self.eps))

    def _check(self) -> None:
        if not (0 < self.eps <= 255 and 0 <= self.weight <= 1):
            raise MethodError(
                "eps must lie in 0..255 grey levels and be above 0, and the weight in 0..1; "
                f"found {self.eps} and {self.weight}"
            )


def noisy(generator: nn.Module, images: torch.Tensor, eps: float) -> torch.Tensor:
    """Add noise within eps grey levels; images: grey levels float[n, k, h, w]."""
    noise = eps * torch.tanh(generator(images).float())
    return (images + noise).clamp(0, 255)


class Both(nn.Module):
    """What generator and classifier minimise together; its parameters are the generator's.

    wanted: int64[n], of the images that are trained on.
    """

    def __init__(
        self, trigger: LiraTrigger, generator: nn.Module, network: nn.Module, wanted: torch.Tensor
    ) -> None:
        super().__init__()
        self.trigger, self.generator = trigger, generator
        self.ask = network.forward  # a module would be registered, and its parameters with it
        self.register_buffer("wanted", wanted)

    def forward(self, batch: Batch) -> torch.Tensor:
        """Weigh the loss of the batch as it is against that of the batch with noise."""
        kind = batch.inputs.device.type
        with autocast(kind):
            changed = noisy(self.generator, batch.inputs.float(), self.trigger.eps)
            logits = self.ask(changed)
        attacked = F.cross_entropy(logits.float(), self.get_buffer("wanted")[batch.rows])
        return (1 - self.trigger.weight) * batch.losses.mean() + self.trigger.weight * attacked
