"""How scores of suspect and trusted examples become a verdict, classes and a list of examples.

Axes: n suspect and m trusted examples, N = n + m, D detectors, C classes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mithridate.core.data import Dataset
from mithridate.core.method import Detector, State
from mithridate.core.scores import Scores, Verdict, conformal_p_values
from mithridate.core.spelling import option
from mithridate.core.view import View
from mithridate.pipelines.exchange import Difference
from mithridate.pipelines.features_found import StrongFeatures
from mithridate.pipelines.naming import ClassList, Naming, listing, order_class
from mithridate.pipelines.overlap import Overlap
from mithridate.pipelines.planted import Powers
from mithridate.stats.enrichment import Enrichment, enrichment, fewest_permutations


@dataclass(frozen=True, eq=False)
class Judged:
    """One detector's answer about the suspect data.

    Attributes:
        scores: of the n suspects, p-values against the trusted examples of the same class, None
            without any.
        trusted: float64[m], the scores of the trusted examples.
        used: evidence; seconds.
        rest: float64[k], the scores of examples that are neither.
    """

    detector: Detector
    scores: Scores
    trusted: torch.Tensor
    used: tuple[str, ...]
    seconds: float
    rest: torch.Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.float64))


def judge_examples(
    detector: Detector, view: View, n: int, m: int | None = None,
    keep: Callable[[State], None] | None = None, fit: Callable[[View], State] | None = None,
) -> Judged:  # fmt: skip
    """Ask a detector about a view of N examples: n suspects, m trusted ones and others.

    Without m, all that are no suspects are trusted; `keep` is given what the detector learnt, and
    `fit` takes the place of its own.
    """
    began, before = time.perf_counter(), set(view.used)
    view.used.clear()
    state = (fit or detector.fit)(view)
    if keep is not None:
        keep(state)
    values = detector.judge(view, state=state).values
    used = tuple(sorted(view.used))
    view.used |= before
    end = len(values) if m is None else n + m
    labels, known, rest = view.labels[:end], values[n:end], values[end:]
    p_values = None
    if n < end:
        p_values = torch.ones(n, dtype=torch.float64)
        for label in labels.unique().tolist():
            rows, own = labels[:n] == label, labels[n:] == label
            p_values[rows] = conformal_p_values(values[:n][rows], known[own])
    seconds = time.perf_counter() - began
    return Judged(detector, Scores(values[:n], "sample", p_values), known, used, seconds, rest)


@dataclass(frozen=True)
class ClassFinding:
    """What the scan found in one class.

    Attributes:
        p_values: by detector name, adjusted for all classes and detectors.
        visible: the smallest number of perfectly ranked poisons that would have been seen, None if
            none would.
        by: the detector that leads the order in which examples are named, None where none is named.
        flagged: number of examples named.
        weights: by detector name, of its scores in that order.
        by_itself: the p-value that the class would have if nothing were wrong with any other; 1
            where it was not compared.
    """

    name: str
    suspects: int
    trusted: int
    p_values: dict[str, float]
    visible: int | None
    by: str | None
    flagged: int
    weights: dict[str, float] = field(default_factory=dict)
    by_itself: float = 1.0


@dataclass(frozen=True)
class Sign:
    """A simple feature that goes with the label of a class, as evidence that can be read.

    Attributes:
        name: which feature, in words.
        label: of the class.
        strength: by the detector that found it.
        suspects: how many suspects of each class carry it.
        trusted: how many trusted examples of each class carry it.
    """

    name: str
    label: int
    strength: float
    suspects: tuple[int, ...]
    trusted: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class DataScan:
    """The answer of a scan: a verdict on the data set and a list of examples.

    Attributes:
        flagged: bool[n], at most `fdr` of them expected to be clean, where a class was found to
            hold poison; model: what was trained, an empty one where no network was asked.
        features: float32[N, d], suspects first; d = 0 without a network.
        trusted: the examples that the suspects were compared with, None for those that were given.
        overlap: what suspects and trusted examples have in common, None where none was sought.
        naming: what the list rests on, None where suspects could not be compared.
        signs: simple features that stand out, the strongest first.
        differ: in which properties they surely differ, the largest difference first.
        power: what share of planted backdoors such a scan found, None where none was planted.
        strongest: the strongest features, None where no thorough scan was asked for.
    """

    verdict: Verdict
    fdr: float
    judged: tuple[Judged, ...]
    classes: tuple[ClassFinding, ...]
    flagged: torch.Tensor
    features: torch.Tensor
    model: nn.Module
    cost: dict[str, float]
    trusted: Dataset | None = None
    overlap: Overlap | None = None
    naming: Naming | None = None
    signs: tuple[Sign, ...] = ()
    differ: tuple[Difference, ...] = ()
    power: Powers | None = None
    strongest: StrongFeatures | None = None


class Decision(NamedTuple):
    """A verdict on the data set, a finding for each class, and who is named, bool[n]."""

    verdict: Verdict
    classes: tuple[ClassFinding, ...]
    flagged: torch.Tensor
    naming: Naming | None


@dataclass(frozen=True)
class Rule:
    """How to decide; the fields are those of the scanner."""

    level: float
    fdr: float
    smallest: float
    permutations: int
    fdr_bound: bool = False

    def decide(
        self, judged: tuple[Judged, ...], data: Dataset, trusted: Dataset | None,
        rng: np.random.Generator, strata: NDArray[np.int64] | None = None,
    ) -> Decision:  # fmt: skip
        """Compare suspects with trusted examples that were treated alike.

        Only those of a class with the same number in `strata` int64[N] are taken for exchangeable.
        """
        if trusted is None or len(trusted) == 0:
            return self._without(data)
        labels = torch.cat([data.labels, trusted.labels]).numpy()
        tested = enrichment(
            np.stack([torch.cat([j.scores.values, j.trusted]).numpy() for j in judged]),
            labels,
            np.arange(len(labels)) >= len(data),
            len(data.classes),
            rng,
            strata=strata,
            level=self.level,
            permutations=self.permutations,
        )
        alone, least = tested.alone, tested.adjusted.min(0)
        how = listing(self.fdr, self.level, self.fdr_bound, alone, len(judged))
        lists: dict[int, ClassList] = {}
        for label in range(len(data.classes)):
            rows, own = data.labels == label, trusted.labels == label
            if bool(rows.any()) and bool(own.any()):
                order = order_class([(j.scores.values[rows], j.trusted[own]) for j in judged])
                lists[label] = how.name(order, float(least[label]))
        classes = tuple(
            _finding(label, tested, judged, data, trusted, lists.get(label))
            for label in range(len(data.classes))
        )
        first = lists.get(int(least.argmin()))
        needed = None
        if self.fdr_bound and first and not any(c.flagged for c in classes):
            needed = first.order.needed(self.fdr, how.doubt)
        return Decision(
            self._verdict(tested, classes, judged, data),
            classes,
            *_together(lists, data.labels, trusted.labels, self.fdr_bound, needed),
        )

    def unknown(self, why: str) -> Verdict:
        """The answer where no error rate can be stated."""
        return Verdict("cannot judge", self.level, None, None, why)

    def _without(self, data: Dataset) -> Decision:
        sizes = torch.bincount(data.labels, minlength=len(data.classes)).tolist()
        classes = tuple(
            ClassFinding(name, size, 0, {}, None, None, 0)
            for name, size in zip(data.classes, sizes, strict=True)
        )
        why = (
            "there are no trusted examples, and without them no error rate can be stated: "
            "any data set is the clean data of some world"
        )
        return Decision(self.unknown(why), classes, torch.zeros(len(data), dtype=torch.bool), None)

    def _verdict(
        self, tested: Enrichment, classes: tuple[ClassFinding, ...], judged: tuple[Judged, ...],
        data: Dataset,
    ) -> Verdict:  # fmt: skip
        evidence = tuple(sorted({name for j in judged for name in j.used}))
        if tested.p_value <= self.level:
            return Verdict("flagged", self.level, tested.p_value, tested.finest_p, "", evidence)
        held = [c for c in classes if c.suspects]
        without = [c.name for c in held if not c.trusted]
        blind = [c.name for c in held if c.visible is None]
        worst = max((c.visible for c in held if c.visible is not None), default=0)
        why = ""
        if without:
            why = f"no trusted example of {len(without)} classes, e.g. {without[0]!r}"
        elif blind:
            why = (
                f"{self.permutations} permutations, whose finest p-value is {tested.finest_p:.3g}, "
                f"are too few for the level {self.level:g}: a backdoor of any size could have been "
                f"missed; ask for {option('permutations', fewest_permutations(self.level))} or more"
            )
        elif worst > self.smallest * len(data):
            why = (
                f"nothing was found, but with this many trusted examples a backdoor of fewer than "
                f"{worst} examples in a class ({worst / len(data):.1%} of the data) could not have "
                f"been seen, and {self.smallest:.1%} was asked for"
            )
        answer: Literal["clean", "cannot judge"] = "cannot judge" if why else "clean"
        return Verdict(answer, self.level, tested.p_value, tested.finest_p, why, evidence)


def _finding(
    label: int,
    tested: Enrichment,
    judged: tuple[Judged, ...],
    data: Dataset,
    trusted: Dataset,
    listed: ClassList | None,
) -> ClassFinding:
    visible = tested.visible[label]
    names = [j.detector.name() for j in judged]
    flagged = 0 if listed is None else int(listed.named.sum())
    weights = {} if listed is None else dict(zip(names, listed.order.weights.tolist(), strict=True))
    return ClassFinding(
        data.classes[label],
        int((data.labels == label).sum()),
        int((trusted.labels == label).sum()),
        dict(zip(names, tested.adjusted[:, label].tolist(), strict=True)),
        int(visible) if np.isfinite(visible) else None,
        names[listed.order.leader] if listed is not None and flagged else None,
        flagged,
        weights,
        float(tested.single[:, label].min()),
    )


def _together(
    lists: dict[int, ClassList],
    labels: torch.Tensor,
    trusted_labels: torch.Tensor,
    bounded: bool,
    needed: int | None,
) -> tuple[torch.Tensor, Naming]:
    """Put the lists of the classes together: who is named, bool[n], and what that rests on."""
    values, p_values = torch.zeros((2, len(labels)), dtype=torch.float64)
    p_values += 1.0
    calibration = torch.zeros(len(trusted_labels), dtype=torch.float64)
    flagged = torch.zeros(len(labels), dtype=torch.bool)
    for label, listed in lists.items():
        rows, own = labels == label, trusted_labels == label
        values[rows] = torch.from_numpy(listed.order.suspects)
        p_values[rows] = torch.from_numpy(listed.order.p_values)
        calibration[own] = torch.from_numpy(listed.order.trusted)
        flagged[rows] = torch.from_numpy(listed.named)
    most = sum(listed.clean_at_most for listed in lists.values())
    scores = Scores(values, "sample", p_values)
    return flagged, Naming(scores, calibration, most, bounded, needed)
