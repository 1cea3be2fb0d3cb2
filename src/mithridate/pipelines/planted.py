"""What is known of a scan's power: which planted backdoors it found, by kind and amount."""

from __future__ import annotations

from dataclasses import dataclass

from mithridate.stats.intervals import Interval, proportion


@dataclass(frozen=True)
class Amount:
    """How many examples a planted backdoor has.

    Attributes:
        share: Of the examples of its class before it was planted, between 0 and 1.
        of_all: Whether it is a share of all examples instead; all of them lie in one class.

    """

    share: float
    of_all: bool = False

    def count(self, inside: int, n: int) -> int:
        """Give the number of examples for a class of so many among n examples, at least 1."""
        return max(1, round(self.share * (n if self.of_all else inside)))

    def told(self) -> str:
        """Say it in words."""
        return f"{100 * self.share:.3g} % of {'the data' if self.of_all else 'a class'}"


@dataclass(frozen=True)
class Backdoor:
    """One kind of backdoor, as the domain names it, and one amount of it."""

    kind: str
    amount: Amount


@dataclass(frozen=True)
class Trial:
    """One backdoor that was planted.

    Attributes:
        backdoor: What was planted.
        label: Of the class that it aims at.
        count: Examples that carry it.
        p_value: Of that class, as it would be if nothing else had been planted.

    """

    backdoor: Backdoor
    label: int
    count: int
    p_value: float


@dataclass(frozen=True)
class Power:
    """What share of the planted backdoors of one kind and amount was found.

    Attributes:
        kind: What was planted, as the domain names it.
        amount: How much of it.
        fewest: The smallest number of examples that carried one.
        most: The largest number.
        hits: How many were found, in the right class.
        of: How many were planted; 0 where so few examples cannot be seen, however they are ranked.
        quick: Whether only detectors that need no network were asked. The whole scan finds what
            they find, so the share is at least this.

    """

    kind: str
    amount: Amount
    fewest: int
    most: int
    hits: int
    of: int
    quick: bool

    @property
    def share(self) -> Interval:
        """The share that was found, with its exact interval."""
        return proportion(self.hits, self.of)

    @property
    def carriers(self) -> str:
        """How many examples carried it, in words."""
        few, many = self.fewest, self.most
        return f"{few:,}" if few == many else f"{few:,} to {many:,}"

    @property
    def score(self) -> str:
        """How many were found, in words; without a network that is the least."""
        if not self.of:
            return "none, so few cannot be seen"
        least = "at least " if self.quick and 0 < self.hits < self.of else ""
        return f"{least}{self.hits} of {self.of}"


@dataclass(frozen=True)
class Powers:
    """What a scan would have found, by what was planted; empty where nothing could be.

    Attributes:
        measured: By kind and amount, the amount that was asked for first.
        asked: The amount that a scan must see before it says "clean".
        enough: The share of them that it must find.
        copies: On so many poisoned copies a network was trained, or the given one was asked.
        looks: At so many copies only detectors looked that need no network.
        why_not: Why nothing was planted, "" where something was.

    """

    measured: tuple[Power, ...]
    asked: Amount
    enough: float
    copies: int
    looks: int
    why_not: str = ""

    @staticmethod
    def none(smallest: float, enough: float, why_not: str) -> Powers:
        """Say why nothing was planted."""
        return Powers((), Amount(smallest, of_all=True), enough, 0, 0, why_not)

    @property
    def missed(self) -> tuple[Power, ...]:
        """Those of which too small a share was found."""
        return tuple(
            each for each in self.measured if not each.of or each.share.value < self.enough
        )

    @property
    def is_blind(self) -> bool:
        """Whether of no kind enough was found at the amount that was asked for."""
        there = [each for each in self.measured if each.amount == self.asked]
        return bool(there) and all(each in self.missed for each in there)


def counted(
    backdoors: tuple[Backdoor, ...], trials: list[Trial], level: float, quick: bool
) -> list[Power]:
    """Count what was found of each backdoor; a backdoor that was never planted is left out."""
    powers = []
    for backdoor in backdoors:
        own = [trial for trial in trials if trial.backdoor == backdoor]
        if own:
            counts = [trial.count for trial in own]
            hits = sum(trial.p_value <= level for trial in own)
            powers.append(
                Power(
                    backdoor.kind, backdoor.amount, min(counts), max(counts), hits, len(own), quick
                )
            )
    return powers
