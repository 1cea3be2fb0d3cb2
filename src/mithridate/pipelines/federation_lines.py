"""What a server writes down of a federation, round by round and client by client."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class ClientLine:
    """What the server saw of one client in one round.

    Attributes:
        client: Its number.
        refused: Why it was left out at the door; empty where it was let in.
        norm: Of its update.
        cosine: Of its update and the step, None in a void round.
        trust: The weight that the aggregator gave it against the largest, 0 for left out; None
            where it weighs nobody.
        suspicion: What the aggregator ranks it by, larger is more suspicious; None where it ranks
            nobody.
        overlap: Share of its mask that lies in the consensus of the round, None without masks.
        loss: Its mean loss in its last epoch.
    """

    client: int
    refused: str = ""
    norm: float | None = None
    cosine: float | None = None
    trust: float | None = None
    suspicion: float | None = None
    overlap: float | None = None
    loss: float | None = None


@dataclass(frozen=True)
class RoundLine:
    """One round.

    Attributes:
        number: From 0.
        clients: Those that were asked.
        void: Why the model was left as it was; empty where it moved.
        seen: What was measured of each model after the round, by its form.
        seconds: That it took.
    """

    number: int
    clients: tuple[ClientLine, ...]
    void: str = ""
    seen: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    seconds: float = 0.0

    def plain(self) -> dict[str, Any]:
        """Give the line as JSON holds it."""
        return asdict(self)

    @staticmethod
    def read(raw: Mapping[str, Any]) -> RoundLine:
        """Read what `plain` gave."""
        clients = tuple(ClientLine(**line) for line in raw["clients"])
        return RoundLine(**{**raw, "clients": clients})


def doubts(lines: Sequence[RoundLine]) -> dict[int, float]:
    """Give how much each client was doubted over all rounds, larger is more; {} where nobody was.

    The mean rank of its suspicion, or of 1 - trust, among the clients of a round, in [0, 1]; who
    was refused at the door ranks first.
    """
    ranks: dict[int, list[float]] = {}
    for line in lines:
        values = {c.client: _doubt(c) for c in line.clients}
        known = {client: v for client, v in values.items() if v is not None}
        if len(set(known.values())) < 2:
            continue
        for client, value in known.items():
            below = sum(v < value for v in known.values())
            ties = sum(v == value for v in known.values()) - 1
            ranks.setdefault(client, []).append((below + ties / 2) / (len(known) - 1))
    return {client: sum(r) / len(r) for client, r in sorted(ranks.items())}


def excesses(lines: Sequence[RoundLine]) -> dict[int, float]:
    """Give by how much each client stood out over all rounds; {} where nobody is weighed.

    The mean over its rounds of (v - median) / MAD, v being its suspicion or 1 - trust. Ranks say
    who comes first and somebody always does; this says by how much. Where most clients are alike
    the standard deviation takes the place of the MAD, and where all are, all excesses are 0.
    """
    far: dict[int, list[float]] = {}
    for line in lines:
        known = {c.client: v for c in line.clients if (v := _doubt(c)) is not None}
        finite = [v for v in known.values() if math.isfinite(v)]
        if not finite:
            continue
        middle = statistics.median(finite)
        spread = statistics.median(abs(v - middle) for v in finite) or statistics.pstdev(finite)
        for client, value in known.items():
            far.setdefault(client, []).append((value - middle) / spread if spread else 0.0)
    return {client: sum(f) / len(f) for client, f in sorted(far.items())}


def _doubt(line: ClientLine) -> float | None:
    """What a client is ranked by in one round, None where nothing is said of it."""
    if line.refused:
        return float("inf")
    if line.suspicion is not None:
        return line.suspicion
    return None if line.trust is None else 1 - line.trust
