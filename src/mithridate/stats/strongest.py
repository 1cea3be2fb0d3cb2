"""The strongest feature of a data set: the members that most support each other's answers.

W_ij says by how much example j, once learnt, raises the margin of example i; its diagonal says
nothing and is left out. A set v of k among n examples is worth

    v' A_k v = v' W C v,  C = I - 11'/n,  A_k = W - (k/n) diag(W 1),

which is k^2 (n - k) / n times the mean of w_z . h(v) over its members z, where h compares the mean
over members with that over the others (Khaddaj et al., Rethinking Backdoor Attacks, ICML 2023). One
symmetric matrix, (WC + CW') / 2, serves every k: its first eigenvector relaxes the problem, and k
only rounds. W = U V' is never formed. Axes: n examples, r factors, k members.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator, eigsh

SMALL = 128
"""Up to this number of examples a full decomposition is as fast."""

LOOKED_AT = 32
"""Members and others that later swaps of a pass choose from; the first one looks at all."""

BLOCK = 256
"""Members whose swaps are looked at together."""


@dataclass(frozen=True, eq=False)
class Attributions:
    """Who supports whom, W = U V' without its diagonal.

    Attributes:
        rows: U, float[n, r], what is asked about each example.
        columns: V, float[n, r], what each example brings when it is learnt.
    """

    rows: torch.Tensor
    columns: torch.Tensor

    @cached_property
    def own(self) -> torch.Tensor:
        """The diagonal of U V', float64[n]."""
        return (self.rows * self.columns).sum(1).double()

    @cached_property
    def totals(self) -> torch.Tensor:
        """The row sums W 1, float64[n]."""
        return self.times(torch.ones(len(self.rows), dtype=torch.float64))

    def times(self, vector: torch.Tensor) -> torch.Tensor:
        """Give W x of x float64[n], float64[n]."""
        inside = self.columns.T @ vector.to(self.columns.dtype)
        return (self.rows @ inside).double() - self.own * vector

    def transposed(self, vector: torch.Tensor) -> torch.Tensor:
        """Give W' x of x float64[n], float64[n]."""
        inside = self.rows.T @ vector.to(self.rows.dtype)
        return (self.columns @ inside).double() - self.own * vector

    def both(self, vector: torch.Tensor) -> torch.Tensor:
        """Give (W + W') x of x float64[n], float64[n]."""
        return self.times(vector) + self.transposed(vector)

    def between(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        """Give W_ij + W_ji for i in `first` and j in `second`, disjoint, float64[a, b]."""
        there = self.rows[first] @ self.columns[second].T
        return (there + self.columns[first] @ self.rows[second].T).double()


def objective(w: Attributions, members: torch.Tensor) -> float:
    """Give v' W C v of a set of members bool[n]."""
    v = members.double()
    return float(v @ w.times(v) - v.mean() * (w.totals @ v))


def strength(w: Attributions, members: torch.Tensor) -> float:
    """Give the mean of w_z . h(v) over the members bool[n]: what one more of them is worth."""
    k, n = int(members.sum()), len(members)
    return objective(w, members) * n / (k * k * (n - k))


def marginals(w: Attributions, members: torch.Tensor) -> torch.Tensor:
    """Give what each example adds to v' A_k v with k held, by being in the set or coming, [n].

    sum over members j of (A_ij + A_ji), j other than i, plus A_ii.
    """
    v = members.double()
    return w.both(v) - v.mean() * w.totals


class Relaxed(NamedTuple):
    """The largest eigenvalue of (WC + CW') / 2 and its vector float64[n], of length 1."""

    value: float
    direction: torch.Tensor


def relaxed(w: Attributions) -> Relaxed:
    """Relax the problem to real numbers: the first eigenvector; see `relaxations`."""
    return relaxations(w, 1)[0]


def relaxations(w: Attributions, count: int) -> list[Relaxed]:
    """Give the first eigenvectors of (WC + CW') / 2, the largest value first; at most n - 1.

    A second one is another feature that the first leaves out. The sign of each is that in which
    more of the vector is large.
    """
    n = len(w.rows)
    count = min(count, n - 1)

    def product(vector: Any) -> Any:
        x = torch.from_numpy(np.asarray(vector, dtype=np.float64).reshape(-1))
        back = w.transposed(x)
        return ((w.times(x - x.mean()) + back - back.mean()) / 2).numpy()

    if n <= SMALL:
        whole = np.stack([product(row) for row in np.eye(n)])
        values, vectors = np.linalg.eigh((whole + whole.T) / 2)
    else:
        start = np.random.default_rng(0).standard_normal(n)
        operator = LinearOperator((n, n), matvec=product, dtype=np.float64)
        values, vectors = eigsh(operator, k=count, which="LA", v0=start, tol=1e-7)
    order = np.argsort(-values, kind="stable")[:count]
    return [_oriented(float(values[i]), torch.from_numpy(vectors[:, i].copy())) for i in order]


def _oriented(value: float, direction: torch.Tensor) -> Relaxed:
    return Relaxed(value, direction * (-1.0 if float((direction**3).sum()) < 0 else 1.0))


def rounded(w: Attributions, direction: torch.Tensor, k: int, rounds: int = 30) -> torch.Tensor:
    """Round a direction float64[n] to k members, bool[n]: its first k, then those of most worth.

    The k largest marginals take the place of the set as long as that raises its worth.
    """
    members = _first(direction, k)
    worth = objective(w, members)
    for _ in range(rounds):
        others = _first(marginals(w, members), k)
        if (better := objective(w, others)) <= worth:
            break
        members, worth = others, better
    return members


def _first(values: torch.Tensor, k: int) -> torch.Tensor:
    members = torch.zeros(len(values), dtype=torch.bool)
    members[values.topk(k).indices] = True
    return members


def exchanged(w: Attributions, members: torch.Tensor, passes: int = 100) -> torch.Tensor:
    """Improve a set bool[n] by swaps until no single swap raises its worth (Kernighan and Lin).

    A pass swaps one pair after the other, each once, though the worth may fall in between, and
    keeps the best it met. The first pair of a pass is the best of all pairs.
    """
    for _ in range(passes):
        better = _one_pass(w, members)
        if better is None:
            break
        members = better
    return members


def _one_pass(w: Attributions, members: torch.Tensor) -> torch.Tensor | None:
    """Give the best set of one pass of swaps, None where none is better than the given one."""
    now, free, best = members.clone(), torch.ones_like(members), None
    worth, highest, gained = marginals(w, members), 0.0, 0.0
    floor = 1e-9 * float(w.totals.abs().max() + 1e-30)
    for step in range(min(int(members.sum()), int((~members).sum()))):
        some = len(members) if step == 0 else LOOKED_AT
        swap = _best_swap(w, worth, now & free, ~now & free, some)
        if swap.gain <= floor and step == 0:
            return None
        gained += swap.gain
        now[swap.out], now[swap.into] = False, True
        free[swap.out] = free[swap.into] = False
        worth = worth + _column(w, swap.into) - _column(w, swap.out)
        if gained > highest + floor:
            highest, best = gained, now.clone()
        elif step > 2 * LOOKED_AT and gained < 0:
            break
    return best


def _column(w: Attributions, row: int) -> torch.Tensor:
    """Give W_ij + W_ji for one j, float64[n]."""
    total = (w.rows @ w.columns[row] + w.columns @ w.rows[row]).double()
    total[row] = 0
    return total


class Swap(NamedTuple):
    """Who leaves, who comes, and what that adds to v' A_k v."""

    gain: float
    out: int
    into: int


def _best_swap(
    w: Attributions, worth: torch.Tensor, members: torch.Tensor, others: torch.Tensor, some: int
) -> Swap:
    """Choose the best pair among the least members and the best others."""
    outs, ins = members.nonzero().flatten(), others.nonzero().flatten()
    if some < len(worth):
        outs = outs[worth[outs].argsort()[:some]]
        ins = ins[worth[ins].argsort(descending=True)[:some]]
    best = Swap(-np.inf, -1, -1)
    for block in outs.split(BLOCK):
        gains = worth[ins] - worth[block, None] - w.between(block, ins)
        place = int(gains.argmax())
        a, b = divmod(place, len(ins))
        if float(gains[a, b]) > best.gain:
            best = Swap(float(gains[a, b]), int(block[a]), int(ins[b]))
    return best


class Found(NamedTuple):
    """A set bool[n] of one size and its worth v' W C v."""

    members: torch.Tensor
    worth: float


def search(w: Attributions, sizes: tuple[int, ...], exchange: bool = True) -> list[Found]:
    """Find the strongest set of each size: the first eigenvector, rounded, then swaps.

    The eigenvector has no sign that says which end is meant, so both ends are rounded.
    """
    direction, sets = relaxed(w).direction, []
    for k in sizes:
        ends = [rounded(w, sign * direction, k) for sign in (1, -1)]
        if exchange:
            ends = [exchanged(w, members) for members in ends]
        sets.append(max((Found(each, objective(w, each)) for each in ends), key=lambda s: s.worth))
    return sets
