"""Measure whether the power that a scan states is the power that it has.

    python recipes/power.py run        # half a minute of one core for each world; resumable
    python recipes/power.py alone      # the same for worlds that are there; resumable
    python recipes/power.py table

A world is a data set and a seed: suspects and trusted examples drawn at random, one short training.
The power is measured on the clean suspects, as a scan that finds nothing does: several backdoors at
once in each copy, with triggers drawn anew. Then attackers poison the same suspects one at a time,
each with one backdoor in a class drawn at random and the trigger of a paper, and every poisoned set
is scanned as a whole. What was stated is compared with what was found. `alone` plants what was
planted there once more, one backdoor in a copy. Nothing was chosen on these seeds.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from cells import RESULTS, done, markdown, records, save
from mithridate.attacks.goals import AllToOne
from mithridate.attacks.poisoning import Poisoning
from mithridate.attacks.selections import RandomSelection
from mithridate.core.data import Dataset
from mithridate.core.method import Trigger
from mithridate.core.runtime import environment
from mithridate.core.streams import stream
from mithridate.detectors.spectre import Spectre
from mithridate.domains.catalogue import load_named
from mithridate.domains.image.global_triggers import BlendTrigger, SinusoidTrigger
from mithridate.domains.image.triggers import PatchTrigger
from mithridate.domains.text.triggers import SentenceTrigger, WordTrigger
from mithridate.pipelines.copies_judged import Again
from mithridate.pipelines.planted import Amount, Backdoor, Power
from mithridate.pipelines.planting import Ground
from mithridate.pipelines.ready_scan import ReadyScan
from mithridate.pipelines.scan import DataScanner, default_detectors
from mithridate.report.powers import figures
from mithridate.stats.intervals import proportion
from simple_features import SyntaxTrigger

FOLDER = "power"
COPIES, ATTACKERS, PERMUTATIONS = 2, 3, 399
DETECTORS = tuple(d for d in default_detectors() if not isinstance(d, Spectre))
"""Those of a scan without the one that takes half of the time of such small worlds."""
SETS: dict[str, tuple[int, int, int, str, tuple[float, ...]]] = {
    # suspects, trusted, epochs, network, smallest backdoor asked for, by seed in turn
    "digits": (600, 400, 6, "resnet9:4", (0.04, 0.03, 0.05)),
    "sst2": (600, 400, 5, "", (0.04, 0.026)),
    "mnist": (600, 400, 6, "resnet9:4", (0.05, 0.04)),
}
TRIGGERS: dict[str, Trigger] = {
    "patch": PatchTrigger(),
    "blend": BlendTrigger(alpha=0.2),
    "wave": SinusoidTrigger(),
    "rare word": WordTrigger(),
    "phrase": SentenceTrigger(),
    "frame of function words": SyntaxTrigger(),
}
SMALL = {"patch": PatchTrigger(size=2, row=-2, column=-2)}
"""Triggers for pictures of 8x8, on which the others are too large."""
BINS = ((0.8, 1.01), (0.5, 0.8), (0.0, 0.5))


def ready(name: str, seed: int, data: Dataset, trusted: Dataset) -> ReadyScan:
    """The scan of one world."""
    _, _, epochs, network, smallest = SETS[name]
    scanner = DataScanner(
        DETECTORS,
        smallest=smallest[seed % len(smallest)],
        network=network,
        power=COPIES,
        permutations=PERMUTATIONS,
    )
    domain = load_named(name).domain
    return ReadyScan.of(scanner, data, trusted, domain, epochs=epochs, seed=seed)


def poisoned(
    data: Dataset, name: str, power: Power, seed: int, attacker: int
) -> tuple[Dataset, int, int]:
    """Poison by the trigger of a paper; gives the class and the number of examples, too."""
    rng = stream(seed, "attacker", attacker, name, power.kind, power.amount.told())
    target = int(rng.integers(len(data.classes)))
    count = power.amount.count(int((data.labels == target).sum()), len(data))
    trigger = (SMALL if name == "digits" else {}).get(power.kind, TRIGGERS[power.kind])
    attack = Poisoning(trigger, AllToOne(target), RandomSelection(float(max(1, count))))
    return attack.poison(data, rng).data, target, count


def attacked(
    name: str, seed: int, data: Dataset, trusted: Dataset, power: Power, attacker: int
) -> dict[str, Any]:
    """Scan what an attacker made of the suspects."""
    bad, target, count = poisoned(data, name, power, seed, attacker)
    job = ready(name, seed, bad, trusted)
    scan = job.scanner.scan(bad, trusted, job.domain, 1000 * (attacker + 1) + seed)
    p_values = scan.classes[target].p_values
    return {
        "kind": power.kind, "amount": power.amount.told(), "target": target, "poisons": count,
        "p_value": scan.verdict.p_value,
        "target_p": min(p_values.values(), default=1.0),
    }  # fmt: skip


def world(name: str, seed: int) -> dict[str, Any]:
    """State the power of one world, and find out what it is."""
    data, trusted = drawn(name, seed)
    job = ready(name, seed, data, trusted)
    seen = job.looked()
    began = time.process_time()
    scan = job.scanner.scan(data, trusted, job.domain, seed, seen=seen)
    scanned = time.process_time() - began
    as_clean = replace(scan, verdict=replace(scan.verdict, answer="clean", why=""))
    answer = job.powered(as_clean, seen)
    assert answer.power is not None
    measured = time.process_time() - began - scanned
    planted = [power for power in answer.power.measured if power.of]
    return {
        "set": name, "seed": seed, "answer": scan.verdict.answer, "then": answer.verdict.answer,
        "why": answer.verdict.why, "power": figures(answer.power),
        "stated": [
            {"kind": p.kind, "amount": p.amount.told(), "hits": p.hits, "of": p.of,
             "quick": p.quick} for p in planted
        ],
        "attacks": [
            [attacked(name, seed, data, trusted, power, k) for k in range(ATTACKERS)]
            for power in planted
        ],
        "scan_seconds": scanned, "power_seconds": measured, "environment": environment(),
    }  # fmt: skip


def drawn(name: str, seed: int) -> tuple[Dataset, Dataset]:
    """The suspects and the trusted examples of one world."""
    n, m, *_ = SETS[name]
    source = load_named(name)
    rows = stream(seed, "rows", name).permutation(len(source.data))[: n + m]
    return source.data.subset(rows[:n]), source.data.subset(rows[n:])


def alone(record: Any) -> dict[str, Any]:
    """Plant what was planted in a world, one backdoor in a copy, and scan each copy as a whole."""
    name, seed = record["set"], record["seed"]
    data, trusted = drawn(name, seed)
    job = ready(name, seed, data, trusted)
    ground = Ground.of(data, job.looked().who, job.domain)
    again = Again(job.scanner, trusted, job.domain, job.runtime)
    amount, trials = Amount(job.scanner.smallest, of_all=True), list[dict[str, Any]]()
    for stated in record["stated"]:
        assert stated["amount"] == amount.told(), "smaller ones cannot be seen in these worlds"
        for k in range(ATTACKERS):
            rng = stream(seed, "alone", k, name, stated["kind"])
            one = replace(ground, labels=(int(rng.choice(ground.labels)),))
            copy, (plant,) = one.planted([Backdoor(stated["kind"], amount)], rng)
            p_values = again.whole(copy, 1000 * (k + 1) + seed, None)
            trials.append({"kind": stated["kind"], "p_value": float(p_values[plant.label])})
    return {"set": name, "seed": seed, "amount": amount.told(), "trials": trials}


def run_alone() -> None:
    """Plant backdoors alone in the worlds that are there."""
    torch.set_num_threads(1)
    for record in sorted(records(FOLDER, "*-seed*"), key=lambda each: each["seed"]):
        label = f"{record['set']}-alone-{record['seed']}"
        if not done(FOLDER, label):
            save(FOLDER, label, alone(record))


def run(names: list[str], seeds: int) -> None:
    """Make the worlds that have no record yet."""
    torch.set_num_threads(1)
    for seed in range(seeds):
        for name in names:
            label = f"{name}-seed{seed}"
            if not done(FOLDER, label):
                save(FOLDER, label, world(name, seed))


def share(hits: int, n: int) -> str:
    """Write k/n with the exact interval as percentages."""
    if not n:
        return "none"
    _, low, high, _ = proportion(hits, n)
    return f"{hits}/{n} [{100 * low:.0f}, {100 * high:.0f}]"


Pair = tuple[Any, Any, Any]


def pairs() -> list[Pair]:
    """Every world, what it stated of a kind and amount, and the attack of that kind and amount."""
    return [
        (record, stated, attack)
        for record in records(FOLDER, "*-seed*")
        for stated, attacks in zip(record["stated"], record["attacks"], strict=True)
        for attack in attacks
    ]


def hit(attack: Any) -> bool:
    """Whether an attack was found in the right class."""
    return bool(attack["target_p"] <= 0.05)


def by_bin(some: list[Pair]) -> list[list[str]]:
    """One row for each bin of the stated power."""
    rows = []
    for low, high in BINS:
        own = [(s, a) for _, s, a in some if low <= s["hits"] / s["of"] < high]
        if not own:
            continue
        mean = np.mean([s["hits"] / s["of"] for s, _ in own])
        rows.append([
            f"{low:g} to {min(high, 1):g}", str(len(own)), f"{100 * mean:.0f} %",
            share(sum(hit(a) for _, a in own), len(own)),
        ])  # fmt: skip
    return rows


def planted_alone(name: str, kind: str, amount: str) -> list[bool]:
    """Which backdoors of a kind and amount were found that were planted alone."""
    return [
        trial["p_value"] <= 0.05
        for record in records(FOLDER, f"{name}-alone-*")
        for trial in record["trials"]
        if (record["amount"], trial["kind"]) == (amount, kind)
    ]


def by_kind(every: list[Pair]) -> list[list[str]]:
    """One row for each data set, kind and amount."""
    rows = []
    for name, kind, amount in sorted({(r["set"], s["kind"], s["amount"]) for r, s, _ in every}):
        own = [
            (s, a) for r, s, a in every
            if (r["set"], s["kind"], s["amount"]) == (name, kind, amount)
        ]  # fmt: skip
        one = planted_alone(name, kind, amount)
        rows.append([
            name, kind, amount, str(own[0][1]["poisons"]),
            share(*(sum(s[key] for s, _ in own[::ATTACKERS]) for key in ("hits", "of"))),
            share(sum(one), len(one)), share(sum(hit(a) for _, a in own), len(own)),
        ])  # fmt: skip
    return rows


def by_set() -> list[list[str]]:
    """One row for each data set: its worlds, their answers and what they cost."""
    rows = []
    for name in SETS:
        own = list(records(FOLDER, f"{name}-seed*"))
        if own:
            cost = np.median([r["power_seconds"] / r["scan_seconds"] for r in own])
            rows.append([
                name, str(len(own)), str(sum(r["answer"] == "clean" for r in own)),
                str(sum(r["answer"] == "clean" == r["then"] for r in own)),
                f"{np.median([r['scan_seconds'] for r in own]):.0f} s", f"{cost:.1f}",
            ])  # fmt: skip
    return rows


def table() -> str:
    """Write what was stated and what was found, by bins, by kind and by data set."""
    every = pairs()
    tables = [
        (["stated power", "attacks", "stated, mean", "found"], by_bin(every)),
        (["data set", "trigger", "on", "poisons", "planted, several at once", "planted alone",
          "by an attacker"], by_kind(every)),
        (["data set", "worlds", "clean before", "clean with the power", "a scan",
          "the power, in scans"], by_set()),
    ]  # fmt: skip
    return "\n".join(markdown(header, rows) for header, rows in tables)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["run", "alone", "table"])
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    parser.add_argument("--seeds", type=int, default=20)
    arguments = parser.parse_args()
    if arguments.what == "run":
        run(arguments.sets, arguments.seeds)
    if arguments.what == "alone":
        run_alone()
    text = table()
    (RESULTS / FOLDER).mkdir(parents=True, exist_ok=True)
    (RESULTS / FOLDER / "table.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
