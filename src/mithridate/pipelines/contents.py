"""Which examples have the same content: equal in every byte, or copies in the eyes of their domain.

Every example is treated alike, whoever it belongs to, so the groups are the same whoever is
trusted.
Axes: n examples, u of them with different bytes, p pairs.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from mithridate.core.data import Inputs
from mithridate.core.domain import Domain
from mithridate.core.fingerprint import digests

NEAREST = 8
"""Neighbours of each example that are looked at: memory stays bounded where many look alike."""

PAIRS = 8192
"""Pairs that are compared at a time."""

Numbers = NDArray[np.int64]


def equal_bytes(inputs: Inputs) -> Numbers:
    """Number raw inputs[n] so that those with the same bytes share a number, int64[n]."""
    known: dict[bytes, int] = {}
    return np.array([known.setdefault(each, len(known)) for each in digests(inputs)], np.int64)


def same_content(inputs: Inputs, domain: Domain) -> tuple[Numbers, Numbers]:
    """Number raw inputs[n] by their bytes, and by their content: int64[n] each.

    Copies of one input share the second number, and so do copies of copies.
    """
    exact = equal_bytes(inputs)
    _, first = np.unique(exact, return_index=True)
    pairs = _copies(inputs, first, domain)
    links = coo_array((np.ones(len(pairs)), pairs.T), shape=(len(first), len(first)))
    _, group = connected_components(links, directed=False)
    return exact, group.astype(np.int64)[exact]


def _copies(inputs: Inputs, rows: Numbers, domain: Domain) -> Numbers:
    """Find the pairs of `rows`, int64[u], that are copies: int64[p, 2], positions in them."""
    if len(rows) < 2:
        return np.zeros((0, 2), dtype=np.int64)
    points = domain.signature(_taken(inputs, rows))
    many = min(NEAREST + 1, len(rows))
    _, near = cKDTree(points).query(points, k=many, distance_upper_bound=1.0)
    first = np.repeat(np.arange(len(rows)), many)
    second = near.ravel()
    there = (second < len(rows)) & (first != second)
    pairs = np.stack([first[there], second[there]], 1)
    pairs = np.unique(np.sort(pairs, 1), axis=0)
    right = [
        domain.alike(_taken(inputs, rows[part[:, 0]]), _taken(inputs, rows[part[:, 1]])).numpy()
        for part in np.split(pairs, range(PAIRS, len(pairs), PAIRS))
        if len(part)
    ]
    return pairs[np.concatenate(right)] if right else pairs


def _taken(inputs: Inputs, rows: Numbers) -> Inputs:
    return inputs[torch.from_numpy(rows)] if isinstance(inputs, torch.Tensor) else inputs[rows]
