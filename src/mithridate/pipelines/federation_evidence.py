"""What a server sees of its clients in a round: norms, cosines, masks, and whom it trusts.

Axes: M clients, p numbers of the parameters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from mithridate.core.federated import Aggregated, Round
from mithridate.pipelines.federation_lines import ClientLine
from mithridate.pipelines.intake import Noticed


def client_lines(
    losses: Mapping[int, float], refused: Sequence[Noticed], seen: Round | None,
    made: Aggregated | None, masks: torch.Tensor | None, consensus: torch.Tensor | None,
) -> tuple[ClientLine, ...]:  # fmt: skip
    """Give a line for each client of a round.

    Args:
        losses: The mean loss of each client that was asked, by its number.
        refused: Who was left out at the door.
        seen: What was aggregated, None in a void round.
        made: What the aggregator made of it, None in a void round.
        masks: bool[M, p] of all clients, None where none has any.
        consensus: bool[p], what a quorum of masks holds.
    """
    why = {each.client: each.why for each in refused}
    rows = {} if seen is None else {int(client): row for row, client in enumerate(seen.ids)}
    lines = []
    for client, loss in losses.items():
        figures = {"loss": loss}
        if client in rows and seen is not None and made is not None:
            figures |= _figures(seen.updates[rows[client]], made, rows[client])
        if masks is not None and consensus is not None and client not in why:
            held = masks[client]
            figures["overlap"] = float((held & consensus).sum() / held.sum().clamp(min=1))
        rounded = {name: float(f"{value:.6g}") for name, value in figures.items()}
        lines.append(ClientLine(client, why.get(client, ""), **rounded))
    return tuple(lines)


def _figures(update: torch.Tensor, made: Aggregated, row: int) -> dict[str, float]:
    """The norm of an update, its cosine with the step, and what the aggregator thinks of it."""
    figures = {"norm": float(update.double().norm())}
    both = figures["norm"] * float(made.step.double().norm())
    figures["cosine"] = float(update.double() @ made.step.double()) / both if both else 0.0
    for name in ("trust", "suspicion"):
        values: torch.Tensor | None = getattr(made, name)
        if values is not None:
            figures[name] = float(values[row])
    return figures
