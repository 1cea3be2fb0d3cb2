"""Fine-tuning: going on with the training, on trusted examples alone.

Axes: m trusted examples.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from torch import nn

from mithridate.core.data import Dataset
from mithridate.core.errors import MethodError
from mithridate.core.fit import TrainingConfig, fit
from mithridate.core.method import Repair
from mithridate.core.objective import Objective
from mithridate.core.training_run import TrainingRun
from mithridate.core.view import View
from mithridate.repairs.trusted import use_all_trusted


@dataclass(frozen=True)
class FineTuning(Repair):
    """Go on training, on trusted examples alone.

    Minimises mean_i CE(f(x_i), y_i) over m trusted (x_i, y_i), from the weights of the model on.
    Inputs are augmented as the domain does. All trusted examples are learnt from, since none are
    needed to decide anything. The rate is the strength of the repair: a small one moves no weight
    far and leaves the backdoor where it is, and a large one costs accuracy. As in the paper it is
    first far above what ordinary fine-tuning takes and then falls; one cycle stands for the several
    of the paper.

    Attributes:
        epochs: passes over them.
        learning_rate: the largest learning rate, which rises over the first quarter of the steps
            and falls over the rest.
        batch_size: trusted examples of one step.

    Raises:
        MethodError: where fewer than ten examples are trusted or a setting is not positive.
    """

    paper = "Sha et al., Fine-Tuning Is All You Need to Mitigate Backdoor Attacks, 2022"
    links = ("https://arxiv.org/abs/2212.09067",)
    known_as = ("ft",)
    space: ClassVar[dict[str, tuple[float, ...]]] = {
        "learning_rate": (0.05, 0.1, 0.2),
        "epochs": (8, 15, 30),
    }

    epochs: int = 15
    learning_rate: float = 0.1
    batch_size: int = 64

    def training(self) -> TrainingConfig:
        """Give the recipe of the training."""
        if not (self.epochs > 0 and self.learning_rate > 0 and self.batch_size > 0):
            raise MethodError(
                "epochs, rate and batch_size must be positive, "
                f"found {self.epochs}, {self.learning_rate} and {self.batch_size}"
            )
        return TrainingConfig(
            epochs=self.epochs, learning_rate=self.learning_rate, batch_size=self.batch_size
        )

    def repair(self, view: View, rng: np.random.Generator) -> nn.Module:
        """Train a copy of the model."""
        return self.tune(copy.deepcopy(view.model), view, use_all_trusted(view), rng)

    def tune(
        self,
        model: nn.Module,
        view: View,
        data: Dataset,
        rng: np.random.Generator,
        *,
        objective: Objective | None = None,
        parameters: Sequence[nn.Parameter] | None = None,
    ) -> nn.Module:
        """Train a model in place, for use as it is; see `fit`."""
        run = TrainingRun(view.runtime, objective=objective)
        config = self.training()
        return fit(model, data, view.domain, config, rng, run, parameters=parameters).model
