"""The released search for the strongest feature, with its errors, to be compared with.

As the code of Khaddaj et al. (ICML 2023) has it: random starts of each size, passes of 100 swaps,
each of the least member for the best other, and a score that counts how often an example was a
member at size k, over k. Its arithmetic differs from the definition in three places, which are
kept: the gain of an example that comes has the wrong sign at A_ii, a swap leaves out the pair's own
A_in,out + A_out,in, and the value that ends a start subtracts the first k entries of the diagonal
in place of the members' and doubles the rest. Axes: n examples, k members.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch

from mithridate.stats.strongest import Attributions, objective

SWAPS, PASSES = 100, 100


class Searched(NamedTuple):
    """What the released search says.

    Attributes:
        scores: float64[n], larger is more suspicious.
        best: by size, the largest true worth v' W C v that a start ended with.
        swaps: made in all.
        wrong: swaps of a kept prefix that lowered the true worth.
    """

    scores: torch.Tensor
    best: dict[int, float]
    swaps: int
    wrong: int


@dataclass(eq=False)
class _Start:
    """One random start of a size."""

    w: Attributions
    diagonal: torch.Tensor
    members: torch.Tensor
    swaps: int = 0
    wrong: int = 0
    last: float = field(default=0.0)

    def scores(self) -> torch.Tensor:
        """The released scores: sum over members of A_ij + A_ji, minus A_ii, for everybody."""
        v = self.members.double()
        return self.w.both(v) + 2 * self.diagonal * v - self.diagonal

    def value(self) -> float:
        """The released value of the set, by which a start ends."""
        v = self.members.double()
        inside = float(v @ self.w.times(v) + self.diagonal @ v)
        return 2 * (inside - float(self.diagonal[: int(v.sum())].sum()))

    def one_pass(self) -> None:
        """Swap up to 100 pairs and keep the best prefix by the released gain."""
        scores, now = self.scores(), self.members.clone()
        free, best, highest, gained = torch.ones_like(now), now.clone(), 0.0, 0.0
        losses, kept_losses = 0, 0
        for _ in range(min(SWAPS, int(now.sum()), int((~now).sum()))):
            out = int(scores.masked_fill(~(now & free), np.inf).argmin())
            into = int(scores.masked_fill(now | ~free, -np.inf).argmax())
            if not bool(now[out] & free[out]) or bool(now[into] | ~free[into]):
                break
            gained += float(scores[into] - scores[out])
            losses += self._true_gain(scores, out, into) < 0
            now[out], now[into] = False, True
            free[out] = free[into] = False
            scores = scores + self._column(into) - self._column(out)
            self.swaps += 1
            if gained > highest:
                highest, best, kept_losses = gained, now.clone(), losses
        self.members, self.wrong = best, self.wrong + kept_losses

    def _true_gain(self, scores: torch.Tensor, out: int, into: int) -> float:
        pair = self.w.between(torch.tensor([into]), torch.tensor([out]))
        return float(scores[into] + 2 * self.diagonal[into] - scores[out] - pair)

    def _column(self, row: int) -> torch.Tensor:
        total = (self.w.rows @ self.w.columns[row] + self.w.columns @ self.w.rows[row]).double()
        total[row] = 2 * self.diagonal[row]
        return total


def official_search(
    w: Attributions, sizes: tuple[int, ...], trials: int, rng: np.random.Generator
) -> Searched:
    """Search as the released code does.

    Args:
        w: Who supports whom.
        sizes: Numbers of members; one of more than n - 1 is left out.
        trials: Random starts of each size, 100 as released.
        rng: Of the starts; the released code has no seed.
    """
    n = len(w.rows)
    scores, swaps, wrong = torch.zeros(n, dtype=torch.float64), 0, 0
    best: dict[int, float] = {}
    for k in (size for size in sizes if size < n):
        for _ in range(trials):
            members = torch.zeros(n, dtype=torch.bool)
            members[torch.from_numpy(rng.choice(n, k, replace=False))] = True
            start = _Start(w, -w.totals * k / n, members)
            for _ in range(PASSES):
                start.one_pass()
                if (value := start.value()) <= start.last:
                    break
                start.last = value
            scores += start.members.double() / k
            best[k] = max(best.get(k, -np.inf), objective(w, start.members))
            swaps, wrong = swaps + start.swaps, wrong + start.wrong
    return Searched(scores, best, swaps, wrong)
