"""What scanners of models are worth, from records: each network against the clean ones beside it.

A record of a scan holds the scores of the classes and no verdict, since one network alone has no
null. Here clean networks of the same task, architecture and precision are the population. Which
share of them is flagged is no measurement: ranks make it one in m + 1. What can be measured is how
many backdoored networks are flagged, and how many clean ones that were made in another way.
Axes: m clean networks of a group.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from mithridate.bench.record import Record
from mithridate.core.errors import CannotJudge, DataError
from mithridate.scanners import neural_cleanse
from mithridate.stats.intervals import Interval, proportion
from mithridate.stats.leaving_out import Floats
from mithridate.stats.population import Standing, standing
from mithridate.stats.ranking import auroc_interval, tpr_at_fpr

Place = tuple[str, str, str]
"""Task, network and precision: within one, networks are comparable."""


@dataclass(frozen=True, eq=False)
class SuspectNetwork:
    """One network: its axes, whether it is poisoned, and its scores by scanner, float64[c].

    Attributes:
        unheard: why a scanner could not judge it, by scanner.
        rank: of the class that the attacker wants among the classes, by scanner.
    """

    place: Place
    attack: str
    poison_rate: float
    seed: int
    scores: dict[str, Floats] = field(default_factory=dict)
    unheard: dict[str, str] = field(default_factory=dict)
    rank: dict[str, float] = field(default_factory=dict)

    @property
    def poisoned(self) -> bool:
        """Whether there is a backdoor in it."""
        return self.poison_rate > 0


def suspects(records: Iterable[Record]) -> list[SuspectNetwork]:
    """Put the records of scans together by network, without those whose attack did not take.

    Raises:
        DataError: where a cell failed or was not run: a table without it would be too good.
    """
    by_place: dict[tuple[Place, str, float, int], SuspectNetwork] = {}
    for record in records:
        if record.status in ("failed", "pending"):
            raise DataError(
                f"the cell {record.cell} is {record.status} ({record.why}); run it again"
            )
        if record.status == "void" or ("suspicion" not in record.per_class and not record.why):
            continue
        c = record.cell
        place, rate = (str(c["task"]), str(c["network"]), str(c["precision"])), float(c["rate"])
        name = (place, str(c["attack"]) if rate else "none", rate, int(c["seed"]))
        network = by_place.setdefault(name, SuspectNetwork(*name))
        if record.status == "done":
            network.scores[c["defence"]] = np.asarray(record.per_class["suspicion"])
            network.rank[c["defence"]] = record.value("target_rank")
        else:
            network.unheard[c["defence"]] = record.why
    return sorted(by_place.values(), key=lambda s: (s.place, s.poison_rate, s.attack, s.seed))


@dataclass(frozen=True, eq=False)
class JudgedNetwork:
    """One network with its standing among clean ones; None where no scanner could judge it."""

    suspect: SuspectNetwork
    standing: Standing | None

    @property
    def statistic(self) -> float:
        """How far it stands out; minus infinity where nothing could judge it."""
        return -np.inf if self.standing is None else float(self.standing.among[0])

    def flagged(self, level: float) -> bool:
        """Whether the exact p-value is at most a level."""
        return self.standing is not None and self.standing.p_value <= level + 1e-12


def judge_all(
    networks: Sequence[SuspectNetwork],
    scanners: Sequence[str],
    others: Sequence[SuspectNetwork] | None = None,
) -> list[JudgedNetwork]:
    """Compare every network with the clean ones of its place, by these scanners together.

    A clean network of the population is compared with the rest, and every other one with as many,
    so that all face the same number. A scanner counts for a network where it could judge it and at
    least two clean ones.

    Args:
        others: the clean networks to compare with, whatever their place, for suspects that were
            made in another way.
    """
    clean: dict[Place | None, list[SuspectNetwork]] = defaultdict(list)
    for network in networks if others is None else others:
        if not network.poisoned:
            clean[network.place if others is None else None].append(network)
    judgements = []
    for network in networks:
        same = clean[network.place if others is None else None]
        rest = [c for c in same if c is not network]
        judgements.append(_judge(network, rest[: len(same) - 1], scanners))
    return judgements


def _judge(
    network: SuspectNetwork, clean: Sequence[SuspectNetwork], scanners: Sequence[str]
) -> JudgedNetwork:
    heard = [s for s in scanners if s in network.scores]
    several = [c for c in clean if all(s in c.scores for s in heard)]
    if not heard or len(several) < 2:
        return JudgedNetwork(network, None)
    rows = [network, *several]
    tables = [np.stack([r.scores[s] for r in rows]) for s in heard]
    return JudgedNetwork(network, standing(tables, own_scale=False))  # one place, one training


@dataclass(frozen=True)
class Worth:
    """What scanners together are worth on a set of networks.

    auroc;

    Attributes:
        tpr_5: share of poisoned networks above the threshold that 5 % of the clean ones exceed.
        caught: flagged by the p-value at the level; of clean networks of the population the latter
            is 1 in m + 1 for each place, by construction.
        clean: flagged by the p-value at the level; of clean networks of the population the latter
            is 1 in m + 1 for each place, by construction.
        unheard: networks that nothing judged, or that too few clean ones stand beside for the
            level.
    """

    auroc: Interval
    tpr_5: Interval
    caught: Interval
    clean: Interval
    unheard: int


def count_verdicts(judged: Sequence[JudgedNetwork], level: float = 0.05) -> Worth:
    """Count what was caught and what was a false alarm; a network that nothing judged is missed."""
    poisoned = np.array([j.suspect.poisoned for j in judged])
    values = np.array([j.statistic for j in judged])
    low = values[np.isfinite(values)].min(initial=0.0) - 1
    scores = torch.from_numpy(np.where(np.isfinite(values), values, low))
    mask = torch.from_numpy(poisoned)
    flagged = np.array([j.flagged(level) for j in judged])
    n = int(poisoned.sum())
    at_5 = tpr_at_fpr(scores, mask, 0.05)
    return Worth(
        auroc_interval(scores, mask),
        proportion(round(at_5 * n), n) if n else proportion(0, 0),
        proportion(int(flagged[poisoned].sum()), n),
        proportion(int(flagged[~poisoned].sum()), int((~poisoned).sum())),
        sum(j.standing is None or j.standing.finest_p > level + 1e-12 for j in judged),
    )


def textbook(networks: Sequence[SuspectNetwork], scanner: str, threshold: float = 2.0) -> Worth:
    """The rule "anomaly index above 2" on norms, which has no error rate of its own.

    The scores are taken for minus the logarithms of norms: |norm - median| / (1.4826 MAD) above the
    threshold for a class whose norm lies below the median flags the network.
    Wang et al., Neural Cleanse, S&P 2019.
    """
    heard = [n for n in networks if scanner in n.scores]
    indices = np.array([anomaly_index(n.scores[scanner]) for n in heard])
    poisoned = np.array([n.poisoned for n in heard], dtype=bool)
    scores, mask = torch.from_numpy(indices), torch.from_numpy(poisoned)
    flagged, n = indices > threshold, int(poisoned.sum())
    at_5 = tpr_at_fpr(scores, mask, 0.05)
    return Worth(
        auroc_interval(scores, mask),
        proportion(round(at_5 * n) if n and n < len(heard) else 0, n),
        proportion(int(flagged[poisoned].sum()), n),
        proportion(int(flagged[~poisoned].sum()), len(heard) - n),
        len(networks) - len(heard),
    )


def anomaly_index(scores: Floats) -> float:
    """The largest anomaly index of the classes whose norm is below the median; 0 without spread."""
    try:
        return max(
            0.0, float(neural_cleanse.anomaly_index(torch.from_numpy(np.exp(-scores))).max())
        )
    except CannotJudge:
        return 0.0  # as the rule does: it flags nothing then
