"""How much faster triggers of all classes are sought together than one class after the other.

    python recipes/benchmark_inversion.py prepare            # train the networks, once
    python recipes/benchmark_inversion.py speed --classes 10
    python recipes/benchmark_inversion.py speed --classes 43
    python recipes/benchmark_inversion.py table              # the table from the records

The *serial* way is what a loop over classes does: one class after the other, 32-bit arithmetic,
channels first, every step, as Neural Cleanse is written in benchmarks, with the same draws, steps
and schedule as ours. The others add one thing at a time, so that it is seen what buys what:

    serial           one class after the other, fp32, channels first
    serial, bf16     the same in the arithmetic and memory order of ours
    together, fp32   all classes in one pass, channels last
    together         the same in bf16 with normalisation folded into convolutions: every step of
                     what a user calls
    resting          classes that got no further for `PATIENCE` checks leave
    bandit           steps go to the classes that shrink or are small; half of the steps at most

Only the first four take the same steps; the last two show what giving up early buys and risks. All
take turns in one process with one thread, forth and back, and the ratio of each turn counts, in
processor time. Every turn has other draws. The verdict of a turn is the class with the smallest
mask; the table says in how many turns it is that of the serial way, and the record holds the sizes
of all masks.

Ten classes: CIFAR-10, of which a tenth carries a patch that means class 0, and a ResNet-9 of width
8. Forty-three classes: the same network, untrained, on random inputs: for time alone, since
nothing is there to be found.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from benchmark_detectors import origin
from cells import DOMAIN, markdown, records, save
from mithridate.attacks.goals import AllToOne
from mithridate.attacks.poisoning import Poisoning
from mithridate.attacks.selections import RandomSelection
from mithridate.bench.metrics.evaluate import accuracy, attack_success
from mithridate.core.data import Dataset, dataset
from mithridate.core.fit import TrainingConfig, fit
from mithridate.core.inference import autocast
from mithridate.core.streams import stream, torch_generator
from mithridate.core.view import View
from mithridate.domains.catalogue import load_named
from mithridate.domains.image.triggers import PatchTrigger
from mithridate.scanners.inversion import MOMENTS, PROVED, Descent, open_world
from mithridate.scanners.k_arm import KArm
from mithridate.scanners.neural_cleanse import NeuralCleanse

FOLDER = "benchmark_inversion"
NETWORK, TRUSTED, PATIENCE, NEVER = "resnet9:8", 1000, 4, 10**6
WEIGHTS = Path(".cache") / FOLDER / "badnets.safetensors"
ATTACK = Poisoning(PatchTrigger(), AllToOne(0), RandomSelection(0.1))


class Sought(NamedTuple):
    """What a way of seeking found: the size of each class's mask, and steps taken in all."""

    norms: torch.Tensor
    steps: int


def prepare(examples: int, epochs: int) -> None:
    """Train the network with a backdoor, keep its weights and say how good it is."""
    train = load_named("cifar10").data
    train = train.subset(stream(0, "train").permutation(len(train))[:examples])
    poisoned = ATTACK.poison(train, stream(0, "poison")).data
    model = DOMAIN.network(poisoned, NETWORK, stream(0, "network"))
    fit(model, poisoned, DOMAIN, TrainingConfig(epochs=epochs), stream(0, "fit"))
    test = load_named("cifar10", "test").data.subset(range(2000))
    success = attack_success(model, ATTACK, test, DOMAIN, stream(0, "trap")).value
    right = accuracy(model, test, DOMAIN).value
    WEIGHTS.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, WEIGHTS)
    save(FOLDER, "network", {"examples": examples, "accuracy": right, "asr": success, **origin()})


def world(classes: int) -> tuple[torch.nn.Module, Dataset]:
    """The network that is scanned and the examples that are trusted."""
    if classes == 10:
        trusted = load_named("cifar10", "test").data
        trusted = trusted.subset(range(len(trusted) - TRUSTED, len(trusted)))
        model = DOMAIN.network(trusted, NETWORK, stream(0, "network"))
        model.load_state_dict(load_file(WEIGHTS))
        return model.eval(), trusted
    drawn = torch.randint(
        256, (TRUSTED, 3, 32, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8
    )
    trusted = dataset(drawn, torch.arange(TRUSTED) % classes)
    return DOMAIN.network(trusted, NETWORK, stream(0, "network")).eval(), trusted


def serially(
    model: torch.nn.Module, trusted: Dataset, method: NeuralCleanse, turn: int, fast: bool
) -> Sought:
    """One class after the other."""
    inputs = DOMAIN.prepare(trusted.inputs)
    classes, steps = len(trusted.classes), method.steps // method.check * method.check
    descent = Descent(
        method.batch, method.learning_rate, method.check, method.success, method.weight
    )
    norms = []
    for aim in range(classes):
        others = inputs[trusted.labels != aim].float()
        norms.append(one(model, others, aim, steps, descent, turn, fast))
    return Sought(torch.tensor(norms), classes * steps)


def one(
    model: torch.nn.Module, others: torch.Tensor, aim: int, steps: int, descent: Descent,
    turn: int, fast: bool,
) -> float:  # fmt: skip
    """The size of the smallest mask towards one class."""
    draws = torch_generator(stream(turn, "scan"))
    mask = (0.1 * torch.randn(1, 1, *others.shape[2:], generator=draws)).requires_grad_()
    pattern = (0.1 * torch.randn(1, *others.shape[1:], generator=draws)).requires_grad_()
    adam = torch.optim.Adam([mask, pattern], lr=descent.learning_rate, betas=MOMENTS)
    wanted = torch.full((descent.batch,), aim)
    weight, hits, smallest = 0.0, 0, float("inf")
    for step in range(1, steps + 1):
        rows = (torch.rand(descent.batch, generator=draws) * len(others)).long()
        m, p = torch.sigmoid(mask), 255 * torch.sigmoid(pattern)
        stamped = (1 - m) * others[rows] + m * p
        if fast:
            stamped = stamped.contiguous(memory_format=torch.channels_last)
        with autocast("cpu", "bf16" if fast else "fp32"):
            logits = model(stamped).float()
        loss = F.cross_entropy(logits, wanted) + weight * m.sum()
        mask.grad, pattern.grad = torch.autograd.grad(loss, [mask, pattern])
        adam.step()
        hits += int((logits.argmax(1) == aim).sum())
        if step % descent.check == 0:
            found, hits = hits >= descent.success * descent.batch * descent.check, 0
            size = float(mask.detach().sigmoid().sum())
            smallest = size if found and size < (1 - PROVED) * smallest else smallest
            risen = weight * descent.rise if weight else descent.weight
            weight = risen if found else weight / descent.fall
    return smallest if smallest < float("inf") else float(mask.detach().sigmoid().sum())


def ways(classes: int, steps: int, batch: int) -> dict[str, Callable[[int], Sought]]:
    """What is timed, each with the number of its turn."""
    model, trusted = world(classes)
    first = cast(Any, copy.deepcopy(model)).to(memory_format=torch.contiguous_format)
    method = NeuralCleanse(steps=steps, batch=batch, patience=NEVER)
    bandit = KArm(
        sources="all",
        steps=steps // 2,
        batch=method.batch,
        weight=method.weight,
        width=classes // 2,
    )

    def ours(scanner: Any, precision: str = "bf16") -> Callable[[int], Sought]:
        def seek(turn: int) -> Sought:
            view = View(domain=DOMAIN, model=model, clean=trusted, precision=precision)
            with open_world(view) as place:
                found = scanner.search(place, classes, stream(turn, "scan"))
            search = found[0] if isinstance(found, tuple) else found
            return Sought(search.smallest()["norm"], int(search.steps.sum()))

        return seek

    return {
        "serial": lambda turn: serially(first, trusted, method, turn, fast=False),
        "serial, bf16": lambda turn: serially(model, trusted, method, turn, fast=True),
        "together, fp32": ours(method, "fp32"),
        "together": ours(method),
        "resting": ours(NeuralCleanse(steps=steps, batch=batch, patience=PATIENCE)),
        "bandit": ours(bandit),
    }


def speed(classes: int, steps: int, batch: int, turns: int) -> None:
    """Time all ways by turns, forth and back; the record is written after each turn."""
    for way in ways(classes, 2 * NeuralCleanse().check, batch).values():
        way(0)  # what is loaded on first use
    compared = ways(classes, steps, batch)
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in compared}
    for turn in range(1, turns + 1):
        names = list(compared) if turn % 2 else list(compared)[::-1]
        for name in names:
            cpu, wall = time.process_time(), time.perf_counter()
            sought = compared[name](turn)
            found[name].append(
                {
                    "cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall,
                    "steps": sought.steps, "norms": [round(v, 3) for v in sought.norms.tolist()],
                }
            )  # fmt: skip
            print(f"{classes} classes, turn {turn}, {name}: {found[name][-1]}", flush=True)
        shape = {"classes": classes, "steps": steps, "network": NETWORK, "trusted": TRUSTED}
        shape["batch"] = batch
        save(FOLDER, f"speed-{classes}-{batch}", {**shape, "ways": found, **origin()})


def spread(values: list[float], digits: int = 1) -> str:
    """Write the median of some values and their range."""
    return f"{median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def table() -> None:
    """Write the table from the records."""
    rows = []
    for record in records(FOLDER, "speed-*"):
        serial = record["ways"]["serial"]
        for name, turns in record["ways"].items():
            pairs = list(zip(serial, turns, strict=True))
            same = sum(smallest(a) == smallest(b) for a, b in pairs)
            trained = record["classes"] == 10
            rows.append(
                [
                    str(record["classes"]), str(record["batch"]), name,
                    spread([t["cpu"] for t in turns], 2),
                    spread([a["cpu"] / b["cpu"] for a, b in pairs]),
                    spread([a["steps"] / b["steps"] for a, b in pairs]),
                    f"{same} of {len(pairs)}" if trained else "nothing to find",
                ]
            )  # fmt: skip
    header = ["classes", "batch", "way", "cpu s", "times faster than serial", "times fewer steps",
              "the same class first"]  # fmt: skip
    text = "Median over turns, and their range.\n\n" + markdown(header, rows)
    (Path("results") / FOLDER / "table.md").write_text(text)
    print(text)


def smallest(turn: dict[str, Any]) -> int:
    """The class with the smallest mask."""
    return int(torch.tensor(turn["norms"]).argmin())


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=["prepare", "speed", "table"])
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--steps", type=int, default=NeuralCleanse().steps)
    parser.add_argument("--batch", type=int, default=NeuralCleanse().batch)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--examples", type=int, default=20_000)
    parser.add_argument("--epochs", type=int, default=8)
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.what == "prepare":
        prepare(given.examples, given.epochs)
    elif given.what == "speed":
        speed(given.classes, given.steps, given.batch, given.turns)
    else:
        table()


if __name__ == "__main__":
    main()
