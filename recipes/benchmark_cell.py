"""How much faster one whole cell is than the same cell as research code computes it.

    python recipes/benchmark_cell.py run      # takes turns, one core; writes results/benchmark_cell
    python recipes/benchmark_cell.py table

A cell is: poison, train, repair by fine-tuning, judge. *Ours* is the library's steps. *Plain* is
written here after what the published benchmarks do: each poisoned image is written as a PNG and
opened again in every epoch, images are transformed one by one by a data loader, arithmetic has 32
bits, and both test sets are judged after every epoch, of training and of the repair. Their own code
needs packages that are not here. Both take the same network, examples, epochs and batch size; the
rest of the settings is each one's own, so accuracy is told beside the time.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import nn
from torch.utils.data import DataLoader

from benchmark_training import (
    Clock,
    Transformed,
    fresh,
    moments,
    origin,
    plain,
    without_encoding,
)
from cells import DOMAIN, RESULTS, markdown, records, save
from mithridate.attacks.poisoning import Poisoning
from mithridate.attacks.selections import RandomSelection
from mithridate.bench.metrics.evaluate import answers
from mithridate.core.data import Dataset
from mithridate.core.fit import TrainingConfig
from mithridate.core.runtime import Runtime
from mithridate.core.streams import stream
from mithridate.core.view import View
from mithridate.domains.catalogue import load_named
from mithridate.domains.image.triggers import PatchTrigger
from mithridate.repairs.fine_tuning import FineTuning
from mithridate.trainers.standard import Standard

FOLDER = "benchmark_cell"
TRAIN, TEST, TRUSTED, EPOCHS = 10_000, 1_000, 500, 6
RECIPE = TrainingConfig(epochs=EPOCHS, batch_size=128)
ATTACK = Poisoning(PatchTrigger(style="white"), selection=RandomSelection(0.1))
REPAIR = FineTuning()
NETWORK = "resnet9:8"

Figures = dict[str, float]


def ours(train: Dataset, test: Dataset, trusted: Dataset, seed: int) -> Figures:
    """The cell by the library."""
    poisoned = ATTACK.poison(train, stream(seed, "poison")).data
    triggered_test = ATTACK.triggered_test(test, stream(seed, "trap"))
    model = fresh(poisoned, seed, NETWORK)
    Standard(RECIPE).train(model, poisoned, DOMAIN, stream(seed, "fit"))
    mended = REPAIR.repair(
        View(domain=DOMAIN, model=model, clean=trusted), stream(seed, "repair")
    )  # fmt: skip
    found = {}
    for name, network in (("undefended", model), ("repaired", mended)):
        for what, data in (("accuracy", test), ("asr", triggered_test)):
            predicted = answers(network, data, DOMAIN, Runtime()).predicted
            found[f"{name} {what}"] = float((predicted == data.labels).double().mean())
    return found


class Reopened(Transformed):
    """Images of which the poisoned ones are files that are opened whenever they are asked for."""

    def __init__(self, data: Dataset, files: dict[int, Path], augment: bool = True) -> None:
        super().__init__(data)
        self.files, self.augment = files, augment

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        image = Image.fromarray(self.images[index])
        if index in self.files:
            image = Image.open(self.files[index]).convert("RGB")
        if self.augment:
            padded = ImageOps.expand(image, border=4, fill=0)
            top, left = (int(torch.randint(0, 9, (1,))) for _ in range(2))
            image = padded.crop((left, top, left + 32, top + 32))
            if float(torch.rand(1)) < 0.5:
                image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        floats = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous().float().div(255)
        return floats.sub_(self.mean).div_(self.spread), self.labels[index]


def written(data: Dataset, rows: list[int], folder: Path) -> dict[int, Path]:
    """Write some images as PNG, one file each."""
    files = {}
    for row in rows:
        files[row] = folder / f"{row}.png"
        Image.fromarray(data.inputs[row].permute(1, 2, 0).numpy()).save(files[row])
    return files


def plainly(train: Dataset, test: Dataset, trusted: Dataset, seed: int) -> Figures:
    """The cell as research code computes it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("train", "test"):
            (folder / part).mkdir()
        made = ATTACK.poison(train, stream(seed, "poison"))
        rows = made.truth.poisoned.nonzero().flatten().tolist()
        files = written(made.data, rows, folder / "train")
        triggered_test = ATTACK.triggered_test(test, stream(seed, "trap"))
        trapped = Reopened(
            triggered_test,
            written(triggered_test, list(range(len(triggered_test))), folder / "test"),
            False,
        )
        tests = {"accuracy": Reopened(test, {}, False), "asr": trapped}
        model = without_encoding(fresh(made.data, seed, NETWORK))
        found = {}
        stages = (("undefended", made.data, files, RECIPE), ("repaired", trusted, {}, repairing()))
        for stage, data, own, config in stages:
            served = Reopened(data, own)
            for each in (served, *tests.values()):
                each.mean, each.spread = moments(made.data)
            for _ in plain(model, data, config, seed, served):
                for what, rows_of in tests.items():  # after every epoch, as they do
                    found[f"{stage} {what}"] = share_right(model, rows_of)
        return found


def repairing() -> TrainingConfig:
    """The recipe of the repair."""
    return replace(REPAIR.training(), augment=True)


def share_right(model: nn.Module, served: Transformed) -> float:
    """How many a network calls by their label, served one by one."""
    model.eval()
    with torch.inference_mode():
        right = sum(
            int((model(images).argmax(1) == labels).sum())
            for images, labels in DataLoader(served, batch_size=128)
        )
    model.train()
    return right / len(served)


WAYS: dict[str, Callable[[Dataset, Dataset, Dataset, int], Figures]] = {
    "ours": ours, "plain": plainly,
}  # fmt: skip


def run(turns: int) -> None:
    """Compute the cell both ways in turns."""
    torch.set_num_threads(1)
    source, tests = load_named("cifar10").data, load_named("cifar10", split="test").data
    train, trusted = source.subset(range(TRAIN)), source.subset(range(TRAIN, TRAIN + TRUSTED))
    test = tests.subset(range(TEST))
    few = (train.subset(range(500)), test.subset(range(50)), trusted.subset(range(64)))
    for way in WAYS.values():  # the first time, memory and kernels are still being prepared
        way(*few, 0)
    found: dict[str, list[Figures]] = {name: [] for name in WAYS}
    for turn in range(turns):
        for name, way in WAYS.items():
            clock = Clock()
            figures = way(train, test, trusted, turn)
            found[name].append({**figures, **clock.read()})
            print(turn, name, found[name][-1], flush=True)
    sizes = {"train": TRAIN, "test": TEST, "trusted": TRUSTED, "epochs": EPOCHS}
    save(FOLDER, "cell", {"turns": found, **sizes, "network": NETWORK, **origin()})


def table() -> str:
    """Seconds of the processor both ways, their ratio, and what came out."""
    (record,) = records(FOLDER, "cell")
    turns = record["turns"]
    ratios = [p["cpu"] / o["cpu"] for o, p in zip(turns["ours"], turns["plain"], strict=True)]
    names = [name for name in turns["ours"][0] if name not in ("cpu", "wall")]
    rows = [
        [way, f"{median(t['cpu'] for t in each):.1f}",
         *(f"{100 * median(t[name] for t in each):.1f}" for name in names)]
        for way, each in turns.items()
    ]  # fmt: skip
    spread = f"[{min(ratios):.1f}, {max(ratios):.1f}]"
    return (
        f"{markdown(['way', 'cpu seconds', *(f'{n} (%)' for n in names)], rows)}\n\n"
        f"Ratio, median of {len(ratios)} turns and their range: {median(ratios):.1f} {spread}\n"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["run", "table"])
    parser.add_argument("--turns", type=int, default=3)
    arguments = parser.parse_args()
    if arguments.what == "run":
        run(arguments.turns)
    (RESULTS / FOLDER / "table.md").write_text(table())
    print(table())
