"""What can be seen in seconds, without a network: simple features that go with a label.

Axes: n suspect and m trusted examples, N = n + m.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from mithridate.core.data import Dataset
from mithridate.core.domain import Domain
from mithridate.core.errors import CannotJudge, MethodError
from mithridate.core.features import Integers, Selected
from mithridate.core.method import Detector, State
from mithridate.core.streams import stream
from mithridate.core.timing import now
from mithridate.core.view import View
from mithridate.detectors.faint_pattern import FaintPattern
from mithridate.detectors.simple_features import SimpleFeatures, listed
from mithridate.pipelines.compared import Compared
from mithridate.pipelines.finding import DataScan, Judged, Rule, Sign, judge_examples
from mithridate.pipelines.spreading import spread

QUICK: tuple[type[Detector], ...] = (SimpleFeatures, FaintPattern)
"""Detectors that ask no network."""

SIGNS, LOOKED_AT = 4, 80
"""Signs that are shown of each class, and the strongest features that they are chosen from."""

UNSEEN = (
    "nothing was found that a quick look can see; it sees no warp and few triggers under true "
    "labels, for which a network must be trained (leave --quick out)"
)

ALIKE = 0.5
"""Share of common carriers from which on two features are one sign."""


@dataclass(frozen=True, eq=False)
class Look:
    """What the detectors said that ask no network.

    Attributes:
        who: is compared with whom.
        judged: by each that could judge.
        able: all detectors of the scan but those that could not judge such data.
        left_out: why, by the name of each that could not.
        signs: the strongest first.
        seconds: that it took.
        settling: seconds that it took to settle who is compared.
    """

    who: Compared
    judged: tuple[Judged, ...]
    able: tuple[Detector, ...]
    left_out: dict[str, str]
    signs: tuple[Sign, ...]
    seconds: float
    settling: float = 0.0

    def said(self, detector: Detector) -> Judged | None:
        """What a detector said already."""
        return next((j for j in self.judged if j.detector == detector), None)


def look(data: Dataset, who: Compared, domain: Domain, detectors: tuple[Detector, ...]) -> Look:
    """Ask those of the detectors that need no network.

    One that cannot judge is left out, unless nothing else was asked.

    Raises:
        CannotJudge: where the only detector cannot judge.
    """
    began = now()
    view = View(who.union, domain=domain)
    judged, signs, left_out = list[Judged](), list[Sign](), dict[str, str]()
    for detector in (d for d in detectors if isinstance(d, QUICK)):
        learnt: list[State] = []
        try:
            judged.append(judge_examples(detector, view, *who.sizes, learnt.append))
        except CannotJudge as why:
            if len(detectors) == 1:
                raise
            left_out[detector.name()] = str(why)
            continue
        if "keys" in learnt[0]:
            signs += _signs(learnt[0], who, len(data), domain)
    able = tuple(d for d in detectors if d.name() not in left_out)
    return Look(who, tuple(judged), able, left_out, tuple(signs), now() - began)


def _signs(state: State, who: Compared, n: int, domain: Domain) -> list[Sign]:
    """Name the strongest features of every class, those with much the same carriers once."""
    keys = state["keys"][:LOOKED_AT].numpy()
    carriers: dict[int, Integers] = {}
    view = View(who.union, domain=domain)
    for family in listed(view, Selected(only=keys)) if len(keys) else ():
        for column, key in enumerate(family.keys.tolist()):
            carriers[key] = family.rows[family.columns == column]
    chosen: list[tuple[int, Integers]] = []
    signs = []
    values = zip(keys.tolist(), state["labels"].tolist(), state["strengths"].tolist(), strict=False)
    for key, label, value in values:
        known = [rows for other, rows in chosen if other == label]
        if len(known) >= SIGNS or any(_alike(carriers[key], rows) for rows in known):
            continue
        chosen.append((label, carriers[key]))
        name = domain.name_feature(who.union.subset(carriers[key][:1]).inputs, key)
        signs.append(Sign(name, label, value, *_counts(carriers[key], who, n)))
    return signs


def _alike(first: Integers, second: Integers) -> bool:
    common = len(np.intersect1d(first, second))
    return common > ALIKE * min(len(first), len(second))


def _counts(rows: Integers, who: Compared, n: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Carriers of each class among the n suspects and among the trusted examples."""
    labels, classes = who.union.labels[torch.from_numpy(rows)], len(who.union.classes)
    place = torch.from_numpy(rows) if who.seen is None else who.seen.order[torch.from_numpy(rows)]
    suspects, trusted = (
        tuple(torch.bincount(labels[part], minlength=classes).tolist())
        for part in (place < n, place >= n)
    )
    return suspects, trusted


def quick_scan(seen: Look, data: Dataset, rule: Rule, seed: int) -> DataScan:
    """Give the answer of a quick look as that of a scan.

    It is never "clean": what a network would have to learn first is not looked for.

    Raises:
        MethodError: where no detector has judged.
    """
    if not seen.judged:
        able = ", ".join(method.name() for method in QUICK)
        raise MethodError(
            f"a quick look asks detectors that need no network ({able}), and none of those that "
            "were asked for can judge such data; leave --quick out or name one of them"
        )
    who, rng = seen.who, stream(seed, "scan", "quick")
    decided = rule.decide(seen.judged, who.suspects, who.known, rng, who.strata)
    verdict = decided.verdict if not who.differ_too_far else rule.unknown(who.differ_too_far)
    if verdict.answer == "clean":
        verdict = replace(verdict, answer="cannot judge", why=UNSEEN)
    none, cost = torch.zeros(len(who.union), 0), {"seconds": seen.seconds}
    scan = DataScan(
        verdict, rule.fdr, seen.judged, decided.classes, decided.flagged, none, nn.Identity(),
        cost, naming=decided.naming, signs=seen.signs, differ=who.differ,
    )  # fmt: skip
    return spread(scan, data, who.seen) if who.seen else scan
