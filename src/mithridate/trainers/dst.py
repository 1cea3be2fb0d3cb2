"""Secure training by how sensitive the features of an example are to strong variations.

Axes: n examples, b examples of a batch, d features, c classes.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from mithridate.core.data import Dataset
from mithridate.core.domain import Domain
from mithridate.core.errors import MethodError
from mithridate.core.fit import TrainingConfig, fit
from mithridate.core.inference import autocast, forward
from mithridate.core.method import Trained, Trainer
from mithridate.core.objective import Batch, Objective
from mithridate.core.runtime import Runtime
from mithridate.core.streams import torch_generator
from mithridate.core.training_run import TrainingRun

CREDIBLE, UNSURE, POISON = 0, 1, 2
"""What an example is held to be."""


@dataclass(frozen=True)
class SensitivityTraining(Trainer):
    """Trust the labels of examples whose features stay when the input is strongly varied.

    1. A short training f'. The sensitivity of an example is FCT_i = |g(x_i) - g(t(x_i))|^2, g the
    features of f' and t the strong variation of the domain. A trigger makes features that a
    variation destroys at once, so poison is more sensitive than what is learnt from the whole.
    2. The examples of smallest FCT of each class are credible, those of largest FCT of all are
    poison, others unsure.
    3. A fresh network minimises the mean over a batch of
         CE(f(a(x_i)), y_i)               where credible,
         CE(f(t(a(x_i))), argmax f(a(x_i)))  where unsure and that call is at least `sure`,
         -weight min(CE(f(a(x_i)), y_i), bound)  where poison,
    a the usual augmentation. The network is asked twice in each step of 3. The paper takes the
    credible from all classes together, and then may find none of some. It learns the features of
    D-ST by semi-supervised contrast from all examples and then a classifier; consistency of calls
    takes the place of both, in one training. Left out are its loss within classes in step 1, the
    contrast, and D-BR, which removes the backdoor from the network of step 1.

    Attributes:
        warmup: epochs of step 1.
        credible: share of the examples of smallest FCT, which are taken for clean.
        poisonous: share of the examples of largest FCT, which are taken for poison.
        sure: the probability from which a call is learnt from.
        weight: of forgetting against learning.
        bound: loss at which forgetting stops, or it would go on for ever.
        training: of step 3 and, with other epochs, step 1.

    Raises:
        MethodError: where the shares are not of 0..1 in sum or a number is out of range.
    """

    paper = (
        "Chen, Wu and Wang, Effective Backdoor Defense by Exploiting Sensitivity of Poisoned "
        "Samples, NeurIPS 2022"
    )
    links = ("https://openreview.net/forum?id=AsH-Tx2U0Ug",)
    known_as = ("dst", "d-st")

    warmup: int = 2
    credible: float = 0.2
    poisonous: float = 0.05
    sure: float = 0.95
    weight: float = 0.1
    bound: float = 5.0
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def train(
        self,
        model: nn.Module,
        data: Dataset,
        domain: Domain,
        rng: np.random.Generator,
        run: TrainingRun | None = None,
    ) -> Trained:
        """Train `model` in place; the losses are those of the usual variations."""
        self._check()
        run = self.checked(run)
        first, varying, second = rng.spawn(3)
        total = self.warmup + self.training.epochs
        few, begun = replace(self.training, epochs=self.warmup), run.stage("warmup", 0, total)
        early = fit(copy.deepcopy(model), data, domain, few, first, begun)
        moved = self.sensitivity(early.model, data, domain, varying, run.runtime)
        held = self.held(moved, data.labels).to(run.runtime.device)
        objective = self._objective(model, held, domain)
        secured = run.stage("secure", self.warmup, total, objective)
        trained = fit(model, data, domain, self.training, second, secured)
        cost = {name: early.cost[name] + value for name, value in trained.cost.items()}
        cost["forward"] += 2 * len(data) + len(data) * self.training.epochs
        cost["backward"] += len(data) * self.training.epochs
        return replace(trained, cost=cost)

    def _check(self) -> None:
        shares = (self.credible, self.poisonous, 1 - self.credible - self.poisonous)
        if min(shares) < 0 or not self.credible:
            raise MethodError(
                "need credible > 0, poisonous >= 0 and no more than 1 in sum; found "
                f"{self.credible} and {self.poisonous}"
            )
        if self.warmup < 1 or self.weight < 0 or self.bound < 0:
            raise MethodError(
                "need warmup >= 1, weight >= 0 and bound >= 0; found "
                f"{self.warmup}, {self.weight} and {self.bound}"
            )

    def sensitivity(
        self, model: nn.Module, data: Dataset, domain: Domain, rng: np.random.Generator,
        runtime: Runtime | None = None,
    ) -> torch.Tensor:  # fmt: skip
        """Give FCT of every example, float[n]."""
        runtime = runtime or Runtime()
        prepared = domain.prepare(data.inputs)
        noise = torch_generator(rng)
        varied = torch.cat([domain.distort(p, noise) for p in prepared.cpu().split(1024)])
        usual, strong = (forward(model, inputs, runtime)[0] for inputs in (prepared, varied))
        return (usual - strong).square().sum(1)

    def held(self, sensitivity: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Say what each example is held to be, int64[n]; of each class at least one is credible."""
        n = len(sensitivity)
        order = sensitivity.argsort(stable=True)
        kinds = torch.full((n,), UNSURE)
        kinds[order[n - round(self.poisonous * n) :]] = POISON
        for label in labels.unique():
            mine = order[labels[order] == label]
            kinds[mine[: max(1, round(self.credible * len(mine)))]] = CREDIBLE
        return kinds

    def _objective(self, model: nn.Module, held: torch.Tensor, domain: Domain) -> Objective:
        def secure(batch: Batch) -> torch.Tensor:
            kinds, noise = held[batch.rows], torch.Generator(batch.inputs.device)
            noise.manual_seed(int(torch.randint(2**62, ())))
            chance, predicted = batch.logits.detach().float().softmax(1).max(1)
            varied = domain.distort(batch.inputs, noise)
            with autocast(varied.device.type, self.training.precision):
                again = model(varied)
            consistent = F.cross_entropy(again.float(), predicted, reduction="none")
            unsure = torch.where(chance >= self.sure, consistent, 0.0)
            forgetting = -self.weight * batch.losses.clamp_max(self.bound)
            rest = torch.where(kinds == POISON, forgetting, unsure)
            return torch.where(kinds == CREDIBLE, batch.losses, rest)

        return secure
