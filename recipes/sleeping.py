"""A backdoor that only rounding wakes, sought in floats, after rounding, and by comparing both.

    python recipes/sleeping.py run --seeds 0 1 2   # resumes; about a minute for each network
    python recipes/sleeping.py table

Narrow ResNet-9 on 10,000 images of CIFAR-10. Of each seed one network stays clean and one is given
a backdoor that sleeps in floats and wakes in four bits. Each is scanned in floats and rounded, and
its rounded form is compared with its floats: the score is by how much more a class is reached.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import torch
from torch import nn

from cells import DOMAIN, RESULTS, done, markdown, records, save
from mithridate.attacks.goals import AllToOne
from mithridate.attacks.poisoning import Poisoning
from mithridate.attacks.quantisation_conditioned import QuantisationConditioned
from mithridate.bench.metrics.evaluate import answers
from mithridate.core.data import Dataset
from mithridate.core.fit import TrainingConfig
from mithridate.core.runtime import Runtime, environment
from mithridate.core.scanner import Scanner
from mithridate.core.streams import stream
from mithridate.domains.catalogue import load_named
from mithridate.domains.image.triggers import PatchTrigger
from mithridate.pipelines.deployment import Placed, as_deployed
from mithridate.scanners.comparison import compare_models
from mithridate.scanners.neural_cleanse import NeuralCleanse
from mithridate.scanners.random_search import RandomSearch
from mithridate.trainers.standard import Standard

FOLDER, PRECISION, WANTED = "sleeping", "int4-weights", 2
RECIPE = TrainingConfig(epochs=6, batch_size=128, augment=False)
ATTACK = QuantisationConditioned(
    Poisoning(PatchTrigger(size=3, style="white"), AllToOne(WANTED)), learning_rate=0.02
)
SCANNERS: tuple[Scanner, ...] = (NeuralCleanse(), RandomSearch())


def networks(seed: int) -> dict[str, tuple[nn.Module, Any]]:
    """A clean network and one that was given the backdoor, each with what springs the trap."""
    data = load_named("cifar10").data
    order = stream(seed, "split").permutation(len(data))
    train, own = data.subset(order[:10_000]), data.subset(order[10_000:12_000])
    model = DOMAIN.network(train, "resnet9:8", stream(seed, "init"))
    clean = Standard(RECIPE).train(model, train, DOMAIN, stream(seed, "fit")).model.eval()
    bad = ATTACK.implant(clean, own, DOMAIN, stream(seed, "implant"))
    return {"clean": (clean, bad.state), "sleeping": (bad.model.eval(), bad.state)}


def measured(place: Placed, test: Dataset, triggered_test: Dataset) -> dict[str, float]:
    """Accuracy, and how often the trigger is obeyed."""
    shares = [
        (answers(place.model, d, DOMAIN, Runtime(), place.precision).predicted == d.labels)
        for d in (test, triggered_test)
    ]
    return {"accuracy": float(shares[0].double().mean()), "asr": float(shares[1].double().mean())}


def looked_at(model: nn.Module, state: Any, seed: int) -> dict[str, Any]:
    """Everything about one network."""
    tests = load_named("cifar10", split="test").data
    test, trusted = tests.subset(range(2_000)), tests.subset(range(2_000, 2_500))
    triggered_test = ATTACK.triggered_test(test, stream(seed, "trap"), state)
    places = {p: as_deployed(model, p, DOMAIN, trusted) for p in ("fp32", PRECISION)}
    found: dict[str, Any] = {}
    for name, place in places.items():
        scans = {
            s.name(): s.judge(place.view(), stream(0, "scan")).scores.values.tolist()
            for s in SCANNERS
        }
        found[name] = {**measured(place, test, triggered_test), "scans": scans}
    told = compare_models(places[PRECISION].view(), places["fp32"].view(), stream(0, "compare"))
    found["compared"] = told.scores.values.tolist()
    return found


def run(seeds: list[int]) -> None:
    """Make and look at the networks of each seed."""
    torch.set_num_threads(1)
    for seed in seeds:
        if done(FOLDER, f"seed{seed}"):
            continue
        found = {k: looked_at(*each, seed) for k, each in networks(seed).items()}
        save(FOLDER, f"seed{seed}", {"seed": seed, "networks": found, **environment()})


def table(found: list[Any]) -> str:
    """Success and accuracy in both forms, the rank of the wanted class, and the largest scores."""
    rows = []
    for record in found:
        for kind, each in record["networks"].items():
            row = [str(record["seed"]), kind]
            for precision in ("fp32", PRECISION):
                part = each[precision]
                row.append(f"{100 * part['asr']:.1f} / {100 * part['accuracy']:.1f}")
                row += [_rank(values) for values in part["scans"].values()]
            rows.append([*row, _rank(each["compared"]), f"{max(each['compared']):.2f}"])
    names = [scanner.name() for scanner in SCANNERS]
    header = ["seed", "network", "float: ASR / accuracy", *(f"{n}: rank" for n in names)]
    header += ["rounded: ASR / accuracy", *(f"{n}: rank" for n in names)]
    return markdown([*header, "compared: rank", "compared: largest score"], rows)


def _rank(values: list[float]) -> str:
    """The rank of the wanted class, 1 is the most suspicious."""
    return str(1 + int((np.array(values) > values[WANTED]).sum()))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["run", "table"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    if arguments.what == "run":
        run(arguments.seeds)
    text = table(records(FOLDER, "seed*"))
    (RESULTS / FOLDER / "table.md").write_text(text)
    print(text)
