"""Norm clipping with weak differential privacy: no update is long, and the mean is blurred.

Axes: m clients, p parameters.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from mithridate.aggregators.blocks import clipped_mean, norms
from mithridate.core.errors import MethodError
from mithridate.core.federated import Aggregated, Aggregator, Round
from mithridate.core.method import State
from mithridate.core.streams import stream, torch_generator


@dataclass(frozen=True)
class NormClipping(Aggregator):
    """Shorten long updates, average, and add a little noise.

        step = (1/m) sum_i min(1, bound / |u_i|) u_i + N(0, (noise * bound)^2)

    The noise is far too small for a guarantee of privacy, which is why the paper calls it weak. An
    attacker who keeps within the bound is not seen.

    Attributes:
        bound: of the Euclidean norm of an update; None: the median norm of the round, since a fixed
            one that suits one network suits no other.
        noise: standard deviation of each number of the noise, as a share of the bound.
    """

    paper = "Sun et al., Can You Really Backdoor Federated Learning?, 2019"
    links = ("https://arxiv.org/abs/1911.07963",)
    known_as = ("weak-dp",)
    obeys = frozenset({"scale"})
    assumes = "attackers must send long updates to be heard"

    bound: float | None = None
    noise: float = 1e-4

    def step(self, state: State, seen: Round) -> Aggregated:
        """Clip, average and blur."""
        if self.noise < 0 or (self.bound is not None and self.bound <= 0):
            raise MethodError("expected a bound above 0 and noise of 0 or more")
        length = norms(seen.updates)
        bound = length.quantile(0.5) if self.bound is None else length.new_tensor(self.bound)
        mean, factors = clipped_mean(seen.updates, bound)
        return Aggregated(blurred(mean, self.noise * bound, seen), state, factors.float(), length)


def blurred(step: torch.Tensor, deviation: torch.Tensor, seen: Round) -> torch.Tensor:
    """Add Gaussian noise, float32[p], drawn for this round alone."""
    rng = torch_generator(stream(seen.seed, "noise", seen.number))
    noise = torch.randn(len(step), generator=rng)
    return step + deviation.float() * noise.to(step.device)
