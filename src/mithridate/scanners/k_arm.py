"""K-Arm: triggers from one class to another, sought where the search pays.

Axes: n trusted examples, c classes, a arms.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from mithridate.core.errors import CannotJudge, MethodError
from mithridate.core.scanner import Scanned, Scanner
from mithridate.core.scores import Scores
from mithridate.core.view import View
from mithridate.scanners.inversion import Descent, Inversion, World, open_world


@dataclass(frozen=True)
class KArm(Scanner):
    """Score a class by the smallest patch that leads one other class to it, searched as a bandit.

    An arm is a pair (s, k): min over m and p of mean CE(f((1 - m) x + m p), k) + w |m|_1 over
    trusted x of class s. After a start with all arms, those with the largest log(|m| before / |m|
    now) + min |m| / |m| of their last visit go on. Score of k: -log of the smallest mask of its
    arms that succeeded. Differs from the paper: several arms are pulled at once; the reward is a
    ratio and needs no constant for the size of inputs; a class keeps at least one source; pairs are
    not compared with their reverse: calibration on clean models tells which pairs are close by
    nature. With sources "all" and half of the steps of neural-cleanse, the bandit ranked the
    backdoor first in four of five small networks and gave up its arm too early in the fifth: it
    saves time where there are many arms, and is no cheaper form of neural-cleanse where there are
    ten.

    Attributes:
        sources: "each" for pairs, "all" for one arm for each class and all others.
        screened: share of the sources of a class that are tried, those whose examples have the
            largest mean logit for it.
        steps: for each class, shared by its arms, at most one for every two trusted examples.
        start: share of them that goes to all arms alike.
        width: arms that share a pass.
        explore: share of those drawn at random.
        batch: examples of a class in a step.
        learning_rate: of Adam.
        check: steps between looks at the success.
        success: share of inputs that counts as reached.
        weight: w when a class first succeeds (0 before).

    Raises:
        CannotJudge: where the model has no gradient, a class has fewer than two trusted examples or
            no arm succeeds.
        MethodError: where a share is outside 0..1.
    """

    paper = "Shen et al., Backdoor Scanning for DNNs through K-Arm Optimization, ICML 2021"
    links = ("https://arxiv.org/abs/2102.05123",)
    spelled = "k-arm"
    gradients = True
    assumes = "One small patch leads inputs of some class to the class with the backdoor."

    sources: Literal["each", "all"] = "each"
    screened: float = 0.5
    steps: int = 200
    start: float = 0.5
    width: int = 12
    explore: float = 0.3
    batch: int = 8
    learning_rate: float = 0.2
    check: int = 5
    success: float = 0.95
    weight: float = 2e-2

    def scan(self, view: View, rng: np.random.Generator) -> Scanned:
        """Search the arms and keep the best of each class."""
        if not all(0 <= share <= 1 for share in (self.screened, self.start, self.explore)):
            raise MethodError(f"screened, start and explore are shares of 0 to 1, found {self}")
        with open_world(view) as world:
            search, sources = self.search(world, view.classes, rng)
            if not search.reached.any():
                raise CannotJudge(
                    f"no arm succeeded in {int(search.steps.max())} steps, so the sizes of the "
                    "masks say nothing; give more steps or trust more examples"
                )
            shown = {**search.smallest(), "success": search.success()}
            shown |= {"reached": search.reached.float(), "source": sources.float()}
        size = torch.where(search.reached, search.norm, shown["norm"] + search.mask_size)
        mine = search.aims == torch.arange(view.classes, device=size.device)[:, None]
        best = torch.where(mine, size, torch.inf).argmin(1).cpu()
        kept = {name: value.detach().float().cpu()[best] for name, value in shown.items()}
        return Scanned(Scores(-kept["norm"].double().log(), unit="class"), kept)

    def search(
        self, world: World, classes: int, rng: np.random.Generator
    ) -> tuple[Inversion, torch.Tensor]:
        """Run the search to its end; gives the source of each arm, too."""
        sources, aims = self.arms(world, classes)
        led = [world.labels == s if s >= 0 else world.labels != k
               for s, k in zip(sources.tolist(), aims.tolist(), strict=True)]  # fmt: skip
        descent = Descent(self.batch, self.learning_rate, self.check, self.success, self.weight)
        search = Inversion(world, aims, [rows.nonzero().flatten() for rows in led], descent, rng)
        self.pull(search, min(self.steps, len(world.labels) // 2) * classes, rng)
        return search, sources

    def arms(self, world: World, classes: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Give the source and the aim of each arm, int64[a] each; the source is -1 for all."""
        aims = torch.arange(classes)
        if self.sources == "all":
            return torch.full((classes,), -1), aims
        with torch.inference_mode(), world.runtime.active():
            parts = world.inputs.split(world.at_once)
            logits = torch.cat([world.ask(part) for part in parts]).cpu()
        labels = world.labels.cpu()
        absent = sorted(set(range(classes)) - set(labels.tolist()))
        if absent:
            raise CannotJudge(
                f"no trusted example of the class {absent[0]}, so nothing can be led from there to "
                "the others; trust some, or search from all classes together: sources='all'"
            )
        mean = torch.stack([logits[labels == s].mean(0) for s in range(classes)])
        mean.fill_diagonal_(-torch.inf)
        tried = max(1, round(self.screened * (classes - 1)))
        sources = mean.topk(tried, 0).indices
        return sources.flatten(), aims.expand(tried, classes).flatten()

    def pull(self, search: Inversion, budget: int, rng: np.random.Generator) -> None:
        """Spend a budget of steps: on all arms alike, then where masks shrink or are small."""
        arms, full = len(search.aims), search.mask_size
        every = torch.arange(arms, device=search.aims.device)
        size, width = search.norm.clamp_max(full), min(self.width, arms)
        gain = torch.zeros_like(size)
        starts = max(1, int(self.start * budget / (arms * self.check)))
        rounds = max(0, budget - starts * arms * self.check) // (width * self.check)
        for turn in range(starts + rounds):
            pulled = every
            if turn >= starts:
                pulled = self.choose(gain + size.min() / size, width, rng)
            search.advance(pulled)
            now = search.norm.clamp_max(full)
            gain[pulled] = (size[pulled] / now[pulled]).log()
            size = now

    def choose(self, value: torch.Tensor, width: int, rng: np.random.Generator) -> torch.Tensor:
        """Give the arms of a pass, int64[width]: the most valuable, and some at random."""
        order = value.argsort(descending=True, stable=True)
        sure = width - int(self.explore * width)
        lucky = torch.from_numpy(rng.permutation(len(order) - sure)[: width - sure])
        return torch.cat([order[:sure], order[sure:][lucky.to(order.device)]])
