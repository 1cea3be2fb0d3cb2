"""Small places that lead one class to another: what replaces a little of an input, and where.

Axes: a pairs, b examples of a source, w windows of a pair.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from mithridate.core.errors import MethodError
from mithridate.core.scanner import Scanned, Scanner
from mithridate.core.view import View
from mithridate.scanners.mm_bd import margins
from mithridate.scanners.pairs_of_classes import PairGround, scan_pairs


@dataclass(frozen=True)
class LocalTransfer(Scanner):
    """Replace one small window of an input, for every pair of classes, and see who follows.

    For source s and target k: (w, p) = argmin of the mean cross-entropy towards k of
    (1 - w) x + w p over trusted x of class s, w a window of the side given and p any values; the
    pair's score is the mean margin of k over the other classes at held-out x', over the spread of
    all pairs of the network. The score of a class is the median over its sources. A bounded change
    of the whole input finds what is spread over it, and hardly a trigger that is small and strong;
    a window finds that. All windows are ranked by what the first derivative promises when every
    value of one goes to its better end; `windows` of them are searched, by the
    signs of gradients, and the best values met are kept.

    Attributes:
        share: side of the window, as a share of each axis along which an input has places.
        windows: of each pair that are searched.
        steps: of the search.
        learning_rate: the first step as a share of the range of values, it falls to 0 linearly.
        examples: trusted ones of a source to learn from, at most half of them; up to twice as many
            others test.
        arms: pairs that are searched to the end, at least one for each class; see
            `pairs_of_classes.search`.

    Raises:
        CannotJudge: without gradients, or where a class has fewer than two trusted examples.
        MethodError: where a setting is not positive.
    """

    paper = "Brown et al., Adversarial Patch, arXiv 2017"
    links = ("https://arxiv.org/abs/1712.09665",)
    gradients = True
    pairwise = True
    assumes = "a trigger lies in a small place, where nothing natural leads to its class"

    share: float = 0.2
    windows: int = 3
    steps: int = 4
    learning_rate: float = 0.4
    examples: int = 16
    arms: int = 60

    def scan(self, view: View, rng: np.random.Generator) -> Scanned:
        """Search all pairs at once, or let them race."""
        numbers = self.windows, self.steps, self.examples, self.arms
        if not 0 < self.share <= 1 or self.learning_rate <= 0 or min(numbers) < 1:
            raise MethodError(f"expected settings above 0 and a share of at most 1, found {self}")
        return scan_pairs(
            view, rng, lambda ground: WindowSearch(self, ground).reach, ("pattern", "mask"),
            examples=self.examples, steps=self.steps, arms=self.arms,
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class WindowSearch:
    """A search over windows for pairs of classes in one network.

    Attributes:
        how: Its settings.
        ground: What it stands on.

    """

    how: LocalTransfer
    ground: PairGround

    def reach(self, pairs: torch.Tensor, steps: int) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Give the margins float64[a] of pairs int64[a, 2], their patterns and their windows."""
        ground, reached, kept = self.ground, [], []
        for part in pairs.split(
            max(1, ground.runtime.batch_size // (ground.each * self.how.windows))
        ):
            seen, aims = ground.begin(part)
            windows, pattern = self.promise(seen, aims)
            best, pattern = self.learn(seen, aims, windows, pattern, steps)
            window = windows[torch.arange(len(part), device=seen.device), best]
            for (source, aim), p, w in zip(part.tolist(), pattern, window, strict=True):
                held = ground.held(source)[None]
                reached.append(
                    ground.margin(self.put(held, w[None, None], p[None, None])[0, 0], aim)
                )
            kept.append((pattern.cpu(), window.cpu()))
        learnt = [torch.cat(each) for each in zip(*kept, strict=True)]
        return torch.tensor(reached, dtype=torch.float64), learnt

    def promise(self, seen: torch.Tensor, aims: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Rank the windows of inputs[a, b, ...] by the first derivative of the margin.

        Returns:
            The best windows, [a, w, ...] of the mask's shape, 0 or 1, and the better end of every
            value, [a, ...].
        """
        point = seen.flatten(0, 1).requires_grad_(True)
        margin = margins(self.ground.model(point).float(), aims.repeat_interleave(seen.shape[1]))
        (slope,) = torch.autograd.grad(margin.sum(), point)
        slope, low, high = slope.view_as(seen), self.ground.surface.low, self.ground.surface.high
        up, down = (slope * (high - seen)).mean(1), (slope * (low - seen)).mean(1)
        gain = torch.maximum(up, down).clamp_min(0)
        mask = self.ground.surface.mask
        places = gain.sum_to_size(len(seen), *_padded(mask, gain.ndim - 1)).view(-1, *mask)
        return _windows(places, self.how.share, self.how.windows), torch.where(up > down, high, low)

    def learn(
        self, seen: torch.Tensor, aims: torch.Tensor, windows: torch.Tensor,
        pattern: torch.Tensor, steps: int,
    ) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
        """Improve a pattern in each window; give the best windows int64[a] and theirs [a, ...]."""
        low, high = self.ground.surface.low, self.ground.surface.high
        kept = pattern = pattern[:, None].expand(-1, windows.shape[1], *pattern.shape[1:])
        labels = aims[:, None, None].expand(*windows.shape[:2], seen.shape[1])
        least = torch.full(windows.shape[:2], torch.inf, device=seen.device)
        for step in range(steps + 1):
            point = pattern.detach().requires_grad_(True)
            logits = self.ground.model(self.put(seen, windows, point).flatten(0, 2)).float()
            losses = F.cross_entropy(logits, labels.flatten(), reduction="none")
            mean = losses.detach().view(labels.shape).mean(2)
            lower = (mean < least).view(*mean.shape, *(1,) * (point.ndim - 2))
            kept, least = torch.where(lower, point.detach(), kept), torch.minimum(mean, least)
            if step < steps:
                (slope,) = torch.autograd.grad(losses.sum(), point)
                size = (high - low) * self.how.learning_rate * (1 - step / steps)
                pattern = (point - size * slope.sign()).clamp(low, high)
        best = least.argmin(1)
        return best, kept[torch.arange(len(best), device=best.device), best]

    def put(self, seen: torch.Tensor, windows: torch.Tensor, pattern: torch.Tensor) -> torch.Tensor:
        """Put patterns[a, w, ...] into windows of inputs[a, b, ...]: [a, w, b, ...]."""
        mask = windows.view(
            *windows.shape[:2], 1, *_padded(self.ground.surface.mask, seen.ndim - 2)
        )
        return (1 - mask) * seen[:, None] + mask * pattern[:, :, None]


def _padded(mask: tuple[int, ...], wide: int) -> tuple[int, ...]:
    """Give the shape of a mask as many axes as an input has; the first ones are of length 1."""
    return (1,) * (wide - len(mask)) + mask


def _windows(places: torch.Tensor, share: float, count: int) -> torch.Tensor:
    """Give the windows with the largest sums of float[a, ...], [a, w, ...], 0 or 1.

    A window is `share` of every axis wide, at least one place; fewer than `count` where no more
    fit.
    """
    lengths = places.shape[1:]
    sides = [max(1, round(share * length)) for length in lengths]
    sums = places
    for axis, side in enumerate(sides, start=1):
        sums = sums.unfold(axis, side, 1).sum(-1)
    best = sums.flatten(1).topk(min(count, sums[0].numel()), 1).indices
    inside = places.new_ones(*best.shape, *lengths)
    left = best
    for axis in reversed(range(len(lengths))):
        starts, left = left % sums.shape[axis + 1], left // sums.shape[axis + 1]
        at = torch.arange(lengths[axis], device=best.device)
        within = (at >= starts[..., None]) & (at < starts[..., None] + sides[axis])
        shape = [*best.shape, *(1,) * axis, lengths[axis], *(1,) * (len(lengths) - axis - 1)]
        inside = inside * within.view(shape)
    return inside
