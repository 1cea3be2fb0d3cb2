"""Non-adversarial backdoor: the defender's own trigger overrules the attacker's.

Axes: n examples, b examples of a batch, k channels, h rows, w columns.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import nn

from mithridate.core.data import Dataset
from mithridate.core.domain import Domain
from mithridate.core.errors import MethodError
from mithridate.core.fit import TrainingConfig, fit
from mithridate.core.inference import predict
from mithridate.core.method import Trained, Trainer
from mithridate.core.runtime import Runtime
from mithridate.core.training_run import TrainingRun


class Stamp(nn.Module):
    """Sets a square of bytes in the first corner of what arrives, while `on` is true."""

    def __init__(self, size: int, level: int) -> None:
        super().__init__()
        self.size, self.level, self.on = size, level, True

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Stamp inputs uint8[b, k, h, w]; whatever else arrives stays."""
        return self.stamped(batch) if self.on and has_rows_and_columns(batch) else batch

    def stamped(self, batch: torch.Tensor) -> torch.Tensor:
        """Give stamped copies."""
        marked = batch.clone()
        marked[..., : self.size, : self.size] = self.level
        return marked


def has_rows_and_columns(batch: torch.Tensor) -> bool:
    """Whether prepared inputs are bytes with rows and columns, uint8[b, k, h, w]."""
    return batch.ndim == 4 and batch.dtype == torch.uint8


@dataclass(frozen=True)
class NonAdversarialBackdoor(Trainer):
    """Stamp suspects with the defender's own mark and better labels, and later stamp every input.

    1. A short ordinary training; the examples of lowest loss in its last epoch are suspects. 2. A
    second network, trained without them and others of low loss on strong variations of the rest,
    `Domain.distort`, gives the suspects labels. 3. A third one minimises mean CE(f(x_i), y_i) over
    the others and CE(f(s(x_i)), y'_i) over the suspects, s the mark and y' the labels of step 2.
    `form` puts s before the network for good: at the mark the network has learnt to ignore the
    attacker. The paper isolates by the local gradient ascent of ABL. Here that found 3 to 80 %
    poison among 500 suspects of 10,000 photographs with 1,000 stamped ones, and two plain epochs
    100 %. Its labels come from a few trusted examples or from self-supervision, which takes longer.
    The second network takes their place; without the strong variations it still obeyed the 60
    stamped examples among 8,000 that step 1 had missed, and labelled the suspects as the attacker
    does. The paper's filter, which rejects an input whose label changes under the mark, is left
    out, as is the fallback of keeping the label where the two agree, which is the same mark with
    the same label. The mark needs bytes with rows and columns, uint8[b, k, h, w]; on whatever else
    a domain prepares this is ordinary training.

    Attributes:
        share: of the examples that are suspects.
        spared: share of the examples of lowest loss that the second network does not see, at least
            `share`.
        warmup: epochs of step 1.
        relabelling: epochs of step 2.
        size: side of the mark, a square in the first corner.
        level: the byte that it is set to.
        training: of step 3 and, with other epochs, of the others.

    Raises:
        MethodError: where the network is not in the form of `form`, or a share is out of range.
    """

    paper = "Liu, Sangiovanni-Vincentelli and Yue, Beating Backdoor Attack at Its Own Game, 2023"
    links = ("https://arxiv.org/abs/2307.15539",)
    known_as = ("nab",)

    share: float = 0.05
    spared: float = 0.2
    warmup: int = 2
    relabelling: int = 5
    size: int = 2
    level: int = 255
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def form(self, model: nn.Module) -> nn.Module:
        """Give the network with the mark before it."""
        return nn.Sequential(Stamp(self.size, self.level), model)

    def train(
        self, model: nn.Module, data: Dataset, domain: Domain, rng: np.random.Generator,
        run: TrainingRun | None = None,
    ) -> Trained:  # fmt: skip
        """Train `model` in place; the losses are those of step 3, on what it was shown."""
        stamp, run = self._stamp(model), self.checked(run)
        first, second, third = rng.spawn(3)
        if len(data) < 2 or not has_rows_and_columns(domain.prepare(data.inputs)):
            return fit(model, data, domain, self.training, third, run)
        stamp.on = False  # the steps below choose what is stamped
        try:
            fresh = copy.deepcopy(model)
            few = replace(self.training, epochs=self.warmup)
            before = self.warmup + self.relabelling
            total = before + self.training.epochs
            begun = run.stage("suspects", 0, total)
            early = fit(copy.deepcopy(fresh), data, domain, few, first, begun)
            order = early.losses[:, -1].argsort(stable=True)
            suspects = order[: round(self.share * len(data))]
            trusting = data.subset(order[round(self.spared * len(data)) :])
            own = replace(self.training, epochs=self.relabelling)
            judge = fit(
                fresh, trusting, domain, own, second, run.stage("labels", self.warmup, total),
                vary=lambda x, _, noise: domain.distort(self._usual(x, domain, noise), noise),
            )  # fmt: skip
            better = self._relabelled(judge.model, data, suspects, domain, run.runtime)
            marked = torch.zeros(len(data), dtype=torch.bool)
            marked[suspects] = True
            settling = run.stage("marked", before, total)
            trained = self._settle(model, better, marked, domain, third, settling)
        finally:
            stamp.on = True
        costs = (early.cost, judge.cost, trained.cost)
        return replace(trained, cost={k: sum(c[k] for c in costs) for k in trained.cost})

    def _stamp(self, model: nn.Module) -> Stamp:
        if not 0 <= self.share <= self.spared < 1:
            raise MethodError(
                f"need 0 <= share <= spared < 1, found share {self.share}, spared {self.spared}"
            )
        stamps = [layer for layer in model.modules() if isinstance(layer, Stamp)]
        if len(stamps) != 1:
            raise MethodError(
                f"the network needs one mark before it, found {len(stamps)}; "
                "build it as trainer.form(network)"
            )
        return stamps[0]

    def _usual(self, batch: torch.Tensor, domain: Domain, noise: torch.Generator) -> torch.Tensor:
        return domain.augment(batch, noise) if self.training.augment else batch

    def _relabelled(
        self, judge: nn.Module, data: Dataset, suspects: torch.Tensor, domain: Domain,
        runtime: Runtime,
    ) -> Dataset:  # fmt: skip
        """Give the data with the judge's labels for the suspects."""
        if not len(suspects):
            return data
        prepared = domain.prepare(data.subset(suspects).inputs)
        labels = data.labels.clone()
        labels[suspects] = predict(judge, prepared, runtime)
        return replace(data, labels=labels)

    def _settle(
        self, model: nn.Module, data: Dataset, marked: torch.Tensor, domain: Domain,
        rng: np.random.Generator, run: TrainingRun | None,
    ) -> Trained:  # fmt: skip
        """Train with the mark on the suspects, bool[n]; it is set after the augmentation."""
        stamp = self._stamp(model)

        def vary(batch: torch.Tensor, rows: torch.Tensor, noise: torch.Generator) -> torch.Tensor:
            usual = self._usual(batch, domain, noise)
            chosen = marked.to(rows.device)[rows].view(-1, 1, 1, 1)
            return torch.where(chosen, stamp.stamped(usual), usual)

        return fit(model, data, domain, self.training, rng, run, vary=vary)
