"""How unexpected sequences are: a model of three neighbours, smoothed by how many follow.

Axes: n sequences, t places of all of them, g groups of neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
ORDER = 3
"""Neighbours that are counted together."""
START, END = -1, -2
"""What stands before and behind a sequence; names never have these numbers."""
ODD = np.uint64(0x9E3779B97F4A7C15)
EMPTY = 0
"""The key of no neighbours at all."""


def numbers(sequences: Sequence[Sequence[str]]) -> tuple[Integers, Integers]:
    """Give a number for each name of sequences, int64[t], and the length of each, int64[n]."""
    known: dict[str, int] = {}
    for sequence in sequences:
        for name in sequence:
            if name not in known:
                digest = blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest()
                known[name] = int.from_bytes(digest, "little") >> 1  # at least 0
    values = [known[name] for sequence in sequences for name in sequence]
    return np.array(values, np.int64), np.array([len(s) for s in sequences], np.int64)


class Neighbours(NamedTuple):
    """Neighbours of neighbours: the key of each, that of all but its last one, and its sequence."""

    keys: Integers
    before: Integers
    rows: Integers


@dataclass(frozen=True, eq=False)
class GroupCounts:
    """How often groups were seen.

    Attributes:
        keys: int64[g], ascending; groups of one to three.
        times: int64[g].
        before: int64[g], keys of the same groups without their last one.
    """

    keys: Integers
    times: Integers
    before: Integers


def mixed(*parts: Integers) -> Integers:
    """Give one number for several in this order; of none it is `EMPTY`."""
    total = np.full(parts[0].shape, EMPTY, np.uint64) if parts else np.zeros(0, np.uint64)
    for part in parts:
        total = (total ^ part.view(np.uint64)) * ODD
        total ^= total >> np.uint64(31)
        total += np.uint64(1)
    return total.view(np.int64)


def padded(values: Integers, lengths: Integers) -> tuple[Integers, Integers]:
    """Put two marks before and one behind each sequence; also give their rows."""
    ends = np.cumsum(lengths + ORDER)
    whole = np.full(int(ends[-1]) if len(ends) else 0, START, np.int64)
    rows = np.repeat(np.arange(len(lengths)), lengths + ORDER)
    place = np.arange(len(whole)) - np.repeat(ends - lengths - ORDER, lengths + ORDER)
    inside = (place >= ORDER - 1) & (place < ORDER - 1 + lengths[rows])
    whole[inside] = values
    whole[ends - 1] = END
    return whole, rows


def groups(windows: Integers, rows: Integers) -> list[Neighbours]:
    """Give the groups that end at the last of three neighbours int64[k, 3], the short ones first.

    Args:
        windows: the neighbours.
        rows: int64[k], the sequence of each.
    """
    columns = [np.ascontiguousarray(windows[:, i]) for i in range(ORDER)]
    made, before = [], np.full(len(windows), EMPTY, np.int64)
    for order in range(1, ORDER + 1):
        keys = mixed(*columns[ORDER - order :])
        if order > 1:
            before = mixed(*columns[ORDER - order : -1])
        made.append(Neighbours(keys, before, rows))
    return made


def windows_of(values: Integers, lengths: Integers) -> tuple[Integers, Integers]:
    """Give what ends at each place and at the end of each sequence, int64[t + n, 3], and rows."""
    whole, rows = padded(values, lengths)
    if not len(whole):
        return np.zeros((0, ORDER), np.int64), rows
    triples = np.stack([whole[:-2], whole[1:-1], whole[2:]], 1)
    kept = (rows[:-2] == rows[2:]) & (whole[2:] != START)
    return triples[kept], rows[2:][kept]


def counted(values: Integers, lengths: Integers) -> GroupCounts:
    """Count the groups of sequences."""
    some = groups(*windows_of(values, lengths))
    keys = np.concatenate([each.keys for each in some])
    before = np.concatenate([each.before for each in some])
    unique, first, times = np.unique(keys, return_index=True, return_counts=True)
    return GroupCounts(unique, times.astype(np.int64), before[first])


class Followers(NamedTuple):
    """What followed groups: how often anything did, and how many different things."""

    keys: Integers
    times: Integers
    kinds: Integers


def followers(counts: GroupCounts) -> Followers:
    """Sum the counts of groups by what stands before their last one."""
    keys, place = np.unique(counts.before, return_inverse=True)
    times = np.bincount(place, counts.times, len(keys)).astype(np.int64)
    return Followers(keys, times, np.bincount(place, minlength=len(keys)).astype(np.int64))


def looked_up(keys: Integers, values: Integers, wanted: Integers) -> Integers:
    """Give the value of each key that is wanted, 0 for one that is not there."""
    if not len(keys):
        return np.zeros(len(wanted), np.int64)
    place = np.searchsorted(keys, wanted).clip(0, len(keys) - 1)
    return np.where(keys[place] == wanted, values[place], 0)


@dataclass(frozen=True, eq=False)
class Own:
    """What sequences that were counted themselves gave to the counts, by their row and group.

    Attributes:
        times: of groups.
        followers: of what stands before their last one; `kinds` holds those that nobody else had.
    """

    keys: Integers
    times: Integers
    followers: Followers


def own_part(
    values: Integers, lengths: Integers, counts: GroupCounts, counted_rows: Integers
) -> Own:
    """Give the part of some rows in the counts; the others have none."""
    windows, rows = windows_of(values, lengths)
    kept = np.isin(rows, counted_rows)
    some = groups(windows[kept], rows[kept])
    keys = np.concatenate([each.keys for each in some])
    before = np.concatenate([each.before for each in some])
    owners = np.concatenate([each.rows for each in some]).astype(np.int64)
    pairs, first, times = np.unique(mixed(owners, keys), return_index=True, return_counts=True)
    alone = times == looked_up(counts.keys, counts.times, keys[first])
    left, place = np.unique(mixed(owners[first], before[first]), return_inverse=True)
    sums = np.bincount(place, times, len(left)).astype(np.int64)
    kinds = np.bincount(place, alone, len(left)).astype(np.int64)
    return Own(pairs, times.astype(np.int64), Followers(left, sums, kinds))


@dataclass(frozen=True, eq=False)
class NeighbourModel:
    """The chance of what follows two neighbours.

    p(w | h) = (c(h, w) + k(h) p(w | h')) / (c(h) + k(h)), with c the counts, k(h) how many
    different things followed h, h' the same without its first one, and p(w) from the uniform chance
    among what is known and one thing that is not. Witten and Bell, IEEE Transactions on Information
    Theory, 1991.
    """

    counts: GroupCounts
    after: Followers

    def surprise(self, windows: Integers, rows: Integers, own: Own) -> Floats:
        """Give -log p of the last of three neighbours int64[k, 3], as if a row's own were absent.

        Args:
            windows: the neighbours.
            rows: int64[k], of the sequences that `own` speaks of.
            own: what these sequences gave to the counts.
        """
        nothing = np.full(len(windows), EMPTY, np.int64)
        known = looked_up(self.after.keys, self.after.kinds, nothing)
        known = known - looked_up(own.followers.keys, own.followers.kinds, mixed(rows, nothing))
        chance = 1 / (known + 1)
        for each in groups(windows, rows):
            pair, history = mixed(rows, each.keys), mixed(rows, each.before)
            times = looked_up(self.counts.keys, self.counts.times, each.keys)
            times = times - looked_up(own.keys, own.times, pair)
            total = looked_up(self.after.keys, self.after.times, each.before)
            total = total - looked_up(own.followers.keys, own.followers.times, history)
            kinds = looked_up(self.after.keys, self.after.kinds, each.before)
            kinds = kinds - looked_up(own.followers.keys, own.followers.kinds, history)
            seen = total > 0
            smooth = (times + kinds * chance) / np.maximum(total + kinds, 1)
            chance = np.where(seen, smooth, chance)
        return -np.log(chance)


def drops(
    model: NeighbourModel, values: Integers, lengths: Integers, counted_rows: Integers
) -> Floats:
    """Give by how much the surprise of a sequence falls without each of its places, float64[t].

    The surprise is -log p of all places and of the end; what follows a place changes with it.

    Args:
        model: what is expected.
        values: int64[t].
        lengths: int64[n].
        counted_rows: positions of those sequences that the model was counted on; their own part is
            taken out.
    """
    own = own_part(values, lengths, model.counts, counted_rows)
    windows, rows = windows_of(values, lengths)
    each = model.surprise(windows, rows, own)
    whole, owner = padded(values, lengths)
    inside = np.flatnonzero((whole != START) & (whole != END))
    row = owner[inside]
    place = np.flatnonzero(windows[:, -1] != END)  # of the same places among the windows
    first = np.stack([whole[inside - 2], whole[inside - 1], whole[inside + 1]], 1)
    last = whole[inside + 1] != END
    beyond = whole[np.where(last, inside + 2, inside)]
    second = np.stack([whole[inside - 1], whole[inside + 1], beyond], 1)
    new = model.surprise(first, row, own) + np.where(last, model.surprise(second, row, own), 0)
    old = (
        each[place]
        + each[place + 1]
        + np.where(last, each[np.minimum(place + 2, len(each) - 1)], 0)
    )
    result: Floats = old - new
    return result
