"""Searches from every class to every other: what they learn from, how they race, in which units.

Axes: n trusted examples, c classes, a pairs, b examples of a source.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from mithridate.core.domain import Surface
from mithridate.core.errors import CannotJudge
from mithridate.core.runtime import Runtime
from mithridate.core.scanner import Scanned, by_target
from mithridate.core.scores import Scores
from mithridate.core.view import View
from mithridate.scanners.mm_bd import margins
from mithridate.scanners.sources import differentiable_model

FEWEST = 2
"""Trusted examples of a class without which nothing is led from there."""
FIRST = 4
"""A first round of a race takes one step for every so many of the whole search."""

Drawn = list[tuple[torch.Tensor, torch.Tensor]]
"""For each class the rows of examples to learn from, and of others to test on."""

Reach = Callable[[torch.Tensor, int], tuple[torch.Tensor, list[torch.Tensor]]]
"""Is given pairs int64[a, 2] of source and target and a number of steps, and gives the margins
float64[a] that they reach, and what was learnt for them, tensors of a rows each."""


@dataclass(frozen=True, eq=False)
class PairGround:
    """What a search over pairs of classes stands on.

    Attributes:
        model: The network, ready for derivatives.
        prepared: Trusted inputs[n, ...].
        surface: Of these.
        drawn: Rows of them by class.
        runtime: Where to compute.

    """

    model: nn.Module
    prepared: torch.Tensor
    surface: Surface
    drawn: Drawn
    runtime: Runtime

    @property
    def each(self) -> int:
        """Examples that every source is learnt from, b."""
        return min(len(learn) for learn, _ in self.drawn)

    def begin(self, pairs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Give the inputs float[a, b, ...] to learn pairs int64[a, 2] from, and their targets."""
        rows = torch.stack([self.drawn[s][0][: self.each] for s in pairs[:, 0].tolist()])
        device = torch.device(self.runtime.device)
        return self.prepared[rows].float().to(device), pairs[:, 1].to(device)

    def held(self, source: int) -> torch.Tensor:
        """Give the inputs of a class that test."""
        return self.prepared[self.drawn[source][1]].float().to(self.runtime.device)

    def margin(self, moved: torch.Tensor, aim: int) -> float:
        """Give the mean margin of a class at changed inputs, rounded as inputs are."""
        if not self.prepared.is_floating_point():
            moved = moved.round()
        with torch.no_grad():
            aims = torch.full((len(moved),), aim, device=moved.device)
            return float(margins(self.model(moved).float(), aims).mean())


def scan_pairs(
    view: View, rng: np.random.Generator, reach_on: Callable[[PairGround], Reach],
    shown: tuple[str, ...], *, examples: int, steps: int, arms: int,
) -> Scanned:  # fmt: skip
    """Search every pair of classes of a view's model, and score its classes.

    Args:
        view: With trusted examples.
        rng: Draws these.
        reach_on: Gives the search on a ground.
        shown: Names of what it learns.
        examples: See `divided`.
        steps: See `search`.
        arms: See `search`.

    Raises:
        CannotJudge: without gradients, or where a class has too few trusted examples.
    """
    prepared = view.domain.prepare(view.clean.inputs)
    surface = view.domain.surface(prepared)
    drawn = divided(view.clean.labels, view.classes, examples, rng)
    with differentiable_model(view, prepared, surface) as model:
        reach = reach_on(PairGround(model, prepared, surface, drawn, view.runtime))
        reached, sources, learnt = search(reach, view.classes, steps, arms)
    pairs = in_own_units(reached)
    evidence = {**dict(zip(shown, learnt, strict=True)), "source": sources.float()}
    evidence["margin"] = pairs.amax(1).float()
    return Scanned(Scores(by_target(pairs), unit="class"), evidence, pairs)


def divided(labels: torch.Tensor, classes: int, examples: int, rng: np.random.Generator) -> Drawn:
    """Draw trusted examples of every class.

    Raises:
        CannotJudge: a class has too few.
    """
    drawn = []
    for label in range(classes):
        own = (labels == label).nonzero().flatten()
        if len(own) < FEWEST:
            raise CannotJudge(
                f"leading class {label} to others needs at least {FEWEST} trusted examples of it, "
                f"found {len(own)}; trust more examples"
            )
        own = own[torch.from_numpy(rng.permutation(len(own)))]
        cut = min(examples, len(own) // 2)
        drawn.append((own[:cut], own[cut : cut + 2 * examples]))
    return drawn


def search(
    reach: Reach, classes: int, steps: int, arms: int
) -> tuple[torch.Tensor, torch.Tensor, list[torch.Tensor]]:
    """Search all pairs at once, or let them race where there are more than `arms`.

    In a race all pairs run a few steps and only the best sources of each target go on; the others
    are placed where they stood plus the median rise of those that went on.

    Returns:
        The margins float64[c, c - 1], and for each target its best source int64[c] and what was
        learnt for that pair.
    """
    others = [[s for s in range(classes) if s != k] for k in range(classes)]
    pairs = torch.tensor([(s, k) for k in range(classes) for s in others[k]])
    if len(pairs) <= arms:
        margin, learnt = reach(pairs, steps)
    else:
        margin, learnt = _race(reach, pairs, classes, steps, max(1, arms // classes))
    table = margin.view(classes, -1)
    best = table.argmax(1) + (classes - 1) * torch.arange(classes)
    return table, pairs[best, 0], [each[best] for each in learnt]


def _race(
    reach: Reach, pairs: torch.Tensor, classes: int, steps: int, kept: int
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    first, learnt = reach(pairs, max(1, steps // FIRST))
    table = first.view(classes, -1)
    best = table.topk(kept, 1).indices
    rows = (best + (classes - 1) * torch.arange(classes)[:, None]).flatten()
    last, better = reach(pairs[rows], steps)
    rise = (last.view(classes, -1) - table.gather(1, best)).quantile(0.5, 1, keepdim=True)
    margin = (table + rise).flatten()
    margin[rows] = last
    for each, new in zip(learnt, better, strict=True):
        each[rows] = new
    return margin, learnt


def in_own_units(reached: torch.Tensor) -> torch.Tensor:
    """Place float64[c, c - 1] around the median of all pairs, in units of their spread."""
    apart = reached - reached.flatten().quantile(0.5)
    spread = apart.abs().flatten().quantile(0.5)
    return apart / spread.clamp_min(1e-9 * max(1e-300, float(reached.abs().max())))
