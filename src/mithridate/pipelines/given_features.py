"""A scan of features that were computed elsewhere: no inputs and no network are needed.

The features may be those of a million examples, in a file mapped into memory. Detectors that
compare every example with all that they were fitted on are fitted on a sample then, and score all.
Axes: n suspect and m trusted examples, N = n + m, d features.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mithridate.core.data import Dataset
from mithridate.core.errors import DataError, MethodError
from mithridate.core.method import Detector
from mithridate.core.streams import stream
from mithridate.core.view import View
from mithridate.detectors.activation_clustering import ActivationClustering
from mithridate.detectors.kernel_density import KernelDensity
from mithridate.detectors.local_intrinsic_dimension import LocalIntrinsicDimension
from mithridate.detectors.nearest_neighbours import NearestNeighbours
from mithridate.detectors.spectral_signatures import SpectralSignatures
from mithridate.detectors.spectre import Spectre
from mithridate.pipelines.announcing import Announce
from mithridate.pipelines.finding import DataScan, Judged, Rule, judge_examples

COSTLY = (NearestNeighbours, KernelDensity, LocalIntrinsicDimension, Spectre)
"""Detectors that take long to be fitted, or to score where they were fitted on many."""

BLOCK = 65_536
"""Rows that are copied from a file at a time."""

Array = torch.Tensor | NDArray[Any]


def default_detectors() -> tuple[Detector, ...]:
    """The detectors of such a scan, which ask for nothing but features and labels."""
    return (SpectralSignatures(), ActivationClustering(), NearestNeighbours())


def scan_features(
    features: Array, labels: Array, trusted_features: Array, trusted_labels: Array,
    *, classes: Sequence[str] = (), detectors: Sequence[Detector] = (), sample: int = 20_000,
    level: float = 0.05, fdr: float = 0.2, smallest: float = 0.01, permutations: int = 1999,
    seed: int = 0, step: Announce | None = None,
) -> DataScan:  # fmt: skip
    """Scan examples by features that a network, trained on all of them, gave.

    Args:
        features: Of the suspects, float[n, d], also mapped from a file.
        labels: Theirs, int64[n].
        trusted_features: Of examples that somebody has checked, float[m, d], by the same network.
        trusted_labels: Theirs, int64[m].
        classes: Their names; by default numbers.
        detectors: By default `default_detectors`.
        sample: Examples, of all and drawn at random, that `COSTLY` detectors are fitted on where
            there are more.
        level: Of the test.
        fdr: Share of the named examples that may be clean.
        smallest: Share of the data that a backdoor has at least.
        permutations: Of the test.
        seed: Of everything that is drawn at random.
        step: Is told what begins.

    Raises:
        DataError: The arrays do not fit together.
        MethodError: A detector needs more than features and labels, or a setting is out of range.
    """
    began, step = time.perf_counter(), step or (lambda _: None)
    step("reading features")
    _check(level, fdr, smallest, permutations)
    features, trusted_features = _numbers(features), _numbers(trusted_features)
    known = _labels(_numbers(trusted_labels), len(trusted_features))
    suspects = _labels(_numbers(labels), len(features))
    every = torch.cat([suspects, known])
    names = tuple(classes) or tuple(str(c) for c in range(int(every.max()) + 1))
    if int(every.min()) < 0 or int(every.max()) >= len(names):
        raise DataError(
            f"expected labels in 0..{len(names) - 1}, found {int(every.min())}..{int(every.max())}"
        )
    rows = _together(features, trusted_features)
    view = View(features=rows, labels=every)
    few = _sampled(rows, every, sample, seed)
    judged = tuple(
        _judged(each, view, few, len(suspects), step) for each in detectors or default_detectors()
    )
    step("testing suspect against trusted examples")
    rule, rng = Rule(level, fdr, smallest, permutations), stream(seed, "scan", "permute")
    n = len(suspects)
    data, trusted = (
        Dataset(part, column, torch.arange(len(column)), names)
        for part, column in ((rows[:n], suspects), (rows[n:], known))
    )
    decided = rule.decide(judged, data, trusted, rng)
    cost = {"seconds": time.perf_counter() - began}
    cost |= {f"{each.detector.name()}_seconds": each.seconds for each in judged}
    return DataScan(
        decided.verdict, fdr, judged, decided.classes, decided.flagged, rows, nn.Identity(), cost,
        trusted=trusted, naming=decided.naming,
    )  # fmt: skip


def _check(level: float, fdr: float, smallest: float, permutations: int) -> None:
    """Refuse settings that are out of range."""
    shares = {"level": level, "fdr": fdr, "smallest": smallest}
    for name, value in shares.items():
        if not 0 < value < 1:
            raise MethodError(f"expected {name} between 0 and 1, found {value}")
    if permutations < 1:
        raise MethodError(f"expected at least 1 permutation, found {permutations}")


def _numbers(given: Array | Sequence[Any]) -> Array:
    """Give real numbers as an array; one that is mapped into memory stays there."""
    array = given if isinstance(given, torch.Tensor) else np.asanyarray(given)
    real = not array.is_complex() if isinstance(array, torch.Tensor) else array.dtype.kind in "biuf"
    if not real:
        raise DataError(f"expected real numbers, found {array.dtype}")
    return array


def _judged(detector: Detector, view: View, few: View, n: int, step: Announce) -> Judged:
    step(f"running {detector.name()}")
    try:
        fitted_on = few if isinstance(detector, COSTLY) else view
        return judge_examples(detector, view, n, fit=lambda _: detector.fit(fitted_on))
    except MethodError as error:
        raise MethodError(
            f"{detector.name()} asks for more than features and labels: {error}"
        ) from None


def _sampled(rows: torch.Tensor, labels: torch.Tensor, sample: int, seed: int) -> View:
    """Show a random part of all examples, suspects and trusted ones alike."""
    if sample < 1:
        raise MethodError(f"expected a sample of at least 1 example, found {sample}")
    if len(labels) <= sample:
        return View(features=rows, labels=labels)
    drawn = stream(seed, "scan", "sample").choice(len(labels), sample, replace=False)
    where = torch.from_numpy(np.sort(drawn))
    return View(features=rows[where], labels=labels[where])


def _labels(labels: Array, n: int) -> torch.Tensor:
    """Give labels as int64[n]."""
    column = torch.as_tensor(labels)
    if column.shape != (n,) or column.dtype.is_floating_point or n == 0:
        raise DataError(
            f"expected {max(n, 1)} whole numbers as labels, one for each row of features, found "
            f"{column.dtype} {list(column.shape)}"
        )
    return column.long()


def _together(first: Array, second: Array) -> torch.Tensor:
    """Copy the rows of both into one float32[N, d], block by block."""
    shapes = [tuple(each.shape) for each in (first, second)]
    if any(len(shape) != 2 or not shape[1] for shape in shapes) or shapes[0][1] != shapes[1][1]:
        raise DataError(
            "expected features [n, d] of suspects and [m, d] of trusted examples, d at least 1, "
            "found "
            f"{list(shapes[0])} and {list(shapes[1])}"
        )
    rows = torch.empty(shapes[0][0] + shapes[1][0], shapes[0][1], dtype=torch.float32)
    at = 0
    for each in (first, second):
        for start in range(0, len(each), BLOCK):
            block = each[start : start + BLOCK]
            whole = block if isinstance(block, torch.Tensor) else torch.from_numpy(np.array(block))
            rows[at : at + len(block)] = whole
            at += len(block)
    return rows
