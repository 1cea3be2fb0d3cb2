"""Measure how well aggregators name the attackers among clients, over many small federations.

    python recipes/naming_attackers.py run       # seconds of one core for each world; resumable
    python recipes/naming_attackers.py table

A world is a seed and an aggregator with its defaults: ten clients of the digits, dealt at random, a
network with one hidden layer, five rounds. Seeds 100 to 114 are clean; of seeds 115 to 129 one, two
or three clients plant a backdoor in half of their digits. A client is doubted by how much its
suspicion stands out in its rounds (`excesses`). The threshold of an aggregator is the doubt that
5 % of the clients of its clean federations exceed; what it names in the others is judged with it.
No threshold was seen by the federations that it is judged on. That clients are doubted by how much
they stand out, and not by their mean rank, was chosen on seeds 0 to 29, which are in no record.
"""

from __future__ import annotations

import functools
import itertools
import statistics
import time
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import nn

from cells import markdown, records
from mithridate.attacks.goals import AllToOne
from mithridate.attacks.poisoning import Poisoning
from mithridate.attacks.selections import RandomSelection
from mithridate.clients.data_poisoning import DataPoisoning
from mithridate.clients.plain_descent import PlainDescent
from mithridate.clients.subspace import IsolatedSubspace
from mithridate.core.data import Dataset
from mithridate.core.federated import Aggregator
from mithridate.core.fit import TrainingConfig
from mithridate.core.inference import correct
from mithridate.core.protocols import ClientProtocol
from mithridate.core.registry import find
from mithridate.core.streams import seed_torch, stream
from mithridate.domains.catalogue import load_named
from mithridate.domains.image.layers import Encode
from mithridate.domains.image.triggers import PatchTrigger
from mithridate.pipelines.federated import Federation
from mithridate.pipelines.federation_lines import excesses
from mithridate.pipelines.poisoned_clients import poison_clients
from mithridate.pipelines.splits import Iid
from mithridate.stats.intervals import proportion
from worlds import World, command_line

FOLDER = "naming_attackers"
FIRST, CLEAN, CLIENTS, ROUNDS, ROOT = 100, 15, 10, 5, 100
FALSE = 0.05
TRAINING = TrainingConfig(
    epochs=2, batch_size=32, learning_rate=0.1, momentum=0.0, weight_decay=1e-4, augment=False,
    precision="fp32", schedule="flat",
)  # fmt: skip
ATTACK = Poisoning(
    PatchTrigger(size=2, row=-2, column=-2, style="white"), AllToOne(7), RandomSelection(0.5)
)


def network(data: Dataset) -> nn.Module:
    """One hidden layer."""
    return nn.Sequential(
        Encode(data.inputs), nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)
    )


def world(name: str, seed: int) -> dict[str, Any]:
    """One federation: the doubt of each client, who attacked, and what came out."""
    source, test = load_named("digits"), load_named("digits", "test").data
    data = source.data
    rows = Iid(CLIENTS).divide(data.labels, stream(seed, "split"))
    count = 0 if seed < FIRST + CLEAN else 1 + seed % 3
    chosen = stream(seed, "attackers").permutation(CLIENTS)[:count]
    attackers = {int(client): DataPoisoning(ATTACK) for client in chosen}
    clients = [data.subset(each) for each in rows]
    poisoned, _ = poison_clients(clients, attackers, stream(seed, "poison"))
    aggregator = find(Aggregator)[name]()
    protocol: ClientProtocol = PlainDescent()
    if "masks" in aggregator.needs:
        protocol = IsolatedSubspace(alpha=0.1)
    with seed_torch(stream(seed, "init")):
        model = network(data)
    order = stream(seed, "root").permutation(len(test))
    began = time.process_time()
    made = Federation(aggregator, protocol, ROUNDS, TRAINING).run(
        model, poisoned, source.domain, stream(seed, "rounds"), attackers=attackers,
        root=test.subset(order[:ROOT]),
    )  # fmt: skip
    judged = test.subset(order[ROOT:])
    triggered = ATTACK.triggered_test(judged, stream(seed, "trap"))
    return {
        "aggregator": name, "seed": seed, "attackers": sorted(attackers),
        "doubts": {str(client): doubt for client, doubt in excesses(made.lines).items()},
        "accuracy": float(correct(made.model, judged, source.domain).float().mean()),
        "asr": float(correct(made.model, triggered, source.domain).float().mean()),
        "cpu_seconds": round(time.process_time() - began, 2),
    }  # fmt: skip


def worlds(_: Iterable[str]) -> Iterator[World]:
    """Every aggregator, seed after seed."""
    torch.set_num_threads(1)
    for clean in range(FIRST, FIRST + CLEAN):
        for seed, name in itertools.product((clean, clean + CLEAN), find(Aggregator)):
            yield f"{name}-{seed:02}", functools.partial(world, name, seed)


def table() -> str:
    """One row for each aggregator that ranks clients, and one for those that do not."""
    made = records(FOLDER, "*")
    rows = []
    for name in sorted({record["aggregator"] for record in made}):
        mine = [record for record in made if record["aggregator"] == name]
        clean = [r for r in mine if not r["attackers"]]
        attacked = [r for r in mine if r["attackers"]]
        quality = [
            f"{100 * statistics.mean(r[k] for r in attacked):.1f}" for k in ("accuracy", "asr")
        ]
        rows.append([name, f"{len(clean)} + {len(attacked)}", *quality, *named(clean, attacked)])
    header = [
        "aggregator", "federations, clean + attacked", "accuracy", "ASR", "attacker above honest",
        "recall at 5 % false alarms", "precision", "false alarms among the honest of attacked ones",
    ]  # fmt: skip
    return markdown(header, rows)


def named(clean: list[dict[str, Any]], attacked: list[dict[str, Any]]) -> list[str]:
    """How attackers rank, and what a threshold from clean federations names."""
    null = sorted(doubt for record in clean for doubt in record["doubts"].values())
    liars: list[float] = []
    honest: list[float] = []
    pairs: list[float] = []
    for record in attacked:
        mine = {int(client): doubt for client, doubt in record["doubts"].items()}
        own = [mine[c] for c in record["attackers"] if c in mine]
        others = [doubt for client, doubt in mine.items() if client not in record["attackers"]]
        pairs += [(a > b) + (a == b) / 2 for a in own for b in others]
        liars, honest = liars + own, honest + others
    if not null or not liars:
        return ["ranks nobody", "-", "-", "-"]
    cut = null[min(len(null) - 1, round((1 - FALSE) * len(null)))]
    hits, alarms = sum(d > cut for d in liars), sum(d > cut for d in honest)
    precision = f"{100 * hits / (hits + alarms):.0f}" if hits + alarms else "names nobody"
    return [f"{100 * statistics.mean(pairs):.0f}", share(hits, len(liars)), precision,
            share(alarms, len(honest))]  # fmt: skip


def share(part: int, whole: int) -> str:
    """A share with its interval, in percent."""
    value, low, high, _ = proportion(part, whole)
    return f"{100 * value:.0f} [{100 * low:.0f}, {100 * high:.0f}]"


if __name__ == "__main__":
    command_line(__doc__, FOLDER, table, {"run": worlds}, ["digits"])
