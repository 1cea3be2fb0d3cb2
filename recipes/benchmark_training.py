"""How much faster the one training loop is than the plain recipe, on one core and real images.

    python recipes/benchmark_training.py speed       # images a second of each way to train
    python recipes/benchmark_training.py networks    # images a second of each network
    python recipes/benchmark_training.py accuracy    # seconds to 70 % of test accuracy, resumable
    python recipes/benchmark_training.py table       # the table from the records

Both ways train the same network from the same start on CIFAR-10 with the same batch size,
optimiser and schedule, by one thread in one process. They take turns, so that whatever else the
machine does meets both. *Ours* is `core/fit.py`: bytes resident in memory, augmentation of
whole batches, bf16 arithmetic, channels last. *Plain* is what most research code does: one image at
a time from bytes to a PIL image, crop, flip, tensor of floats, normalisation, a data loader, and
32-bit floats. torchvision's transforms are written out here, so that nothing depends on it.
Processor time is compared, since wall-clock time on a shared machine says more about its other
users.
"""

from __future__ import annotations

import argparse
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from torch import nn
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as Rows
from torch.utils.flop_counter import FlopCounterMode

from cells import DOMAIN, RESULTS, done, markdown, records, save
from mithridate.core.data import Dataset
from mithridate.core.fit import TrainingConfig, fit
from mithridate.core.inference import forward
from mithridate.core.runtime import Runtime, environment
from mithridate.core.streams import stream
from mithridate.core.training_run import TrainingRun
from mithridate.domains.catalogue import load_named
from mithridate.domains.image.networks import NETWORKS

FOLDER = "benchmark_training"
RECIPE = TrainingConfig(epochs=3)
TARGET = 0.70
NARROW = ("preact-resnet18:16", "vgg:16")


@dataclass
class Clock:
    """Processor and wall-clock seconds since the start, pauses left out."""

    cpu: float = field(default_factory=time.process_time)
    wall: float = field(default_factory=time.perf_counter)

    def read(self) -> dict[str, float]:
        """The seconds so far."""
        return {"cpu": time.process_time() - self.cpu, "wall": time.perf_counter() - self.wall}

    def without(self, work: Callable[[], float]) -> float:
        """Do some work that does not count."""
        pause = Clock()
        result = work()
        spent = pause.read()
        self.cpu, self.wall = self.cpu + spent["cpu"], self.wall + spent["wall"]
        return result


class Transformed(Rows[tuple[torch.Tensor, int]]):
    """CIFAR-10 as research code serves it: cropped, flipped, turned into floats, one by one."""

    def __init__(self, data: Dataset) -> None:
        self.images = data.inputs.permute(0, 2, 3, 1).contiguous().numpy()
        self.labels = data.labels.tolist()
        self.mean, self.spread = moments(data)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        padded = ImageOps.expand(Image.fromarray(self.images[index]), border=4, fill=0)
        top, left = (int(torch.randint(0, 9, (1,))) for _ in range(2))
        image = padded.crop((left, top, left + 32, top + 32))
        if float(torch.rand(1)) < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        floats = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous().float().div(255)
        return floats.sub_(self.mean).div_(self.spread), self.labels[index]


def moments(data: Dataset) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation of each channel, as the network's own encoding takes them."""
    sample = data.inputs[:2048].float() / 255
    shape = (-1, 1, 1)
    return sample.mean((0, 2, 3)).view(shape), sample.std((0, 2, 3)).view(shape)


def fresh(data: Dataset, seed: int, network: str = "") -> nn.Module:
    """A network with its start from the seed."""
    return DOMAIN.network(data, network, stream(seed, "init"))


def without_encoding(network: nn.Module) -> nn.Module:
    """The same network for images that are floats already, in the default order of memory."""
    layers: Any = network
    plainly: nn.Module = layers[1:].to(memory_format=torch.contiguous_format)
    return plainly


def loader(
    data: Dataset,
    seed: int,
    config: TrainingConfig,
    served: Rows[tuple[torch.Tensor, int]] | None = None,
) -> DataLoader[tuple[torch.Tensor, int]]:
    """The data loader of the plain recipe; without workers, since one core is compared."""
    torch.manual_seed(seed)
    return DataLoader(served or Transformed(data), batch_size=config.batch_size, shuffle=True)


def plain(
    network: nn.Module,
    data: Dataset,
    config: TrainingConfig,
    seed: int,
    served: Rows[tuple[torch.Tensor, int]] | None = None,
) -> Iterator[int]:
    """Train as most research code does; yields the epochs done. served: instead of the data."""
    batches = loader(data, seed, config, served)
    network.train()
    optimiser = torch.optim.SGD(
        network.parameters(), lr=config.learning_rate, momentum=config.momentum, nesterov=True,
        weight_decay=config.weight_decay,
    )  # fmt: skip
    step, steps = 0, config.epochs * len(batches)
    for epoch in range(config.epochs):
        for images, labels in batches:
            optimiser.param_groups[0]["lr"] = config.at(step, steps)
            loss = F.cross_entropy(network(images), labels)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            step += 1
        yield epoch + 1


def train_ours(
    data: Dataset, config: TrainingConfig, seed: int, watch: Callable[[nn.Module, int], None]
) -> None:
    """Train by the library's loop."""
    network = fresh(data, seed)
    fit(
        network, data, DOMAIN, config, stream(seed, "fit"),
        TrainingRun(progress=lambda epoch, _: watch(network, epoch)),
    )  # fmt: skip


def train_plain(
    data: Dataset, config: TrainingConfig, seed: int, watch: Callable[[nn.Module, int], None]
) -> None:
    """Train by the plain recipe."""
    network = without_encoding(fresh(data, seed))
    for epoch in plain(network, data, config, seed):
        watch(network, epoch)


def load_only(
    data: Dataset, config: TrainingConfig, seed: int, watch: Callable[[nn.Module, int], None]
) -> None:
    """Run the plain recipe's data loader alone."""
    for _ in range(config.epochs):
        for _ in loader(data, seed, config):
            pass


def train_float(
    data: Dataset, config: TrainingConfig, seed: int, watch: Callable[[nn.Module, int], None]
) -> None:
    """Train by the library's loop in 32-bit floats: what is gained without bf16."""
    train_ours(data, replace(config, precision="fp32"), seed, watch)


WAYS = {
    "ours": train_ours,
    "ours, fp32": train_float,
    "plain": train_plain,
    "plain, loader alone": load_only,
}


def origin() -> dict[str, Any]:
    """What the figures were measured with."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    home = Path(__file__).parent
    told = subprocess.run(command, cwd=home, capture_output=True, text=True, check=True)
    commit = told.stdout.strip()
    return {"commit": commit, "environment": environment()}


def measured(work: Callable[[], object], images: int) -> dict[str, float]:
    """Images a second of some work."""
    clock = Clock()
    work()
    return {name: images / seconds for name, seconds in clock.read().items()}


def ignore(network: nn.Module, epoch: int) -> None:
    """Watch nothing."""


def speed(rounds: int, images: int) -> None:
    """Measure the ways to train, taking turns, after a first turn that does not count."""
    data = load_named("cifar10").data
    part, short = data.subset(torch.arange(images)), replace(RECIPE, epochs=1)
    few = data.subset(torch.arange(2 * RECIPE.batch_size))
    for way in WAYS.values():
        way(few, short, 0, ignore)
    turns: dict[str, list[dict[str, float]]] = {name: [] for name in WAYS}
    for turn in range(rounds):
        for name, way in WAYS.items():
            turns[name].append(measured(partial(way, part, short, turn, ignore), images))
            print(f"{turn} {name}: {turns[name][-1]['cpu']:.0f} images a second", flush=True)
    save(FOLDER, "speed", {"images_a_second": turns, "images": images, **origin()})


def networks(rounds: int, images: int) -> None:
    """Measure the library's loop with each network, taking turns."""
    data = load_named("cifar10").data
    part, short = data.subset(torch.arange(images)), replace(RECIPE, epochs=1)
    found: dict[str, Any] = {}
    built = {name: fresh(part, 0, name) for name in (*NETWORKS, *NARROW)}
    for name, network in built.items():
        with FlopCounterMode(display=False) as counter, torch.inference_mode():
            network.eval()(part.inputs[:1])
        weights = sum(p.numel() for p in network.parameters())
        found[name] = {
            "parameters": weights, "multiply_adds": counter.get_total_flops() // 2,
            "images_a_second": [],
        }  # fmt: skip
    for turn in range(rounds + 1):
        for name, network in built.items():
            work = partial(fit, network, part, DOMAIN, short, stream(0, "fit"))
            rate = measured(work, images)
            found[name]["images_a_second"] += [rate] if turn else []  # the first turn warms up
    save(FOLDER, "networks", {"networks": found, "images": images, **origin()})


def share_right(network: nn.Module, test: Dataset, way: str, train: Dataset) -> float:
    """The test accuracy, in the arithmetic of the way to train."""
    if way == "ours":
        logits = forward(network, test.inputs, Runtime())[1]
    else:
        mean, spread = moments(train)
        network.eval()
        with torch.inference_mode():
            parts = [(x.float() / 255 - mean) / spread for x in test.inputs.split(1024)]
            logits = torch.cat([network(part) for part in parts])
        network.train()
    return float((logits.argmax(1) == test.labels).float().mean())


def accuracy_curve(way: str, seed: int, data: Dataset, test: Dataset) -> list[dict[str, float]]:
    """Train to the end: seconds and test accuracy after each epoch, the testing not counted."""
    curve: list[dict[str, float]] = []
    clock = Clock()

    def watch(network: nn.Module, epoch: int) -> None:
        spent = clock.read()
        share = clock.without(lambda: share_right(network, test, way, data))
        curve.append({"epoch": epoch, "accuracy": share, **spent})
        print(way, seed, curve[-1], flush=True)

    WAYS[way](data, RECIPE, seed, watch)
    return curve


def accuracy(seeds: list[int]) -> None:
    """Train by both ways, taking turns, as far as it was not done before."""
    data, test = load_named("cifar10").data, load_named("cifar10", split="test").data
    for seed in seeds:
        for way in ("ours", "plain"):
            name = f"accuracy-{way}-seed{seed}"
            if not done(FOLDER, name):
                curve = accuracy_curve(way, seed, data, test)
                record = {"way": way, "seed": seed, "recipe": asdict(RECIPE), "curve": curve}
                save(FOLDER, name, {**record, **origin()})


def spread_of(values: list[float], digits: int = 0) -> str:
    """Write the median of some values and their range."""
    middle, low, high = median(values), min(values), max(values)
    return f"{middle:,.{digits}f} ({low:,.{digits}f} to {high:,.{digits}f})"


def seconds_to(record: dict[str, Any], target: float, clock: str) -> float | None:
    """Seconds when the test accuracy first reached the target; None where it never did."""
    reached = [row[clock] for row in record["curve"] if row["accuracy"] >= target]
    return reached[0] if reached else None


def speed_table(record: dict[str, Any]) -> str:
    """Images a second of the ways to train, and how many times the plain recipe's."""
    turns, rows = record["images_a_second"], []
    for name, rates in turns.items():
        ratios = [
            ours["cpu"] / other["cpu"] for other, ours in zip(turns["plain"], rates, strict=True)
        ]
        cpu, wall = ([rate[clock] for rate in rates] for clock in ("cpu", "wall"))
        rows.append([name, spread_of(cpu), spread_of(wall), spread_of(ratios, 2)])
    return markdown(["way", "images / cpu s", "images / wall s", "times plain, by cpu"], rows)


def accuracy_table(found: list[dict[str, Any]]) -> str:
    """Seconds to the target by both ways for each seed, and the accuracy at the end."""
    rows = []
    by_seed = {(record["seed"], record["way"]): record for record in found}
    for seed in sorted({record["seed"] for record in found if record["way"] == "plain"}):
        pair = [by_seed[seed, way] for way in ("ours", "plain")]
        times = [seconds_to(record, TARGET, "cpu") for record in pair]
        reached = [seconds for seconds in times if seconds is not None]
        shown = ["not reached" if seconds is None else f"{seconds:.0f}" for seconds in times]
        shown.append(f"{reached[1] / reached[0]:.2f}" if len(reached) == 2 else "")
        shown += [f"{100 * record['curve'][-1]['accuracy']:.1f} %" for record in pair]
        rows.append([str(seed), *shown])
    to = f"to {TARGET:.0%}"
    header = ["seed", f"ours, cpu s {to}", f"plain, cpu s {to}", "ratio", "ours, end", "plain, end"]
    return markdown(header, rows)


def network_table(record: dict[str, Any]) -> str:
    """Size, work and images a second of each network under the library's loop."""
    rows = []
    for name, measures in record["networks"].items():
        work = f"{measures['multiply_adds'] / 1e6:.1f}"
        rates = spread_of([rate["cpu"] for rate in measures["images_a_second"]])
        rows.append([name, f"{measures['parameters']:,}", work, rates])
    return markdown(["network", "parameters", "million multiply-adds", "images / cpu s"], rows)


def table() -> None:
    """Write the tables from the records."""
    parts = ["Medians and ranges over the turns; cpu: processor seconds of one thread.\n"]
    parts += map(speed_table, records(FOLDER, "speed"))
    parts.append(accuracy_table(records(FOLDER, "accuracy-*")))
    parts += map(network_table, records(FOLDER, "networks"))
    (RESULTS / FOLDER / "table.md").write_text("\n".join(parts))


def main() -> None:
    """Run one part of the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("part", choices=["speed", "networks", "accuracy", "table"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=int, default=0, help="5120 for speed, 512 for networks")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.part == "speed":
        speed(given.rounds, given.images or 5120)
    elif given.part == "networks":
        networks(given.rounds, given.images or 512)
    elif given.part == "accuracy":
        accuracy(given.seeds)
    else:
        table()


if __name__ == "__main__":
    main()
