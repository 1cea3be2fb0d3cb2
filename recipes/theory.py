"""Make a natural feature exactly as strong as a trigger, and ask every detector which is which.

    python recipes/theory.py run      # five seconds of one core a world; resumable
    python recipes/theory.py table

A world is a seed. Of the digits of scikit-learn 160 that are not zeros are called zeros; 80 carry a
white patch in the lower right corner and 80 its mirror image in the lower left one. A coin says
which patch an attacker put there; the other one is what zeros of this world look like, by
definition. The table gives the AUROC of the attacker's examples against the natural ones. By
symmetry it is one half for whatever looks at the data alone, and every departure is chance; it is
also asked how well each detector tells both groups from the rest of the class, which is what it can
do.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import torch
from sklearn.datasets import load_digits

from cells import markdown, records
from mithridate.core.data import dataset
from mithridate.core.fit import TrainingConfig, fit
from mithridate.core.method import Detector
from mithridate.core.runtime import environment
from mithridate.core.streams import stream
from mithridate.core.view import View
from mithridate.detectors.activation_clustering import ActivationClustering
from mithridate.detectors.controls import GradientNorm
from mithridate.detectors.early_loss import EarlyLoss
from mithridate.detectors.nearest_neighbours import NearestNeighbours
from mithridate.detectors.spectral_signatures import SpectralSignatures
from mithridate.detectors.spectre import Spectre
from mithridate.detectors.strongest_feature import StrongestFeature
from mithridate.stats.intervals import mean
from mithridate.stats.ranking import auroc
from strongest import PlainImages
from worlds import World, command_line

FOLDER = "theory"
SEEDS, CARRIERS = 40, 80
ASKED: tuple[Detector, ...] = (
    SpectralSignatures(), ActivationClustering(), Spectre(), NearestNeighbours(), EarlyLoss(),
    GradientNorm(), StrongestFeature(trainings=12, epochs=6, network="mlp"),
)  # fmt: skip


def world(seed: int) -> dict[str, Any]:
    """Make one world and ask everybody."""
    read, rng = load_digits(), stream(seed, "theory")
    inputs = torch.from_numpy(read.images * 15.9375).byte()[:, None]
    labels = torch.from_numpy(read.target).long()
    others = (labels != 0).nonzero().flatten()
    chosen = others[torch.from_numpy(rng.permutation(len(others))[: 2 * CARRIERS])]
    groups = chosen[:CARRIERS], chosen[CARRIERS:]
    inputs[groups[0], :, -3:, -3:], inputs[groups[1], :, -3:, :3] = 255, 255
    labels[chosen] = 0
    attackers = int(rng.integers(2))
    data, domain = dataset(inputs, labels), PlainImages(crop=0.0)
    model = domain.network(data, "mlp", stream(seed, "init"))
    config = TrainingConfig(epochs=8, batch_size=64)
    losses = fit(model, data, domain, config, stream(seed, "fit")).losses
    view = View(data, domain=domain, model=model, losses=losses)
    planted, both = groups[attackers], torch.zeros(len(labels), dtype=torch.bool)
    both[chosen] = True
    is_planted, inside = torch.isin(chosen, planted), labels == 0
    said = {}
    for detector in ASKED:
        scores = detector.judge(view).values
        said[detector.name()] = [
            auroc(scores[chosen], is_planted), auroc(scores[inside], both[inside])
        ]  # fmt: skip
    return {"seed": seed, "said": said, "environment": environment()}


def worlds(_: list[str]) -> Iterator[World]:
    """All seeds."""
    for seed in range(SEEDS):
        yield f"seed{seed}", functools.partial(world, seed)


def table() -> str:
    """Means over worlds with their 95 % intervals."""
    seen, rows = records(FOLDER, "seed*"), []
    for detector in ASKED:
        cells = []
        for which in (0, 1):
            value, low, high, _ = mean([r["said"][detector.name()][which] for r in seen])
            cells.append(f"{value:.2f} [{low:.2f}, {high:.2f}]")
        rows.append([detector.name(), *cells])
    header = [f"{len(seen)} worlds", "AUROC, attacker's against natural", "both against the rest"]
    return markdown(header, rows)


if __name__ == "__main__":
    command_line(__doc__, FOLDER, table, {"run": worlds}, ["digits"])
