"""FLDetector: clients whose updates are not what their last ones and the model's path foretell.

Axes: m clients of a round, k clients that were seen before, p parameters, r rounds remembered.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from mithridate.aggregators.blocks import blocks, weighted_mean
from mithridate.aggregators.distances import products
from mithridate.aggregators.remembering import places, recalled, renewed
from mithridate.core.errors import MethodError
from mithridate.core.federated import Aggregated, Aggregator, Round
from mithridate.core.method import State
from mithridate.core.streams import stream


@dataclass(frozen=True)
class FLDetector(Aggregator):
    """Leave out, from then on, clients whose updates are foretold worse than those of the others.

        foretold_i = u_i of its last round + B s, with s the last step
        d_i = |u_i - foretold_i|, as a share of the sum over the clients
        suspicion_i = mean of d_i over the window

    B is the approximation of the Hessian by L-BFGS from the steps of the window and their changes.
    Once the window is full, the gap statistic asks whether suspicions form two clusters rather
    than one; then the clients of the upper one are left out. Step: the mean of the others, by their
    examples. The paper starts the training anew without them; here it goes on. Steps stand for
    gradients and for changes of the model, which they are up to a factor that cancels. It remembers
    the last update of every client, so after the first round it needs twice the memory of others.

    The gap statistic has no stated error rate: of eight honest clients with normal suspicions it
    sees two clusters in about 6 of 100 rounds, of forty in none of 300, and it is asked anew in
    every round.

    Published code: BackFed (ab3bcbd) resets `malicious_score_dict`, which is another name than it
    reads, so scores survive its restart.

    Attributes:
        window: rounds that count.
        draws: of the gap statistic.
    """

    paper = (
        "Zhang et al., FLDetector: Defending Federated Learning Against Model Poisoning Attacks "
        "via Detecting Malicious Clients, KDD 2022"
    )
    links = ("https://arxiv.org/abs/2207.09209",)
    spelled = "fldetector"
    obeys: ClassVar[frozenset[str]] = frozenset({"shift", "scale"})
    assumes = "honest updates change smoothly from round to round, and attackers' do not"

    window: int = 10
    draws: int = 20

    def least(self) -> int:
        """Give 3: of two clients neither is the odd one out."""
        return 3

    def init(self, p: int) -> State:
        """Remember nothing."""
        return {
            "ids": torch.zeros(0, dtype=torch.int64), "updates": torch.zeros(0, p),
            "shares": torch.zeros(0, self.window, dtype=torch.float64),
            "steps": torch.zeros(0, p), "out": torch.zeros(0, dtype=torch.int64),
        }  # fmt: skip

    def step(self, state: State, seen: Round) -> Aggregated:
        """Foretell, compare, leave out and average."""
        if self.window < 1 or self.draws < 2:
            raise MethodError("expected a window of 1 round or more, and 2 draws or more")
        allowed = ~torch.isin(seen.ids, state["out"])
        shares = self.shares(state, seen, allowed)
        seen_before = shares >= 0
        suspicion = (shares * seen_before).sum(1) / seen_before.sum(1).clamp_min(1)
        judged = allowed & seen_before.any(1)
        out = torch.zeros_like(allowed)
        if len(state["steps"]) > self.window and int(judged.sum()) > 2:
            out[judged] = self.upper(suspicion[judged], seen)
        kept = allowed & ~out
        step = weighted_mean(seen.updates, seen.sizes * kept)
        fresh = self._remember(state, seen, step, shares, out)
        suspicion[~allowed] = 1.0  # the largest share that there is
        return Aggregated(step, fresh, kept.float(), suspicion)

    def shares(self, state: State, seen: Round, allowed: torch.Tensor) -> torch.Tensor:
        """Give the shares of each client over the window, -1 where unknown, float64[m, window]."""
        past = recalled(state["ids"], state["shares"], seen.ids, new=-1.0)
        place, known = places(state["ids"], seen.ids)
        counted = known & allowed
        now = torch.full((len(seen.ids), 1), -1.0, dtype=torch.float64)
        if bool(counted.any()):
            missed = misses(state["steps"], state["updates"], place, seen.updates)[counted]
            now[counted, 0] = missed / missed.sum().clamp_min(1e-300)
        return torch.cat([past[:, 1:], now], 1)

    def upper(self, suspicion: torch.Tensor, seen: Round) -> torch.Tensor:
        """Say who is in the upper of two clusters, bool[j]; nobody where there is but one.

        Args:
            suspicion: float64[j], of those who can be judged.
        """
        values = suspicion.cpu().numpy()
        low, high = float(values.min()), float(values.max())
        if high <= low:
            return torch.zeros(len(values), dtype=torch.bool)
        rng = stream(seen.seed, "gap", seen.number)
        drawn = np.sort(rng.uniform(low, high, (self.draws, len(values))), 1)
        one, two = (np.log(np.maximum(s, 1e-300)) for s in spreads(np.sort(values)[None])[:2])
        ones, twos = (np.log(np.maximum(s, 1e-300)) for s in spreads(drawn)[:2])
        doubt = twos.std() * np.sqrt(1 + 1 / self.draws)
        if ones.mean() - one[0] >= twos.mean() - two[0] - doubt:
            return torch.zeros(len(values), dtype=torch.bool)
        cut = spreads(np.sort(values)[None])[2][0]
        return suspicion >= float(np.sort(values)[cut])

    def _remember(
        self, state: State, seen: Round, step: torch.Tensor, shares: torch.Tensor, out: torch.Tensor
    ) -> State:
        """The state of the next round."""
        known, updates = renewed(state["ids"], state["updates"], seen.ids, seen.updates)
        steps = torch.cat([state["steps"], step[None]])[-self.window - 1 :]
        return {
            "ids": known, "updates": updates, "steps": steps,
            "shares": renewed(state["ids"], state["shares"], seen.ids, shares)[1],
            "out": torch.cat([state["out"], seen.ids[out]]).sort().values,
        }  # fmt: skip


def misses(
    steps: torch.Tensor, before: torch.Tensor, place: torch.Tensor, updates: torch.Tensor
) -> torch.Tensor:
    """Give |u_i - (u_i before + B s)| of each client, float64[m].

    Args:
        steps: float32[r, p], the oldest first; s is the last.
        before: float32[k, p], the last update of each client that is known.
        place: int64[m], where among them each client of the round stands.
        updates: float32[m, p].
    """
    turn = hessian_times_last(products(steps)) if len(steps) else steps.new_zeros(0).double()
    total = torch.zeros(len(updates), dtype=torch.float64)
    for columns, block in blocks(updates):
        foretold = before[:, columns][place].double() + turn @ steps[:, columns].double()
        total += (block - foretold).square().sum(1)
    return total.sqrt()


def hessian_times_last(inner: torch.Tensor) -> torch.Tensor:
    """Write B s as a sum over steps and give its coefficients, float64[r].

    With S the steps but the last, Y their changes, and a = (y s) / (s s) of the newest pair:

        B = a I - [a S, Y] [[a S'S, L], [L', -D]]^-1 [a S'; Y'],
        L the part of S'Y below its diagonal, D the diagonal

    Args:
        inner: float64[r, r], products of the steps.
    """
    r = len(inner)
    unit = inner / inner.diagonal().max().clamp_min(1e-300)
    if r < 2 or not bool(unit[-2, -2] > 0):
        return torch.zeros(r, dtype=torch.float64)
    change = torch.eye(r, dtype=torch.float64).diff(dim=0)  # rows: y in terms of steps
    steps = torch.eye(r, dtype=torch.float64)[:-1]
    both = steps @ unit @ change.T
    rate = both[-1, -1] / unit[-2, -2]
    lower, pairs = both.tril(-1), torch.diag(both.diagonal())
    table = torch.cat(
        [
            torch.cat([rate * (steps @ unit @ steps.T), lower], 1),
            torch.cat([lower.T, -pairs], 1),
        ]
    )
    basis = torch.cat([rate * steps, change])
    solved = torch.linalg.pinv(table) @ (basis @ unit[:, -1])
    last = torch.zeros(r, dtype=torch.float64)
    last[-1] = 1
    coefficients: torch.Tensor = rate * last - basis.T @ solved
    return coefficients


def spreads(
    ordered: np.ndarray[tuple[int, int], np.dtype[np.float64]],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give the squared spread of each row as one cluster and as its best two, and where it is cut.

    Args:
        ordered: float64[rows, j], each row ascending.
    """
    j = ordered.shape[1]
    centred = ordered - ordered.mean(1, keepdims=True)
    sums, squares = centred.cumsum(1), (centred**2).cumsum(1)
    count = np.arange(1, j)
    left = squares[:, :-1] - sums[:, :-1] ** 2 / count
    right = squares[:, -1:] - squares[:, :-1] - (sums[:, -1:] - sums[:, :-1]) ** 2 / (j - count)
    two = left + right
    return squares[:, -1], two.min(1).clip(0), two.argmin(1) + 1
