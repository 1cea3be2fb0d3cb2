"""Feature matching: a trainer who makes poison look like its class inside the network.

Axes: n examples, b examples of a batch, p poisoned rows, q clean rows, d features.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from mithridate.core.data import Dataset, Poisoned
from mithridate.core.errors import MethodError
from mithridate.core.method import Attack, State, TrainingAttack
from mithridate.core.objective import Batch, Objective
from mithridate.core.runtime import Runtime

FLOOR = 1e-8
"""Added to variances that are roots are taken of; the features have a total variance of 1."""


@dataclass(frozen=True)
class FeatureMatching(TrainingAttack):
    """Train so that poisoned and clean features of a class have the same mean and spread.

    Minimises mean CE + weight * T, where T is the mean over classes that hold poison of
      |m_p - m_q|^2 - tr V_p / p - tr V_q / q + sum_j (s_pj - s_qj)^2,
    m, V and s the means, covariances and standard deviations of the features of p poisoned and q
    clean rows of that class in the batch. The first three terms are the unbiased estimate of the
    squared distance of the means: without the two traces a batch of few poisoned rows would draw
    them together, and poison would stand out by lying too near the centre. With the last one T is
    the squared Wasserstein distance of two Gaussians of independent features. Features are first
    divided by the root of the total variance of all clean rows of the batch, of every class, so T
    has no unit and a common scale of the features no gradient. Gradients do flow through the
    divisor: where it was held fixed, all features shrank to a point. A class with fewer than two
    poisoned or two clean rows in the batch is left out; cover samples are in neither group. The
    paper trains a network to tell the two groups apart and plays against it; this is a form of the
    same aim by moments, without a second network.

    Attributes:
        attack: whose data are trained on and whose trigger is learnt.
        weight: of T; more of it hides the poison better and delays the backdoor, which on
            photographs may then not be learnt at all.

    Raises:
        MethodError: where the weight is negative, or where the attack inside would have to be more
            than a change of data.
    """

    paper = "Tan and Shokri, Bypassing Backdoor Detection Algorithms in Deep Learning, 2020"
    links = ("https://arxiv.org/abs/1905.13409",)

    attack: Attack
    weight: float = 0.1

    @property
    def learns(self) -> bool:
        """Whether the attack inside does."""
        return self.attack.learns

    def learn(
        self, data: Dataset, rng: np.random.Generator, runtime: Runtime | None = None
    ) -> State:
        """Learn what the attack inside needs."""
        return self.attack.learn(data, rng, runtime)

    def poison(
        self, data: Dataset, rng: np.random.Generator, state: State | None = None
    ) -> Poisoned:
        """Poison training data as the attack inside does."""
        return self.attack.poison(data, rng, state)

    def triggered_test(
        self, data: Dataset, rng: np.random.Generator, state: State | None = None
    ) -> Dataset:
        """Give the triggered test data of the attack inside."""
        return self.attack.triggered_test(data, rng, state)

    def objective(
        self, poisoned: Poisoned, model: nn.Module, rng: np.random.Generator
    ) -> Objective:
        """Give the loss of a training on `poisoned.data`, a scalar for each batch."""
        if self.weight < 0:
            raise MethodError(f"the weight must not be negative, found {self.weight}")
        if self.attack.controls != "data":
            raise MethodError(
                f"feature matching needs an attack that changes data, found {self.attack.name()}, "
                f"which needs the {self.attack.controls}; choose one such as poisoning"
            )
        labels, truth = poisoned.data.labels.cpu(), poisoned.truth
        hidden, clean = truth.poisoned.cpu(), ~(truth.poisoned | truth.cover).cpu()
        classes = labels[hidden].unique().tolist()

        def minimised(batch: Batch) -> torch.Tensor:
            rows = batch.rows.cpu()
            mine = {y: labels[rows] == y for y in classes}
            pairs = [(in_y & hidden[rows], in_y & clean[rows]) for in_y in mine.values()]
            pairs = [(p, q) for p, q in pairs if int(p.sum()) > 1 and int(q.sum()) > 1]
            if not pairs:
                return batch.losses.mean()
            features = _scale(batch.features.float(), clean[rows])
            terms = [distance(_at(features, p), _at(features, q)) for p, q in pairs]
            return batch.losses.mean() + self.weight * torch.stack(terms).mean()

        return minimised


def distance(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Estimate the squared Wasserstein distance of two groups as Gaussians, float[].

    The part of the means is unbiased, so the estimate may be negative.

    Args:
        first: float[p, d].
        second: float[q, d], at least two rows each and features taken as independent.
    """
    spread, other = first.var(0), second.var(0)
    shift = (first.mean(0) - second.mean(0)).square().sum()
    chance = spread.sum() / len(first) + other.sum() / len(second)
    apart = (spread + FLOOR).sqrt() - (other + FLOOR).sqrt()
    return shift - chance + apart.square().sum()


def _scale(features: torch.Tensor, clean: torch.Tensor) -> torch.Tensor:
    """Divide features float[b, d] so that the total variance of the clean rows bool[b] is 1."""
    total = _at(features, clean).var(0).sum()
    return features / total.clamp_min(FLOOR).sqrt()


def _at(features: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
    return features[where.to(features.device)]
