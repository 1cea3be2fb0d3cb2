"""How the examples of a federation come to lie with its clients.

Every way of dividing is a value; whatever it draws comes from the stream that it is given, and
every example goes to exactly one client.
Axes: n examples, m clients, c classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch

from mithridate.core.errors import DataError, MethodError

Shares: TypeAlias = tuple[torch.Tensor, ...]
"""The rows of each client, int64[k] in ascending order, m of them."""

TRIES = 200
"""Draws of Dirichlet(alpha) after which it is said that no draw gives everybody enough."""


@dataclass(frozen=True)
class Division:
    """Divide examples among clients; the ways of doing so are below.

    Attributes:
        clients: m, how many there are.
        least: The fewest examples of a client; a training needs two.
    """

    clients: int = 10
    least: int = 2

    def divide(
        self,
        labels: torch.Tensor,
        rng: np.random.Generator,
        groups: torch.Tensor | None = None,
    ) -> Shares:
        """Give the rows of each client.

        Args:
            labels: int64[n], of all examples.
            rng: Decides what is drawn.
            groups: int64[n], who or what each example is of, for a division that goes by it.

        Raises:
            MethodError: Where a setting is out of range.
            DataError: Where there are too few examples, or no groups and they are needed.
        """
        n, needed = len(labels), self.clients * self.least
        if self.clients < 1 or self.least < 1:
            raise MethodError(
                "expected at least 1 client and at least 1 example of each, found "
                f"{self.clients} and {self.least}"
            )
        if n < needed:
            raise DataError(
                f"{self.clients} clients with at least {self.least} examples each need {needed}, "
                f"found {n}; take fewer clients or more data"
            )
        owner = self._owners(labels, rng, groups)
        shares = tuple((owner == client).nonzero().flatten() for client in range(self.clients))
        few = min(map(len, shares))
        if few < self.least:
            raise DataError(
                f"a client was left with {few} examples and needs at least {self.least}; take "
                "fewer clients, more data or a less uneven division"
            )
        return shares

    def _owners(
        self, labels: torch.Tensor, rng: np.random.Generator, groups: torch.Tensor | None
    ) -> torch.Tensor:
        """The client of each example, int64[n]; here as many to each, at random."""
        return _deal(len(labels), [1.0] * self.clients, rng)


@dataclass(frozen=True)
class Iid(Division):
    """Deal the examples at random, as many to each client as to the next."""


@dataclass(frozen=True)
class Unequal(Division):
    """Deal the examples at random in shares that fall from client to client.

    Client i gets a share in proportion to 1 / (i + 1)^slope, and `least` examples at any rate.

    Attributes:
        slope: 0 gives equal shares; with 1 the first client has m times as many as the last.
    """

    slope: float = 1.0

    def _owners(
        self, labels: torch.Tensor, rng: np.random.Generator, groups: torch.Tensor | None
    ) -> torch.Tensor:
        """Deal `least` to everybody first, and of the rest in proportion."""
        if self.slope < 0:
            raise MethodError(f"the slope of shares must not be negative, found {self.slope}")
        weights = [1 / (place + 1) ** self.slope for place in range(self.clients)]
        return _deal(len(labels), weights, rng, self.least)


@dataclass(frozen=True)
class Dirichlet(Division):
    """Divide each class among the clients in shares drawn from a Dirichlet distribution.

    The shares of class y are p_y ~ Dir(alpha, ..., alpha) over the m clients, and its examples are
    cut in a random order at n_y times the cumulated shares; drawn anew until everybody has `least`.
    Yurochkin et al., Bayesian Nonparametric Federated Learning, ICML 2019.

    Attributes:
        alpha: Small values give each class to few clients, large ones approach `Iid`.
    """

    alpha: float = 0.5

    def _owners(
        self, labels: torch.Tensor, rng: np.random.Generator, groups: torch.Tensor | None
    ) -> torch.Tensor:
        """Draw until everybody has enough."""
        if not self.alpha > 0:
            raise MethodError(f"alpha of a Dirichlet division must be above 0, found {self.alpha}")
        owner = torch.zeros_like(labels)
        for _ in range(TRIES):
            for label in labels.unique().tolist():
                rows = (labels == label).nonzero().flatten()
                weights = rng.dirichlet([self.alpha] * self.clients)
                owner[rows] = _deal(len(rows), weights.tolist(), rng)
            if int(torch.bincount(owner, minlength=self.clients).min()) >= self.least:
                return owner
        raise DataError(
            f"in {TRIES} draws with alpha {self.alpha:g} some of {self.clients} clients always had "
            f"fewer than {self.least} examples; take a larger alpha, fewer clients or more data"
        )


@dataclass(frozen=True)
class ByGroup(Division):
    """Give all examples of a group, such as a writer or a speaker, to one client.

    The groups are dealt in a random order, each to who has the fewest examples so far, so clients
    that outnumber the groups are refused.
    """

    def _owners(
        self, labels: torch.Tensor, rng: np.random.Generator, groups: torch.Tensor | None
    ) -> torch.Tensor:
        """Deal group after group."""
        if groups is None or groups.shape != labels.shape:
            there = "none" if groups is None else str(list(groups.shape))
            raise DataError(
                f"a division by group needs the group of each of {len(labels)} examples, "
                f"found {there}"
            )
        known, of, sizes = groups.unique(return_inverse=True, return_counts=True)
        if len(known) < self.clients:
            raise DataError(
                f"{self.clients} clients need as many groups, found {len(known)}; "
                f"take at most {len(known)} clients"
            )
        has, client = [0] * self.clients, torch.zeros_like(known)
        for group in rng.permutation(len(known)).tolist():
            poorest = has.index(min(has))
            client[group] = poorest
            has[poorest] += int(sizes[group])
        return client[of].long()


def _deal(n: int, weights: list[float], rng: np.random.Generator, least: int = 0) -> torch.Tensor:
    """Give n examples in a random order to owners in proportion to weights, int64[n]."""
    first, total = np.repeat(np.arange(len(weights)), least), sum(weights)
    left = n - len(first)
    ends = np.round(left * np.cumsum(weights) / total).astype(int)
    rest = np.searchsorted(ends, np.arange(left), side="right")
    owner = np.empty(n, dtype=np.int64)
    owner[rng.permutation(n)] = np.concatenate([first, rest.clip(max=len(weights) - 1)])
    return torch.from_numpy(owner)
