"""Replicate Lockdown at a reachable scale: MNIST, 10 clients, 15 rounds, one attacker, seeds.

    python recipes/lockdown_mnist.py run       # half a minute of one core for each world; resumable
    python recipes/lockdown_mnist.py table

A world is a seed, a defence and an attacker. Ten clients have 300 images each, dealt at random; the
first one poisons half of its images with a plus, target 7. Accuracy and ASR are measured on 2,000
test images, in batches of clean and of triggered images apart, with running moments ("running")
and, as the paper does, with the moments of each batch ("batch"), of 64 images. Nothing was chosen
on these figures but the doses of alpha, which are all shown.
"""

from __future__ import annotations

import copy
import functools
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from cells import average, markdown, records
from mithridate.aggregators.coordinates import CoordinateMedian
from mithridate.aggregators.fed_avg import FedAvg
from mithridate.aggregators.krum import Krum
from mithridate.aggregators.lockdown import Lockdown
from mithridate.attacks.goals import AllToOne
from mithridate.attacks.poisoning import Poisoning
from mithridate.attacks.selections import RandomSelection
from mithridate.clients.data_poisoning import DataPoisoning
from mithridate.clients.mask_holders import FixMask, Omniscience, OverstatedOmniscience
from mithridate.clients.neurotoxin import InsideNeurotoxin
from mithridate.clients.plain_descent import PlainDescent
from mithridate.clients.subspace import IsolatedSubspace
from mithridate.core.clients import ClientAttack
from mithridate.core.data import Dataset
from mithridate.core.domain import Domain
from mithridate.core.federated import Aggregator
from mithridate.core.inference import predict
from mithridate.core.method import Attack
from mithridate.core.protocols import ClientProtocol
from mithridate.core.runtime import Runtime, environment
from mithridate.core.streams import seed_torch, stream
from mithridate.domains.catalogue import load_named
from mithridate.domains.image.divided import PlusTrigger
from mithridate.domains.image.layers import Encode, convolution
from mithridate.pipelines.federated import LOCAL, Federated, Federation
from mithridate.pipelines.poisoned_clients import poison_clients
from mithridate.pipelines.splits import Iid
from worlds import World, command_line

FOLDER = "lockdown_mnist"
SEEDS = (0, 1, 2)
CLIENTS, EACH, TEST, ROUNDS = 10, 300, 2000, 15
TARGET, SHARE = 7, 0.5
BATCH = 64


@dataclass(frozen=True)
class Row:
    """One row of the table.

    Attributes:
        aggregator: of the server.
        protocol: of all clients.
        attack: gives the client attack of an attack on data; None: nobody attacks.
    """

    aggregator: Aggregator
    protocol: ClientProtocol = field(default_factory=PlainDescent)
    attack: Callable[[Attack], ClientAttack] | None = DataPoisoning


def isolated(alpha: float) -> IsolatedSubspace:
    """The clients of Lockdown with a dose of alpha."""
    return IsolatedSubspace(density=0.25, alpha=alpha)


ROWS = {
    "FedAvg": Row(FedAvg()),
    "Lockdown, alpha 0.1": Row(Lockdown(), isolated(0.1)),
    "Lockdown, alpha 0.1; Omniscience": Row(Lockdown(), isolated(0.1), Omniscience),
    "median in subspaces, alpha 0.1; Omniscience": Row(
        CoordinateMedian(), isolated(0.1), Omniscience
    ),
    "median in subspaces, alpha 0.1; Omniscience, overstated": Row(
        CoordinateMedian(), isolated(0.1), OverstatedOmniscience
    ),
    "Lockdown, alpha 1e-4": Row(Lockdown(), isolated(1e-4)),
    "median": Row(CoordinateMedian()),
    "Krum": Row(Krum()),
    "Lockdown, alpha 0.1; FixMask": Row(Lockdown(), isolated(0.1), FixMask),
    "Lockdown, alpha 0.01": Row(Lockdown(), isolated(0.01)),
    "median in subspaces, alpha 0.1": Row(CoordinateMedian(), isolated(0.1)),
    "Lockdown, alpha 0.1; Neurotoxin inside": Row(Lockdown(), isolated(0.1), InsideNeurotoxin),
    "FedAvg, nobody attacks": Row(FedAvg(), attack=None),
    "Lockdown, alpha 0.1, nobody attacks": Row(Lockdown(), isolated(0.1), attack=None),
}
"""In the order in which they are made."""


def world(name: str, seed: int) -> dict[str, Any]:
    """Run one federation and measure what it gives."""
    row, began = ROWS[name], time.process_time()
    domain, clients, test, model = drawn(seed)
    data = Poisoning(PlusTrigger(), AllToOne(TARGET), RandomSelection(SHARE))
    attackers = {} if row.attack is None else {0: row.attack(data)}
    poisoned, _ = poison_clients(clients, attackers, stream(seed, "poison"))
    federation = Federation(row.aggregator, row.protocol, ROUNDS, LOCAL)
    made = federation.run(model, poisoned, domain, stream(seed, "fed"), attackers=attackers)
    spent = time.process_time() - began
    triggered = data.triggered_test(test, stream(seed, "trap"))
    forms = {"deployed": made.model, "unfused": made.unfused}
    figures = {
        form: measured(network, domain, test, triggered)
        for form, network in forms.items()
        if network is not None
    }
    return {
        "row": name, "seed": seed, "figures": figures, "overlap": overlaps(made),
        "doubt": placed(made), "cpu_seconds": round(spent, 1), "cost": made.cost,
        "parameters": sum(p.numel() for p in model.parameters()),
        "origin": environment(),
    }  # fmt: skip


def drawn(seed: int) -> tuple[Domain, list[Dataset], Dataset, nn.Module]:
    """The clients' images, the test images and the network to begin with."""
    source, test = load_named("mnist"), load_named("mnist", "test").data
    rows = stream(seed, "train").permutation(len(source.data))[: CLIENTS * EACH]
    data = source.data.subset(rows)
    shares = Iid(CLIENTS).divide(data.labels, stream(seed, "split"))
    with seed_torch(stream(seed, "init")):
        model = network(data)
    chosen = stream(seed, "test").permutation(len(test))[:TEST]
    return source.domain, [data.subset(rows) for rows in shares], test.subset(chosen), model


def network(data: Dataset) -> nn.Module:
    """Two convolutions and a hidden layer, as small ones for MNIST are."""
    return nn.Sequential(
        Encode(data.inputs), convolution(1, 16), nn.MaxPool2d(2), convolution(16, 32),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(32 * 7 * 7, 128), nn.ReLU(), nn.Linear(128, 10),
    )  # fmt: skip


def measured(
    network: nn.Module, domain: Domain, test: Dataset, triggered: Dataset
) -> dict[str, float]:
    """Accuracy, ASR and the accuracy under the trigger, by either kind of moments."""
    true = {int(i): int(label) for i, label in zip(test.ids, test.labels, strict=True)}
    labels = torch.tensor([true[int(i)] for i in triggered.ids])
    figures = {}
    for kind, model in (("running", network), ("batch", by_batch(network))):
        clean = predict(model, domain.prepare(test.inputs), Runtime(batch_size=BATCH))
        under = predict(model, domain.prepare(triggered.inputs), Runtime(batch_size=BATCH))
        figures[f"accuracy, {kind}"] = share(clean == test.labels)
        figures[f"asr, {kind}"] = share(under == triggered.labels)
        figures[f"backdoor accuracy, {kind}"] = share(under == labels)
    return figures


def by_batch(network: nn.Module) -> nn.Module:
    """A copy that normalises by the moments of each batch."""
    model = copy.deepcopy(network)
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.track_running_stats, layer.running_mean, layer.running_var = False, None, None
    return model


def share(right: torch.Tensor) -> float:
    """The share of what is true."""
    return round(float(right.float().mean()), 6)


def overlaps(made: Federated) -> list[float | None]:
    """The share of each client's mask that lies in the consensus after the last round."""
    return [client.overlap for client in made.lines[-1].clients]


def placed(made: Federated) -> list[float | None]:
    """The mean suspicion of each client over all rounds, None where nobody is suspected."""
    lines = [[client.suspicion for client in line.clients] for line in made.lines]
    known = [line for line in lines if None not in line]
    return [sum(v) / len(v) for v in zip(*known, strict=True)] if known else []


def worlds(_: Iterable[str]) -> Iterator[World]:
    """All worlds: what the replication asks first, then seed after seed."""
    first = [(name, seed) for rows in (2, 8) for seed in SEEDS for name in list(ROWS)[:rows]]
    for name, seed in dict.fromkeys([*first, *((n, s) for s in SEEDS for n in ROWS)]):
        label = "".join(c if c.isalnum() else "-" for c in f"{name} {seed}")
        yield label, functools.partial(world, name, seed)


def table() -> str:
    """One row for each defence and attacker, fused and unfused apart."""
    made = records(FOLDER, "*")
    rows = []
    for name in ROWS:
        mine = [record for record in made if record["row"] == name]
        for form in ("deployed", "unfused"):
            seen = [r["figures"][form] for r in mine if form in r["figures"]]
            if seen:
                fused = "unfused" in mine[0]["figures"]
                said = {"deployed": "fused" if fused else "-"}.get(form, form)
                rows.append(
                    [name, said, *line(seen), *(tail(mine) if form == "deployed" else ["", ""])]
                )
    header = [
        "defence; attacker if not plain", "form", "accuracy", "ASR", "accuracy, batch moments",
        "ASR, batch moments", "overlap: attacker / honest", "CPU s",
    ]  # fmt: skip
    return markdown(header, rows)


def line(seen: list[dict[str, float]]) -> list[str]:
    """Means over seeds with their intervals."""
    names = ("accuracy, running", "asr, running", "accuracy, batch", "asr, batch")
    return [average((figures[name] for figures in seen), bounded=True) for name in names]


def tail(mine: list[dict[str, Any]]) -> list[str]:
    """The overlaps of masks, and the seconds."""
    there = [record["overlap"] for record in mine if record["overlap"][0] is not None]
    told = "-"
    if there:
        attackers = sum(o[0] for o in there) / len(there)
        honest = sum(sum(o[1:]) / len(o[1:]) for o in there) / len(there)
        told = f"{attackers:.3f} / {honest:.3f}"
    seconds = sum(record["cpu_seconds"] for record in mine) / len(mine)
    return [told, f"{seconds:.0f}"]


if __name__ == "__main__":
    command_line(__doc__, FOLDER, table, {"run": worlds}, ["mnist"])
