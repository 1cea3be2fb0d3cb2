"""Neural Cleanse: a class with a backdoor is reached by a smaller trigger than the others.

Axes: n trusted examples, c classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from mithridate.core.errors import CannotJudge
from mithridate.core.scanner import Scanned, Scanner
from mithridate.core.scores import Scores
from mithridate.core.view import View
from mithridate.scanners.inversion import Descent, Inversion, World, open_world

NORMAL = 1.4826
"""The standard deviation of a normal distribution in median absolute deviations."""


@dataclass(frozen=True)
class NeuralCleanse(Scanner):
    """Score a class by how small a patch leads all other inputs to it.

    For each class k, min over mask m and pattern p of mean CE(f((1 - m) x + m p), k) + w |m|_1 over
    trusted x of other classes; score -log |m|_1 of the smallest mask that succeeded at a check. No
    verdict is drawn from the index: its rule "above 2" flags a third of clean models of ten classes
    with normal norms. Larger indices are more suspicious here, negative ones are large masks.
    Differs from the paper: all classes are searched together on the same draws, success is counted
    over the batches since the last check rather than over a pass through the data, 0.95 rather than
    0.99 of them, and the weight moves at each check rather than after five. It starts at 0.01 and
    the rate is 0.2, not 0.001 and 0.1: in three small networks 100 steps then found what 200 had.

    Attributes:
        steps: at most so many, and at most one for every two trusted examples.
        batch: examples of a class in a step.
        learning_rate: of Adam.
        check: steps between looks at the success.
        success: share of inputs that counts as reached.
        weight: w when a class first succeeds (0 before).
        rise: by what w is multiplied after a check that succeeds.
        fall: by what w is divided after a check that fails.
        patience: checks without a smaller mask after which a class that succeeded rests.

    Raises:
        CannotJudge: where the model has no gradient, a class has fewer than two examples of other
            classes, no class is reached, or the norms have no spread (MAD 0).
    """

    paper = "Wang et al., Neural Cleanse: Identifying and Mitigating Backdoor Attacks, S&P 2019"
    links = ("https://doi.org/10.1109/SP.2019.00031",)
    known_as = ("nc",)
    gradients = True
    assumes = "One small patch leads inputs of all other classes to the class with the backdoor."
    space: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "steps": (50, 100, 200),
        "success": (0.9, 0.95, 0.99),
    }

    steps: int = 100
    batch: int = 16
    learning_rate: float = 0.2
    check: int = 5
    success: float = 0.95
    weight: float = 1e-2
    rise: float = 2.0
    fall: float = 2.0**1.5
    patience: int = 8

    def scan(self, view: View, rng: np.random.Generator) -> Scanned:
        """Search all classes at once; classes that got no further rest."""
        with open_world(view) as world:
            search = self.search(world, view.classes, rng)
            if not search.reached.any():
                raise CannotJudge(
                    f"no class was reached in {int(search.steps.max())} steps, so the sizes of the "
                    "masks say nothing; give more steps or trust more examples"
                )
            shown = search.smallest()
            shown["success"], shown["reached"] = search.success(), search.reached.float()
        shown["anomaly_index"] = anomaly_index(shown["norm"])
        kept = {name: value.detach().float().cpu() for name, value in shown.items()}
        return Scanned(Scores(-kept["norm"].double().log(), unit="class"), kept)

    def search(self, world: World, classes: int, rng: np.random.Generator) -> Inversion:
        """Run the search to its end."""
        descent = Descent(
            self.batch,
            self.learning_rate,
            self.check,
            self.success,
            self.weight,
            self.rise,
            self.fall,
        )
        aims = torch.arange(classes)
        pools = [(world.labels != k).nonzero().flatten() for k in range(classes)]
        search = Inversion(world, aims, pools, descent, rng)
        moving = aims.to(world.labels.device)
        for _ in range(max(1, min(self.steps, len(world.labels) // 2) // self.check)):
            search.advance(moving)
            rests = search.reached & (search.stale >= self.patience)
            moving = moving[~rests[moving]]
            if not len(moving):
                break
        return search


def anomaly_index(norm: torch.Tensor) -> torch.Tensor:
    """Give (median - norm) / (1.4826 MAD) of each class, float[c].

    The median of an even number lies between the two in the middle.

    Raises:
        CannotJudge: where the MAD is 0.
    """
    median = norm.double().quantile(0.5)
    spread = (norm.double() - median).abs().quantile(0.5)
    if not spread > 0:
        raise CannotJudge(
            f"half of the classes need a mask of the same size, {float(median):.6g}, so the sizes "
            "have no spread (MAD 0) and none can stand out; the model may be no classifier of such "
            "inputs, or its gradient may be cut"
        )
    return (median - norm) / (NORMAL * spread)
