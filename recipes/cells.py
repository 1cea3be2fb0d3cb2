"""What the CIFAR-10 recipes share: one network, one training, one way to keep records."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from mithridate.core.data import Dataset
from mithridate.core.fit import TrainingConfig
from mithridate.core.streams import stream
from mithridate.domains.image.domain import ImageDomain
from mithridate.stats.intervals import Interval, mean
from mithridate.trainers.standard import Standard

RESULTS = Path("results")
DOMAIN = ImageDomain(flip=True)


def train(
    data: Dataset, seed: int, place: str, config: TrainingConfig, steps_of: int, domain: ImageDomain
) -> torch.nn.Module:
    """Train the default network for about as many steps as `steps_of` examples would take."""
    epochs = round(config.epochs * steps_of / len(data))
    model = domain.network(data, "", stream(seed, place, "init"))
    trainer = Standard(replace(config, epochs=epochs))
    return trainer.train(model, data, domain, stream(seed, place, "fit")).model


def kept(
    scores: torch.Tensor, labels: torch.Tensor, dropped: int, only: int | None
) -> torch.Tensor:
    """Keep all but the highest scores of every class, or of one class alone; bool[n]."""
    keep = torch.ones(len(labels), dtype=torch.bool)
    for label in labels.unique().tolist() if only is None else [only]:
        rows = (labels == label).nonzero().flatten()
        keep[rows[scores[rows].topk(dropped).indices]] = False
    return keep


def done(folder: str, name: str) -> bool:
    """Tell whether a record is there."""
    return (RESULTS / folder / f"{name}.json").exists()


def save(folder: str, name: str, record: Any) -> None:
    """Write a record, whole or not at all."""
    home = RESULTS / folder
    home.mkdir(parents=True, exist_ok=True)
    temporary = home / f"{name}.writing"
    temporary.write_text(json.dumps(record, indent=1) + "\n")
    temporary.replace(home / f"{name}.json")
    print(folder, name, flush=True)


def records(folder: str, pattern: str) -> list[Any]:
    """Read the records whose names match a pattern, in order of their names."""
    return [json.loads(f.read_text()) for f in sorted((RESULTS / folder).glob(f"{pattern}.json"))]


def percent(value: Interval | list[float]) -> str:
    """Write a share with its interval as percentages."""
    centre, low, high, _ = value
    return f"{100 * centre:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def average(values: Iterable[float], bounded: bool = False) -> str:
    """Write the mean of shares over cells with its interval and their number.

    Args:
        values: Shares, or differences of them.
        bounded: Whether the mean cannot lie outside of 0 and 1, so that the interval ends there.

    """
    found = mean(list(values))
    if bounded:
        found = found._replace(low=max(found.low, 0.0), high=min(found.high, 1.0))
    if found.n < 2:
        return f"{100 * found.value:.1f} (n = 1)" if found.n else "not measured"
    return f"{percent(found)} (n = {found.n})"


def markdown(header: list[str], rows: list[list[str]]) -> str:
    """Write a table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"
