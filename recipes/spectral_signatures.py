"""Spectral Signatures replicated: eight source-target pairs of CIFAR-10, 250 and 500 poisons.

    python recipes/spectral_signatures.py run --seeds 0 1      # minutes for each cell, resumable
    python recipes/spectral_signatures.py table                # the table from the records

A cell trains on the poisoned set, drops the 1.5 * eps highest scores of every class (the paper's
algorithm; eps is the number of poisons, which the paper grants as an upper bound), and trains again
from scratch for the same number of steps. The trigger family is the paper's: a pixel, an L or an X
of one random colour at a random place. The network and the training are much shorter than the
paper's, so compare differences, not levels.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from mithridate.domains.catalogue import named

from mithridate.attacks.goals import SourceSpecific
from mithridate.attacks.poisoning import Poisoning
from mithridate.attacks.selections import RandomSelection
from mithridate.bench.evaluate import accuracy, attack_success, detection
from mithridate.core.data import Dataset
from mithridate.core.runtime import environment
from mithridate.core.streams import stream
from mithridate.core.view import View
from mithridate.detectors.spectral_signatures import SpectralSignatures
from mithridate.domains.image.domain import ImageDomain
from mithridate.domains.image.triggers import PIXELS, PixelTrigger
from mithridate.trainers.fit import Recipe
from mithridate.trainers.standard import Standard

PAIRS = ((0, 2), (1, 3), (3, 5), (7, 4), (2, 5), (8, 6), (9, 2), (3, 7))
RECORDS = Path("results/spectral_signatures")
DOMAIN = ImageDomain(flip=True)
RECIPE = Recipe(epochs=8)


def trigger(seed: int, pair: tuple[int, int]) -> PixelTrigger:
    """Draw shape, place and colour as the paper's generator does: anew for each experiment."""
    rng = stream(seed, "trigger", *pair)
    shape = str(rng.choice(list(PIXELS)))
    height = 1 + max(down for down, _ in PIXELS[shape])
    width = 1 + max(right for _, right in PIXELS[shape])
    row, column = int(rng.integers(33 - height)), int(rng.integers(33 - width))
    red, green, blue = (int(v) for v in rng.integers(0, 256, 3))
    return PixelTrigger(shape, row, column, (red, green, blue))


def attack(seed: int, pair: tuple[int, int], poisons: int) -> Poisoning:
    """Poison images of the source class only, as the paper does."""
    return Poisoning(trigger(seed, pair), SourceSpecific(*pair), RandomSelection(float(poisons)))


def kept(
    scores: torch.Tensor, labels: torch.Tensor, dropped: int, only: int | None
) -> torch.Tensor:
    """Keep all but the highest scores of every class, or of one class alone; bool[n]."""
    keep = torch.ones(len(labels), dtype=torch.bool)
    for label in labels.unique().tolist() if only is None else [only]:
        rows = (labels == label).nonzero().flatten()
        keep[rows[scores[rows].topk(dropped).indices]] = False
    return keep


def train(data: Dataset, seed: int, place: str, steps_of: int) -> torch.nn.Module:
    """Train the default network for as many steps as 8 epochs of `steps_of` examples take."""
    epochs = round(RECIPE.epochs * steps_of / len(data))
    model = DOMAIN.network(data, "", stream(seed, place, "init"))
    trainer = Standard(replace(RECIPE, epochs=epochs))
    return trainer.train(model, data, DOMAIN, stream(seed, place, "fit")).model


def cell(pair: tuple[int, int], poisons: int, seed: int, test: Dataset, data: Dataset) -> Any:
    """Run one cell and give its record."""
    began = time.process_time()
    plan = attack(seed, pair, poisons)
    poisoned, truth = (p := plan.poison(data, stream(seed, "poison", *pair))).data, p.truth
    first = train(poisoned, seed, "first", len(data))
    view = View(poisoned, domain=DOMAIN, model=first)
    scores = SpectralSignatures().judge(view).values
    uncentred = SpectralSignatures(compat="official").judge(view).values
    keep = kept(scores, poisoned.labels, round(1.5 * poisons), None)
    second = train(poisoned.subset(keep), seed, "second", len(data))
    trap = stream(seed, "trap", *pair)
    return {
        "pair": pair,
        "poisons": poisons,
        "seed": seed,
        "trigger": plan.trigger.config(),
        "recipe": vars(RECIPE),
        "natural_before": accuracy(first, test, DOMAIN),
        "poison_before": attack_success(first, plan, test, DOMAIN, trap),
        "natural_after": accuracy(second, test, DOMAIN),
        "poison_after": attack_success(second, plan, test, DOMAIN, trap),
        "poisons_left": int((truth.poisoned & keep).sum()),
        "dropped": int((~keep).sum()),
        "detection": detection(scores, truth, poisoned.labels),
        "detection_uncentred": detection(uncentred, truth, poisoned.labels),
        "cpu_seconds": time.process_time() - began,
        "environment": environment(),
    }


def reference(seed: int, test: Dataset, data: Dataset) -> Any:
    """Train on the clean set and measure every cell's trigger on it ("Std Pois")."""
    model = train(data, seed, "first", len(data))
    pairs = {
        f"{s}-{t}": attack_success(
            model, attack(seed, (s, t), 500), test, DOMAIN, stream(seed, "trap", s, t)
        )
        for s, t in PAIRS
    }
    return {
        "seed": seed,
        "natural": accuracy(model, test, DOMAIN),
        "poison": pairs,
        "environment": environment(),
    }


def save(name: str, record: Any) -> None:
    """Write a record, whole or not at all."""
    RECORDS.mkdir(parents=True, exist_ok=True)
    temporary = RECORDS / f"{name}.writing"
    temporary.write_text(json.dumps(record, indent=1) + "\n")
    temporary.replace(RECORDS / f"{name}.json")


def run(seeds: list[int]) -> None:
    """Run the cells that have no record yet."""
    torch.set_num_threads(1)
    data, test = named("cifar10").data, named("cifar10", split="test").data
    for seed in seeds:
        if not (RECORDS / f"clean-seed{seed}.json").exists():
            save(f"clean-seed{seed}", reference(seed, test, data))
        for poisons in (500, 250):
            for pair in PAIRS:
                name = f"{pair[0]}-{pair[1]}-{poisons}-seed{seed}"
                if not (RECORDS / f"{name}.json").exists():
                    save(name, record := cell(pair, poisons, seed, test, data))
                    print(name, {k: v for k, v in record.items() if "_" in k}, flush=True)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["run", "table"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    arguments = parser.parse_args()
    if arguments.what == "run":
        run(arguments.seeds)


if __name__ == "__main__":
    main()
