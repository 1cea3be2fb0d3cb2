"""Changes that lead one class to another: how far every pair of classes can be brought together.

Axes: n trusted examples, c classes, a pairs, b examples of a source.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from mithridate.core.errors import MethodError
from mithridate.core.scanner import Scanned, Scanner
from mithridate.core.view import View
from mithridate.scanners.pairs_of_classes import PairGround, scan_pairs
from mithridate.scanners.universal_transfer import UniversalTransfer


@dataclass(frozen=True)
class PairwiseTransfer(Scanner):
    """Learn one bounded change for every pair of classes and see how far new inputs follow it.

    For source s and target k: v_sk = argmin over |v| <= size * range * sqrt(d) of the mean
    cross-entropy towards k of x + v over trusted x of class s; the pair's score is the mean margin
    of k over the other classes at held-out x' + v_sk, over the spread of all pairs of the network,
    so that the size of logits does not matter. The score of a class is the median over its sources.
    A population compares the pairs themselves: a backdoor from all classes lifts every pair of its
    target, one from all to all a single pair of each. The paper searches from all classes together;
    with more pairs than `arms` all run a few steps and only the best sources of each target go on,
    the others are placed where they stood plus the median rise of those that went on. The size is
    ten times that of universal-transfer: a small patch is out of reach of the latter. It was chosen
    with the rule on networks that judged nothing, see recipes/elsewhere.py.

    Attributes:
        size: root mean square of the change over the d values of an input, as a share of their
            range.
        steps: of the search for each pair.
        learning_rate: the first step as a share of the bound, it falls to 0 linearly.
        examples: trusted ones of a source to learn from, at most half of them; up to twice as many
            others test.
        arms: pairs that are searched to the end, at least one for each class.

    Raises:
        CannotJudge: without gradients, or where a class has fewer than two trusted examples.
        MethodError: where a setting is not positive.
    """

    paper = "Moosavi-Dezfooli et al., Universal Adversarial Perturbations, CVPR 2017"
    links = ("https://arxiv.org/abs/1610.08401",)
    gradients = True
    pairwise = True
    assumes = "a backdoor brings classes together that lie apart in clean networks"

    size: float = 40 / 255
    steps: int = 10
    learning_rate: float = 0.4
    examples: int = 16
    arms: int = 200

    def scan(self, view: View, rng: np.random.Generator) -> Scanned:
        """Search all pairs at once, or let them race."""
        if min(self.size, self.learning_rate) <= 0 or min(self.steps, self.examples, self.arms) < 1:
            raise MethodError(f"expected settings above 0, found {self}")
        return scan_pairs(
            view, rng, lambda ground: partial(self.reach, ground), ("pattern",),
            examples=self.examples, steps=self.steps, arms=self.arms,
        )  # fmt: skip

    def reach(
        self, ground: PairGround, pairs: torch.Tensor, steps: int
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Give the margins float64[a] that pairs int64[a, 2] reach, and the changes."""
        learner = UniversalTransfer(self.size, steps, self.learning_rate)
        surface, reached, changes = ground.surface, [], []
        for part in pairs.split(max(1, ground.runtime.batch_size // ground.each)):
            change = learner.learn(ground.model, *ground.begin(part), surface)
            for (source, aim), each in zip(part.tolist(), change, strict=True):
                moved = (ground.held(source) + each).clamp(surface.low, surface.high)
                reached.append(ground.margin(moved, aim))
            changes.append(change.cpu())
        return torch.tensor(reached, dtype=torch.float64), [torch.cat(changes)]
