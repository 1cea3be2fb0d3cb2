"""What suspects and trusted examples have in common, and who may then be compared with whom.

A content, its label included, is one unit, however often it occurs. Where trusted examples are
copies of suspects, the copies leave and their originals count as trusted: a random sample of clean
suspects and the rest of them are exchangeable. Where contents recur by nature, a content on both
sides says nothing, and both sides leave. In both cases units are exchangeable with those of the
same class that occur as often, which is what the test permutes (`docs/trusted.md`).
Axes: n suspect and m trusted examples, N = n + m, g contents.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from mithridate.core.data import Dataset, concatenate
from mithridate.core.domain import Domain
from mithridate.core.errors import DataError
from mithridate.pipelines.contents import Numbers, same_content

NATURAL = 0.05
"""Largest share of the common contents that may recur by nature, for them to count as copies.

With it false alarms kept their level in worlds that mix both (tests/methods/test_overlap.py).
"""

MOST = 0.75
"""Share of the contents of suspects up to which copies pass for a sample that somebody checked."""

Flags = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Overlap:
    """What was found, in numbers of examples.

    Attributes:
        exact: Trusted examples that equal a suspect in every byte.
        near: Trusted examples that are copies of a suspect without being equal.
        vouched: bool[n], the suspects that count as trusted, since a copy of them is.
        natural: Whether common contents were taken for natural repetition.
        apart: bool[n], the suspects that are not compared for that reason.
        repeats: Suspects that repeat an earlier one, label and content.
        most: How often the suspect that is repeated most occurs.
        most_class: The class of that one.
        relabelled: int64[k], the suspects whose content is trusted under another label only.

    """

    exact: int
    near: int
    vouched: torch.Tensor
    natural: bool
    apart: torch.Tensor
    repeats: int
    most: int
    most_class: str
    relabelled: torch.Tensor


@dataclass(frozen=True, eq=False)
class Arrangement:
    """Who is compared, and who only trains. Rows count suspects first, then trusted ones.

    Attributes:
        both: All of them, N rows.
        suspects: int64[n'], one row for each unit that is judged.
        trusted: int64[m'], one row for each unit that it is compared with.
        rest: int64[k], rows that only take part in the training.
        strata: int64[n' + m'], how often the content of each unit occurs.
        unit: int64[n], the place in `suspects` of what has the content of a suspect, -1 for none.
        overlap: What was found.

    """

    both: Dataset
    suspects: torch.Tensor
    trusted: torch.Tensor
    rest: torch.Tensor
    strata: Numbers
    unit: torch.Tensor
    overlap: Overlap

    @property
    def order(self) -> torch.Tensor:
        """The rows that a network is trained on, in their order."""
        return torch.cat([self.suspects, self.trusted, self.rest])


def arrange(data: Dataset, trusted: Dataset, domain: Domain) -> Arrangement:
    """Find what suspects and trusted examples share, and say who is compared with whom.

    Raises:
        DataError: where the trusted examples hold most of the suspects.
    """
    both, n = concatenate(data, trusted), len(data)
    exact, content = same_content(both.inputs, domain)
    counts = Counts.of(_numbered(content, both.labels.numpy()), n)
    _check(counts)
    overlap = _overlap(exact, content, counts, data, both)
    is_trusted = np.concatenate([overlap.vouched.numpy(), ~counts.common[n:]])
    judged = np.concatenate([~counts.common[:n], np.zeros(len(trusted), dtype=bool)])
    suspects = np.flatnonzero(counts.first & judged)
    known = np.flatnonzero(counts.first & is_trusted)
    trains = np.concatenate([np.ones(n, dtype=bool), ~counts.common[n:]])
    trains[suspects] = trains[known] = False
    place = np.full(len(counts.suspect), -1)
    place[counts.group[suspects]] = np.arange(len(suspects))
    often = np.maximum(counts.suspect, counts.trusted)[counts.group]
    return Arrangement(
        both,
        torch.from_numpy(suspects),
        torch.from_numpy(known),
        torch.from_numpy(np.flatnonzero(trains)),
        often[np.concatenate([suspects, known])],
        torch.from_numpy(place[counts.group[:n]]),
        overlap,
    )


def _overlap(
    exact: Numbers, content: Numbers, counts: Counts, data: Dataset, both: Dataset
) -> Overlap:
    """Count what suspects and trusted examples have in common, and what occurs more than once."""
    n, labels = len(data), both.labels.numpy()
    common, natural = counts.common, counts.natural_share > NATURAL
    equal = _numbered(exact, labels)
    is_equal = np.isin(equal[n:], equal[:n])
    often = counts.suspect[counts.group[:n]]
    elsewhere = np.isin(content[:n], content[n:]) & ~common[:n]
    return Overlap(
        exact=int(is_equal.sum()),
        near=int((common[n:] & ~is_equal).sum()),
        vouched=torch.from_numpy(common[:n] & (not natural)),
        natural=natural,
        apart=torch.from_numpy(common[:n] & natural),
        repeats=n - int((counts.suspect > 0).sum()),
        most=int(often.max()),
        most_class=data.classes[labels[int(often.argmax())]],
        relabelled=torch.from_numpy(np.flatnonzero(elsewhere)),
    )


@dataclass(frozen=True, eq=False)
class Counts:
    """How often each content occurs on each side.

    Attributes:
        group: int64[N], the number of the content of each row.
        suspect: int64[g], how many suspects hold it.
        trusted: int64[g], how many trusted examples do.
        first: bool[N], the first row of each content.

    """

    group: Numbers
    suspect: Numbers
    trusted: Numbers
    first: Flags

    @staticmethod
    def of(group: Numbers, n: int) -> Counts:
        """Count contents int64[N], of which the first n are of suspects."""
        total = int(group.max()) + 1
        first = np.zeros(len(group), dtype=bool)
        first[np.unique(group, return_index=True)[1]] = True
        suspect, trusted = (np.bincount(side, minlength=total) for side in (group[:n], group[n:]))
        return Counts(group, suspect, trusted, first)

    @property
    def common(self) -> Flags:
        """Which rows have a content that both sides hold, bool[N]."""
        held: Flags = (self.suspect > 0) & (self.trusted > 0)
        return held[self.group]

    @property
    def natural_share(self) -> float:
        """Estimate which share of the common trusted examples is no copy, in [0, 1].

        A share r of the suspects has its like among the other suspects. Trusted examples drawn
        apart find theirs as often, so u of them without it stand for u r / (1 - r) with it.
        """
        shared = int(self.trusted[self.suspect > 0].sum())
        alone = int(self.trusted.sum()) - shared
        total = int(self.suspect.sum())
        single = int((self.suspect == 1).sum())
        if not shared or not alone or single == total:
            return 0.0
        return min(1.0, alone * (total - single) / max(1, single) / shared)


def _numbered(content: Numbers, labels: Numbers) -> Numbers:
    """Number the pairs of content and label, int64[N]."""
    numbers: Numbers = np.unique(content * (int(labels.max()) + 1) + labels, return_inverse=True)[1]
    return numbers


def _check(counts: Counts) -> None:
    """Refuse trusted examples that are the suspects again, or most of them."""
    there = counts.suspect > 0
    held, whole = int((there & (counts.trusted > 0)).sum()), int(there.sum())
    if held < whole and (1 - counts.natural_share) * held <= MOST * whole:
        return
    raise DataError(
        f"the trusted examples hold {held:,} of the {whole:,} contents of the suspects: whoever "
        "trusts them has answered already; give examples that somebody has checked, and leave out "
        "of the suspects what is known to be clean"
    )
