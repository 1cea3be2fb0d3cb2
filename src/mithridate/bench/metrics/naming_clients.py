"""How well an aggregator names the attackers among the clients, by the truth.

Axes: k clients.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

from mithridate.core.errors import MethodError
from mithridate.stats.client_standings import Standings
from mithridate.stats.intervals import Interval, proportion
from mithridate.stats.ranking import auroc_interval


class JudgedFederation(NamedTuple):
    """A federation that has ended.

    Attributes:
        standings: of its clients.
        attackers: int64, the numbers of those who attacked; empty for a clean one.
    """

    standings: Standings
    attackers: torch.Tensor

    @property
    def attacks(self) -> torch.Tensor:
        """Which clients attacked, bool[k]."""
        return torch.isin(self.standings.ids, self.attackers)


def naming(federation: JudgedFederation) -> dict[str, Interval]:
    """Judge one federation by whom the aggregator left out itself, in more than half its rounds.

    naming_auroc: of the ranking; naming_precision: share of attackers among those left out;
    naming_recall: share of attackers that were; naming_false_alarms: share of honest clients that
    were. Where nobody attacked there is no ranking and no recall; where nobody is ever left out by
    the aggregator there is the ranking alone.
    """
    attacks, left_out = federation.attacks, federation.standings.left_out
    metrics: dict[str, Interval] = {}
    if bool(attacks.any()) and not bool(attacks.all()):
        metrics["naming_auroc"] = auroc_interval(federation.standings.scores.values, attacks)
    if bool(left_out.isnan().any()):
        return metrics
    return {**metrics, **_shares(left_out > 0.5, attacks)}


def naming_at(federations: Sequence[JudgedFederation], level: float = 0.05) -> dict[str, Interval]:
    """Judge many federations at one threshold: that which so many clients of the clean ones exceed.

    The threshold is the smallest at which at most the share `level` of the clients of the clean
    federations lie above it, so that it is chosen on others than it is judged on. Gives precision,
    recall and false alarms over the clients of the attacked ones, as `naming` names them.

    Raises:
        MethodError: where none is clean, none is attacked, or the clean ones have too few clients.
    """
    clean = [f.standings.scores.values for f in federations if not bool(f.attacks.any())]
    attacked = [f for f in federations if bool(f.attacks.any())]
    calm = torch.cat(clean) if clean else torch.zeros(0)
    if not attacked or len(calm) < 1 / level:
        raise MethodError(
            f"naming at {level:.0%} false alarms needs an attacked federation and "
            f"{round(1 / level)} clients of clean ones; found {len(attacked)} and {len(calm)}"
        )
    allowed = int(level * len(calm) + 1e-9)
    threshold = calm.sort(descending=True).values[allowed]
    named = torch.cat([f.standings.scores.values > threshold for f in attacked])
    return _shares(named, torch.cat([f.attacks for f in attacked]))


def _shares(named: torch.Tensor, attacks: torch.Tensor) -> dict[str, Interval]:
    right, wrong = int((named & attacks).sum()), int((named & ~attacks).sum())
    shares = {
        "naming_precision": proportion(right, right + wrong),
        "naming_false_alarms": proportion(wrong, int((~attacks).sum())),
    }
    if bool(attacks.any()):
        shares["naming_recall"] = proportion(right, int(attacks.sum()))
    return shares
