"""Measure how well aggregators name attackers among clients: 30 federations each, of digits.

    python recipes/naming_clients.py run      # about five minutes of one core; resumable
    python recipes/naming_clients.py table

Twenty clients have shares of the digits of scikit-learn that are uneven in their classes
(Dirichlet, alpha 0.5). They train a network of one hidden layer in ten rounds. For each aggregator
ten federations are clean; in ten four clients poison half of their images with a white square and
the label 7; in ten they scale what they learnt of it by five, too. The threshold at which 5 % of
clients are named comes from the clean ones alone. Nothing was chosen on these figures.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import nn

from cells import average, markdown, records
from mithridate.aggregators.bulyan import Bulyan
from mithridate.aggregators.deepsight import DeepSight
from mithridate.aggregators.fed_avg import FedAvg
from mithridate.aggregators.flame import Flame
from mithridate.aggregators.fldetector import FLDetector
from mithridate.aggregators.fltrust import FLTrust
from mithridate.aggregators.fools_gold import FoolsGold
from mithridate.aggregators.krum import Krum, MultiKrum
from mithridate.aggregators.lockdown import Lockdown
from mithridate.aggregators.norm_clipping import NormClipping
from mithridate.aggregators.rfa import RobustFederatedAggregation
from mithridate.attacks.goals import AllToOne
from mithridate.attacks.poisoning import Poisoning
from mithridate.attacks.selections import RandomSelection
from mithridate.bench.metrics.naming_clients import JudgedFederation, naming, naming_at
from mithridate.clients.data_poisoning import DataPoisoning
from mithridate.clients.model_replacement import ModelReplacement
from mithridate.clients.plain_descent import PlainDescent
from mithridate.clients.subspace import IsolatedSubspace
from mithridate.core.data import Dataset
from mithridate.core.federated import Aggregated, Aggregator
from mithridate.core.fit import TrainingConfig
from mithridate.core.inference import accuracy
from mithridate.core.protocols import ClientProtocol
from mithridate.core.runtime import environment
from mithridate.core.scores import Scores
from mithridate.core.streams import seed_torch, stream
from mithridate.domains.catalogue import load_named
from mithridate.domains.image.layers import Encode
from mithridate.domains.image.triggers import PatchTrigger
from mithridate.pipelines.federated import Federation
from mithridate.pipelines.federation_lines import RoundLine
from mithridate.pipelines.poisoned_clients import poison_clients
from mithridate.pipelines.splits import Dirichlet
from mithridate.stats.client_standings import JudgedRound, Standings, standings
from mithridate.stats.intervals import Interval
from worlds import World, command_line

FOLDER = "naming_clients"
CLIENTS, ATTACKERS, ROUNDS, SEEDS, ROOT = 20, 4, 10, 10, 100
TRAINING = TrainingConfig(
    epochs=1, batch_size=16, learning_rate=0.1, momentum=0.0, augment=False, precision="fp32",
    schedule="flat",
)  # fmt: skip
POISON = Poisoning(PatchTrigger(size=2, style="white"), AllToOne(7), RandomSelection(0.5))
KINDS = {
    "clean": None, "poisoned data": DataPoisoning(POISON), "scaled": ModelReplacement(POISON, 5.0),
}  # fmt: skip
RULES: dict[str, tuple[Aggregator, ClientProtocol]] = {
    "FedAvg": (FedAvg(), PlainDescent()),
    "Multi-Krum": (MultiKrum(), PlainDescent()),
    "FLTrust": (FLTrust(), PlainDescent()),
    "FLAME": (Flame(), PlainDescent()),
    "FoolsGold": (FoolsGold(), PlainDescent()),
    "DeepSight": (DeepSight(), PlainDescent()),
    "FLDetector, window 4": (FLDetector(window=4), PlainDescent()),
    "RFA": (RobustFederatedAggregation(), PlainDescent()),
    "Lockdown, alpha 0.1": (Lockdown(), IsolatedSubspace(density=0.25, alpha=0.1)),
    "norm clipping": (NormClipping(), PlainDescent()),
    "Krum": (Krum(), PlainDescent()),
    "Bulyan": (Bulyan(), PlainDescent()),
}
"""In the order in which they are made."""


def world(name: str) -> dict[str, Any]:
    """Run the federations of one aggregator."""
    began = time.process_time()
    made = [one(name, kind, seed) for kind in KINDS for seed in range(SEEDS)]
    spent = round(time.process_time() - began, 1)
    return {"rule": name, "federations": made, "cpu_seconds": spent, "origin": environment()}


def one(name: str, kind: str, seed: int) -> dict[str, Any]:
    """Run one federation, of clients of its own."""
    data, test = load_named("digits"), load_named("digits", "test").data
    attack = KINDS[kind]
    shares = Dirichlet(CLIENTS, alpha=0.5).divide(data.data.labels, stream(seed, "split", kind))
    clients = [data.data.subset(rows) for rows in shares]
    attackers = dict.fromkeys(range(ATTACKERS), attack) if attack is not None else {}
    poisoned, _ = poison_clients(clients, attackers, stream(seed, "poison"))
    with seed_torch(stream(seed, "init")):
        model = network(data.data)
    rule, protocol = RULES[name]
    federation = Federation(rule, protocol, ROUNDS, TRAINING)
    made = federation.run(
        model, poisoned, data.domain, stream(seed, "fed"), attackers=attackers,
        root=test.subset(torch.arange(ROOT)),
    )  # fmt: skip
    rest = test.subset(torch.arange(ROOT, len(test)))
    trap = POISON.triggered_test(rest, stream(seed, "trap"))
    after = standings([judged(line) for line in made.lines if not line.void])
    return {
        "kind": kind, "seed": seed, "attackers": sorted(attackers),
        "accuracy": accuracy_of(made.model, rest, data.domain),
        "asr": accuracy_of(made.model, trap, data.domain),
        "standings": None if after is None else {
            "ids": after.ids.tolist(), "scores": after.scores.values.tolist(),
            "left_out": [None if x != x else x for x in after.left_out.tolist()],
            "rounds": after.rounds.tolist(),
        },
    }  # fmt: skip


def network(data: Dataset) -> nn.Module:
    """One hidden layer."""
    return nn.Sequential(
        Encode(data.inputs), nn.Flatten(), nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 10)
    )


def accuracy_of(model: nn.Module, data: Dataset, domain: Any) -> float:
    """The share of examples that are called by their label."""
    return round(accuracy(model, data, domain), 6)


def judged(line: RoundLine) -> JudgedRound:
    """A round as it is judged, without those who were refused at the door."""
    there = [client for client in line.clients if not client.refused]
    trust = [client.trust for client in there]
    doubt = [client.suspicion for client in there]
    answer = Aggregated(
        torch.zeros(1), {}, None if None in trust else torch.tensor(trust),
        None if None in doubt else torch.tensor(doubt, dtype=torch.float64),
    )  # fmt: skip
    return JudgedRound(torch.tensor([client.client for client in there]), answer)


def worlds(_: Iterable[str]) -> Iterator[World]:
    """One for each aggregator."""
    for name in RULES:
        label = "".join(c if c.isalnum() else "-" for c in name)
        yield label, functools.partial(world, name)


def table() -> str:
    """Two rows for each aggregator, one for each kind of attack."""
    rows = []
    for record in sorted(records(FOLDER, "*"), key=lambda r: [*RULES].index(r["rule"])):
        for kind in list(KINDS)[1:]:
            mine = [f for f in record["federations"] if f["kind"] == kind]
            clean = [f for f in record["federations"] if f["kind"] == "clean"]
            rows.append([record["rule"], kind, *line(mine, clean)])
    header = [
        "aggregator", "attack", "accuracy", "ASR", "AUROC of the ranking",
        "at 5 %: recall", "precision", "false alarms", "left out itself: recall", "precision",
        "false alarms", "false alarms, clean",
    ]  # fmt: skip
    return markdown(header, rows)


def line(mine: Sequence[dict[str, Any]], clean: Sequence[dict[str, Any]]) -> list[str]:
    """The figures of one kind of attack."""
    level = [average((f[name] for f in mine), bounded=True) for name in ("accuracy", "asr")]
    if mine[0]["standings"] is None:
        return [*level, *["-"] * 8]
    attacked, calm = [read(f) for f in mine], [read(f) for f in clean]
    one_by_one = [naming(federation) for federation in attacked]
    auroc = average((m["naming_auroc"].value for m in one_by_one), bounded=True)
    at = naming_at([*calm, *attacked])
    names = ("naming_recall", "naming_precision", "naming_false_alarms")
    own = ["-"] * 4
    if "naming_recall" in one_by_one[0]:
        own = [mean_of(one_by_one, name) for name in names]
        own.append(mean_of([naming(federation) for federation in calm], names[2]))
    return [*level, auroc, *(share(at[name]) for name in names), *own]


def mean_of(metrics: Sequence[dict[str, Interval]], name: str) -> str:
    """The mean over federations, without its interval; those without an answer do not count."""
    known = [m[name].value for m in metrics if m[name].value == m[name].value]
    return f"{100 * sum(known) / len(known):.1f}" if known else "nobody"


def share(value: Interval) -> str:
    """A share of clients with its interval."""
    if value.n == 0:
        return "nobody"
    return f"{100 * value.value:.1f} [{100 * value.low:.1f}, {100 * value.high:.1f}]"


def read(record: dict[str, Any]) -> JudgedFederation:
    """A federation as its record has it."""
    kept = record["standings"]
    left_out = [float("nan") if x is None else x for x in kept["left_out"]]
    after = Standings(
        torch.tensor(kept["ids"]), Scores(torch.tensor(kept["scores"]).double(), "client"),
        torch.tensor(left_out).double(), torch.tensor(kept["rounds"]),
    )  # fmt: skip
    return JudgedFederation(after, torch.tensor(record["attackers"], dtype=torch.int64))


if __name__ == "__main__":
    command_line(__doc__, FOLDER, table, {"run": worlds}, ["digits"])
