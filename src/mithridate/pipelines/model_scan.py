"""From a trained model to a verdict with a stated error rate.

Scanners give scores without a null. The null is a population of clean reference networks of the
same form, in the same precision, scanned in the same way: where the suspect is clean and its
training was like theirs, all are exchangeable and the p-value is exact (`stats/population.py`).
That assumption is the weak point: it is checked by what a backdoor does not move
(`pipelines/membership.py`), and told with every verdict.
Axes: m reference networks, c classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import torch

from mithridate.core.errors import CannotJudge, MethodError
from mithridate.core.runtime import Runtime
from mithridate.core.scanner import Scanned, Scanner
from mithridate.core.scores import Scores, Verdict
from mithridate.core.streams import stream
from mithridate.pipelines.announcing import Announce
from mithridate.pipelines.deployment import Placed
from mithridate.pipelines.membership import Membership, Vitals, compare, vitals_of
from mithridate.scanners.local_transfer import LocalTransfer
from mithridate.scanners.mm_bd import MaximumMargin
from mithridate.scanners.neural_cleanse import NeuralCleanse
from mithridate.scanners.pairwise_transfer import PairwiseTransfer
from mithridate.scanners.value_search import ValueSearch
from mithridate.stats.leaving_out import Floats
from mithridate.stats.pairs import medians, table
from mithridate.stats.population import Standing, standing

Known = Mapping[str, Floats]
"""Scores of reference networks by the name of the scanner, float64[m, c], or [m, c (c - 1)]."""


UNLIKE = (
    "the model was not made like its clean references, so its rank among them says nothing; give "
    "clean networks that were trained as it was; "
)


def default_scanners() -> tuple[Scanner, ...]:
    """The scanners of an ordinary scan, each with its defaults.

    Weight statistics are not among them: they see next to nothing, and in networks that were made
    in different ways a class of clean ones often stands out by them.
    """
    return (NeuralCleanse(), MaximumMargin(), PairwiseTransfer(), LocalTransfer())


def quick_scanners() -> tuple[Scanner, ...]:
    """Those two of them that see most for their time, for a quick answer; see `QUICK`."""
    return (MaximumMargin(), LocalTransfer())


def asking_scanners() -> tuple[Scanner, ...]:
    """The scanners of a model that has no derivative, such as trees: those that only ask."""
    return (ValueSearch(),)


QUICK = (
    "quick: of small networks from elsewhere such scans flagged 2 of 60 clean ones and 79 of 112 "
    "backdoored ones in the right class; the full scan, with two scanners more, 2 and 78, and "
    "shows how small the change is that leads to each class"
)
"""How often a quick scan was right: the row "as now, quick" of results/elsewhere/table.md."""


@dataclass(frozen=True, eq=False)
class ModelScan:
    """What was found about a model.

    Attributes:
        by_scanner: p-value of each scanner alone.
        by_class: float64[c], p-values with the probability of any false alarm over scanners and
            classes controlled, None where no scanner scores classes.
        scores: of the suspect, row 0, and the references, float64[m + 1, c], by scanner.
        shown: what scanners have to show, by scanner.
        unheard: why scanners could not judge, by scanner.
        used: evidence that was asked for.
        dropped: how many references a scanner could not judge, which were left out, by scanner.
        among: how far the model and its references stand out, None where nothing was compared.
        membership: whether the model is of the kind of its references, None where that is unknown.
        pairs: scores of pairs of suspect and references, float64[m + 1, c (c - 1)], by the scanners
            that give them; `scores` holds the medians of each target.
    """

    verdict: Verdict
    by_scanner: dict[str, float]
    by_class: Floats | None
    scores: dict[str, Floats]
    shown: dict[str, dict[str, torch.Tensor]]
    unheard: dict[str, str]
    used: tuple[str, ...]
    classes: tuple[str, ...]
    dropped: dict[str, int] = field(default_factory=dict)
    among: Standing | None = None
    membership: Membership | None = None
    pairs: dict[str, Floats] = field(default_factory=dict)


@dataclass(frozen=True)
class ModelScanner:
    """How to scan a model: with which scanners, and at which level.

    Attributes:
        level: probability of the verdict "flagged" for a clean model like the references.
    """

    scanners: tuple[Scanner, ...] = field(default_factory=default_scanners)
    level: float = 0.05

    @property
    def fewest(self) -> int:
        """The smallest number of references with which the level can be reached."""
        return math.ceil(1 / self.level - 1e-9) - 1

    def scan(
        self, suspect: Placed, references: Sequence[Placed] | Known, seed: int = 0,
        *, runtime: Runtime | None = None, step: Announce | None = None,
        vitals: Sequence[Vitals] = (),
    ) -> ModelScan:  # fmt: skip
        """Scan a model and compare it with reference networks, or with what is known of them.

        A scanner that cannot judge the suspect, or fewer than two references, is left out and
        named. The verdict is "cannot judge" where all are, where the references are too few for
        the level, or where the model was not made like any of them.

        Args:
            suspect: The model.
            references: Clean networks, or their scores.
            seed: Of the scanners' random draws.
            runtime: Where to compute.
            step: Is told what begins.
            vitals: What references of which only the scores are known do with trusted examples.

        Raises:
            MethodError: where there is no scanner or two have one name.
        """
        names = [scanner.name() for scanner in self.scanners]
        if not names or len(set(names)) < len(names):
            raise MethodError(f"expected scanners, each of another kind; found {names}")
        say = step or (lambda _: None)
        suspects: dict[str, Floats] = {}
        others: dict[str, dict[int, Floats]] = {}
        shown: dict[str, dict[str, torch.Tensor]] = {}
        unheard: dict[str, str] = {}
        used: set[str] = set()
        for scanner in self.scanners:
            name = scanner.name()
            ask = partial(self._heard, scanner, seed=seed, runtime=runtime, used=used)
            try:
                say(f"scanning by {name}")
                mine = ask(suspect)
                others[name] = self._others(name, references, ask, say)
            except CannotJudge as reason:
                unheard[name] = str(reason)
                continue
            suspects[name], shown[name] = _row(mine), mine.shown
        known = isinstance(references, Mapping)
        dropped = {} if known else {n: len(references) - len(rows) for n, rows in others.items()}
        every = set.intersection(*(set(rows) for rows in others.values())) if others else set()
        rows = {  # of the references that all of them could judge, so that rows are networks
            name: np.stack([mine, *(others[name][row] for row in sorted(every))])
            for name, mine in suspects.items()
        }
        belongs = self._belongs(suspect, references, vitals, runtime)
        said = _Rows.of(rows, self.scanners)
        told = self._told(said, shown, unheard, used, suspect, belongs)
        return _with_dropped(told, {name: number for name, number in dropped.items() if number})

    def _others(
        self,
        name: str,
        references: Sequence[Placed] | Known,
        ask: Callable[[Placed], Scanned],
        say: Announce,
    ) -> dict[int, Floats]:
        """The scores of the references by one scanner, without those that it cannot judge."""
        if isinstance(references, Mapping):
            if name not in references:
                raise CannotJudge(f"nothing is known of clean networks by {name}; give references")
            return dict(enumerate(references[name]))
        others = {}
        for number, reference in enumerate(references):
            say(f"scanning by {name}: clean reference {number + 1} of {len(references)}")
            try:
                others[number] = _row(ask(reference))
            except CannotJudge:
                continue
        if len(others) < len(references) / 2:
            raise CannotJudge(
                f"it can judge only {len(others)} of the {len(references)} clean references"
            )
        return others

    def _heard(
        self, scanner: Scanner, place: Placed, seed: int, runtime: Runtime | None, used: set[str]
    ) -> Scanned:
        """Let a scanner judge one model; every model gets the same random stream."""
        if scanner.gradients and place.twin is None and place.why:
            raise CannotJudge(f"there is nothing that has derivatives: {place.why}")
        view = place.view(None, None, runtime)
        try:
            return scanner.judge(view, stream(seed, "model-scan", scanner.name()))
        except MethodError as error:
            raise CannotJudge(f"{error}; {place.why}" if place.why else str(error)) from error
        finally:
            used |= view.used

    def _belongs(
        self, suspect: Placed, references: Sequence[Placed] | Known, vitals: Sequence[Vitals],
        runtime: Runtime | None,
    ) -> Membership | None:  # fmt: skip
        """Ask whether the suspect is of the kind of its references, as far as that is known."""
        if not isinstance(references, Mapping):
            vitals = [vitals_of(place, runtime) for place in references if place.trusted]
        if suspect.trusted is None or not vitals:
            return None
        return compare(vitals_of(suspect, runtime), vitals, self.level)

    def _told(
        self, said: _Rows, shown: dict[str, dict[str, torch.Tensor]],
        unheard: dict[str, str], used: set[str], suspect: Placed, belongs: Membership | None,
    ) -> ModelScan:  # fmt: skip
        """Compare, and put the answer together."""
        scores = said.scores
        classes = suspect.trusted.classes if suspect.trusted else ()
        evidence = tuple(sorted(used))
        if not scores or min(len(x) for x in scores.values()) < 3:
            why = "; ".join(f"{name}: {reason}" for name, reason in unheard.items())
            why = why or "fewer than two clean references; train more, or give more"
            verdict = Verdict("cannot judge", self.level, None, None, why, evidence)
            return ModelScan(verdict, {}, None, {}, {}, unheard, evidence, classes)
        if belongs is not None and belongs.why:
            verdict = Verdict(
                "cannot judge", self.level, None, None, UNLIKE + belongs.why, evidence
            )
            return ModelScan(
                verdict, {}, None, scores, shown, unheard, evidence, classes, membership=belongs,
                pairs=said.pairs,
            )  # fmt: skip
        among, by_scanner = said.compared()
        by_class = among.by_class if len(among.by_class) > 1 else None
        verdict = self._verdict(among.p_value, among.finest_p, evidence)
        return ModelScan(
            verdict, by_scanner, by_class, scores, shown, unheard, evidence, classes,
            among=among, membership=belongs, pairs=said.pairs,
        )  # fmt: skip

    def _verdict(self, p_value: float, finest_p: float, evidence: tuple[str, ...]) -> Verdict:
        if finest_p > self.level + 1e-12:
            why = (
                f"with {round(1 / finest_p) - 1} clean references no p-value can be below "
                f"{finest_p:.3g}; the level {self.level:g} needs at least {self.fewest}"
            )
            return Verdict("cannot judge", self.level, p_value, finest_p, why, evidence)
        if p_value <= self.level + 1e-12:
            return Verdict("flagged", self.level, p_value, finest_p, "", evidence)
        return Verdict("clean", self.level, p_value, finest_p, "", evidence)


@dataclass(frozen=True, eq=False)
class _Rows:
    """What scanners say of suspect and references, by name.

    Attributes:
        scores: Of classes or the whole, float64[m + 1, c] or [m + 1, 1].
        pairs: Of pairs of classes, float64[m + 1, c (c - 1)], of some of these scanners.

    """

    scores: dict[str, Floats]
    pairs: dict[str, Floats]

    @classmethod
    def of(cls, rows: dict[str, Floats], scanners: Sequence[Scanner]) -> _Rows:
        """Take rows apart; those of pairs are told by their scanner."""
        pairs = {s.name(): rows[s.name()] for s in scanners if s.pairwise and s.name() in rows}
        return cls({**rows, **{name: medians(table(flat)) for name, flat in pairs.items()}}, pairs)

    def compared(self) -> tuple[Standing, dict[str, float]]:
        """Compare, and give the p-value of each scanner."""
        alone = {name: x for name, x in self.scores.items() if name not in self.pairs}
        among = standing(list(alone.values()), pairs=[table(x) for x in self.pairs.values()])
        ordered = zip([*alone, *self.pairs], map(float, among.by_scanner), strict=True)
        p_values = dict(ordered)
        return among, {name: p_values[name] for name in self.scores}


def _row(scanned: Scanned) -> Floats:
    """The scores of a scanner in a row: of pairs where it has these, else of classes."""
    if scanned.pairs is None:
        return round_scores(scanned.scores)
    return round_scores(Scores(scanned.pairs.flatten()))


def not_scanned(why: str, level: float, classes: tuple[str, ...]) -> ModelScan:
    """Say that a model was not scanned since nothing that scanners say of it would mean anything.

    Args:
        why: In words.
        level: Of the verdict that was asked for.
        classes: Their names.

    """
    verdict = Verdict("cannot judge", level, None, None, why)
    return ModelScan(verdict, {}, None, {}, {}, {}, (), classes)


def round_scores(scores: Scores) -> Floats:
    """Scores as reports keep them, to six digits: what is equal stays so beside a report."""
    return np.array([float(f"{value:.6g}") for value in scores.values.double().tolist()])


def _with_dropped(told: ModelScan, dropped: dict[str, int]) -> ModelScan:
    """Say which references were left out, and why there are too few where that is the reason."""
    verdict = told.verdict
    if dropped and verdict.answer == "cannot judge":
        which = ", ".join(f"{name} {number}" for name, number in dropped.items())
        why = f"{verdict.why}; references that a scanner could not judge were left out: {which}"
        verdict = replace(verdict, why=why)
    return replace(told, verdict=verdict, dropped=dropped)
