"""Patches found by asking alone: a search that runs on any artefact that answers.

Axes: c classes, l candidates of a class, m = c * l candidates, a axes of a mask, b examples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from mithridate.core.domain import Surface
from mithridate.core.errors import MethodError
from mithridate.core.scanner import Scanned, Scanner
from mithridate.core.scores import Scores
from mithridate.core.streams import torch_generator
from mithridate.core.view import View
from mithridate.scanners.sources import sources

Ask = Callable[[torch.Tensor], torch.Tensor]
"""Is given prepared inputs[n, ...] and gives float[n, c]; larger is better for the class."""

FLOOR = -10.0
"""Logarithms of probabilities count no less, so that one hopeless input does not rule the mean."""


@dataclass(frozen=True)
class RandomSearch(Scanner):
    """Search for a patch that sends every input to a class, by queries only.

    For every class k: from `starts` random patches the best one, then `generations` times the best
    of itself and `candidates` changed copies of it; a copy is moved, or a random block of it is
    painted in one colour of extreme values, blocks shrink from half of the patch to a place. Best
    is the mean over trusted inputs of other classes of max(log p_k, -10). score_k = mean p_k over
    held-out inputs with the patch. Shown are "success" float[c], the share of them that is called
    k, and "pattern" and "mask" of the patch. It asks c * examples * (starts + generations *
    candidates) times, for all classes at once, and needs the values of the answers, not only
    labels. Extreme blocks are the moves of the Square Attack, which changes one input anywhere;
    here one patch serves many inputs. Clean models have such patches too, for classes that a few
    colours tell, and a small trigger is found from some seeds only: scan with several.

    Attributes:
        side: of the patch as a share of each side of the mask.
        starts: random patches to begin with, for each class.
        generations: rounds of the search.
        candidates: changed copies of the best patch in each round.
        examples: trusted inputs asked about for each class, of a quarter of them, at most.

    Raises:
        CannotJudge: where there are no trusted examples of other classes, or where inputs are no
            numbers in a range.
    """

    paper = "Andriushchenko et al., Square Attack, ECCV 2020"
    links = ("https://arxiv.org/abs/1912.00049",)
    known_as = ("square-attack",)
    assumes = "a patch at one place sends inputs to the backdoor's class, if not the very trigger"

    side: float = 0.25
    starts: int = 32
    generations: int = 80
    candidates: int = 2
    examples: int = 16

    def scan(self, view: View, rng: np.random.Generator) -> Scanned:
        """Search for every class at once, and test."""
        if not 0 < self.side <= 1 or min(self.starts, self.candidates, self.examples) < 1:
            raise MethodError(
                f"side must lie in (0, 1], starts, candidates and examples be at least 1: {self}"
            )
        drawn = sources(view, self.examples, rng)
        surface, ask = view.domain.surface(drawn.prepared), view.queries
        mask, pattern = self.search(
            lambda inputs: ask(inputs).log_softmax(1), drawn.prepared[drawn.learn], surface, rng
        )
        tested = [
            ask(put_patches(drawn.prepared[rows], mask[k][None], pattern[k][None])[0])
            for k, rows in enumerate(drawn.held)
        ]
        values = [logits.softmax(1)[:, k].mean() for k, logits in enumerate(tested)]
        shares = [(logits.argmax(1) == k).float().mean() for k, logits in enumerate(tested)]
        shown = {"success": torch.stack(shares), "mask": mask.float(), "pattern": pattern.float()}
        return Scanned(Scores(torch.stack(values), unit="class"), shown)

    def search(
        self, ask: Ask, inputs: torch.Tensor, surface: Surface, rng: np.random.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Give the best mask bool[c, ...] and pattern[c, ...] for inputs[c, b, ...] of others."""
        classes, generator = len(inputs), torch_generator(rng)
        walk = Walk(surface, self.side, inputs.dtype, generator)
        low, pattern = walk.begin(classes * self.starts)
        values = mean_answer(ask, inputs, walk.mask(low), pattern)
        best = values.view(classes, -1).argmax(1) + torch.arange(classes) * self.starts
        low, pattern, values = low[best], pattern[best], values[best]
        for generation in range(self.generations):
            left = 1 - generation / self.generations
            new_low, new_pattern = walk.change(
                low.repeat_interleave(self.candidates, 0),
                pattern.repeat_interleave(self.candidates, 0),
                left,
            )
            new = mean_answer(ask, inputs, walk.mask(new_low), new_pattern)
            place = new.view(classes, -1).argmax(1) + torch.arange(classes) * self.candidates
            better = new[place] > values
            low[better], pattern[better] = new_low[place[better]], new_pattern[place[better]]
            values[better] = new[place[better]]
        return walk.mask(low), pattern


class Walk:
    """Random patches and random changes of them: corners int64[m, a] and patterns[m, ...]."""

    def __init__(
        self, surface: Surface, side: float, dtype: torch.dtype, generator: torch.Generator
    ) -> None:
        self.surface, self.dtype, self.generator = surface, dtype, generator
        self.shape = torch.tensor(surface.mask)
        self.side = (side * self.shape).round().long().clamp_min(1)

    def begin(self, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw places, as often at a border as in half a patch's width beside it, and colours."""
        beyond = (self.side // 2).double()
        drawn = torch.rand(number, len(self.shape), generator=self.generator, dtype=torch.float64)
        low = (drawn * (self.shape - self.side + 1 + 2 * beyond) - beyond).floor().long()
        low = low.clamp_min(0).minimum(self.shape - self.side)
        blank = torch.zeros(number, *self.surface.pattern, dtype=self.dtype)
        return low, self.paint(self.paint(blank, low, self.side.expand_as(low)), low, self.part(1))

    def change(
        self, low: torch.Tensor, pattern: torch.Tensor, left: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Move a third of the patches, and paint a block of the others; left: of the search."""
        moves = torch.rand(len(low), generator=self.generator) < 1 / 3
        far = self.side.double() * left + 1
        way = 2 * torch.rand(low.shape, generator=self.generator, dtype=torch.float64) - 1
        moved = (low + (way * far).round().long()).clamp_min(0).minimum(self.shape - self.side)
        moved = torch.where(moves[:, None], moved, low)
        axes = tuple(range(pattern.ndim - 1))
        carried = [
            torch.roll(one, tuple(shift), axes) if any(shift) else one
            for one, shift in zip(pattern, (moved - low).tolist(), strict=True)
        ]
        painted = self.paint(pattern, low, self.part(left))
        return moved, torch.where(widen(moves, pattern), torch.stack(carried), painted)

    def part(self, left: float) -> torch.Tensor:
        """Give the sides of a block, from half of the patch to a single place."""
        return (self.side * left / 2).round().long().clamp_min(1)

    def paint(self, pattern: torch.Tensor, low: torch.Tensor, side: torch.Tensor) -> torch.Tensor:
        """Paint a random block of sides `side` within every patch in one extreme colour."""
        drawn = torch.rand(low.shape, generator=self.generator, dtype=torch.float64)
        corner = low + (drawn * (self.side - side + 1)).floor().long()
        sizes = [
            size if flat == 1 else 1
            for size, flat in zip(self.surface.pattern, self.surface.mask, strict=True)
        ]
        high = torch.rand(len(low), *sizes, generator=self.generator) < 0.5
        colour = torch.where(high, self.surface.high, self.surface.low).to(self.dtype)
        return torch.where(box(corner, side.expand_as(low), self.surface.mask), colour, pattern)

    def mask(self, low: torch.Tensor) -> torch.Tensor:
        """Say where the patches lie, bool[m, ...]."""
        return box(low, self.side.expand_as(low), self.surface.mask)


def box(low: torch.Tensor, side: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """Mark boxes of sides int64[m, a] from corners int64[m, a], bool[m, *shape]."""
    inside = torch.ones(len(low), *shape, dtype=torch.bool)
    for axis, length in enumerate(shape):
        place = torch.arange(length)
        start, end = low[:, axis, None], (low + side)[:, axis, None]
        sizes = [1] * len(shape)
        sizes[axis] = length
        inside &= ((place >= start) & (place < end)).view(len(low), *sizes)
    return inside


def widen(values: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Give values[m] the number of axes of `like`."""
    return values.view(len(values), *[1] * (like.ndim - 1))


def put_patches(inputs: torch.Tensor, mask: torch.Tensor, pattern: torch.Tensor) -> torch.Tensor:
    """Put patches, masks bool[l, ...] and patterns[l, ...], on inputs[b, ...]: [l, b, ...]."""
    return torch.where(mask[:, None], pattern[:, None].to(inputs.dtype), inputs[None])


def mean_answer(
    ask: Ask, inputs: torch.Tensor, mask: torch.Tensor, pattern: torch.Tensor
) -> torch.Tensor:
    """Give the mean answer for its class to each candidate on its inputs, float[m].

    Args:
        inputs: [c, b, ...]; candidates of a class stand together.
    """
    classes, each = inputs.shape[:2]
    number = len(mask) // classes
    asked = [
        put_patches(inputs[k], mask[rows], pattern[rows])
        for k, rows in enumerate(torch.arange(len(mask)).split(number))
    ]
    answers = ask(torch.stack(asked).flatten(0, 2)).view(classes, number * each, -1)
    own = answers[torch.arange(classes), :, torch.arange(classes)]
    return own.clamp_min(FLOOR).view(-1, each).mean(1)
