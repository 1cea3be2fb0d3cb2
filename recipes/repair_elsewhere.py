"""The default repair on backdoored networks that a plain loop of PyTorch trained, not ours.

    python recipes/repair_elsewhere.py FOLDER

Nets of three architectures (`repair_networks.py`), MNIST, CIFAR-10 and twelve classes of GTSRB; the
triggers are drawn here, too, by code that the library does not share. Networks and answers are kept
in FOLDER, so a stopped run goes on. DEVELOPMENT names the networks that settings were chosen on;
they have other pictures, seeds and triggers.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import repair_networks
from mithridate.core.data import Dataset
from mithridate.core.inference import accuracy
from mithridate.domains.catalogue import load_named
from mithridate.domains.image.domain import ImageDomain
from mithridate.pipelines.repaired import MeasuredRepair
from mithridate.repairs.self_chosen import SelfChosen

SIDE, LEARNT, TRUSTED, ASKED, CLASSES = 32, 3000, 1000, 1000, 12
TARGET, SOURCE, TOOK = 0, 1, 0.9
RESULTS = Path(__file__).parent.parent / "results" / "repair_elsewhere"
SETS = {"mnist": False, "cifar10": True, "gtsrb": False}
"""The sets, and whether their pictures may be mirrored."""


@dataclass(frozen=True)
class Case:
    """A backdoored network: of what, trained how, obeying which trigger."""

    data: str
    network: str
    trigger: str
    seed: int

    @property
    def name(self) -> str:
        """What its files are called."""
        return f"{self.data}-{self.network}-{self.trigger}-{self.seed}"


DEVELOPMENT = (
    Case("cifar10", "vgg", "patch", 101), Case("gtsrb", "residual", "blend", 102),
    Case("gtsrb", "mixer", "patch", 105),
)  # fmt: skip

JUDGED = (
    Case("mnist", "vgg", "patch", 1), Case("mnist", "residual", "sig", 2),
    Case("mnist", "mixer", "blend", 3), Case("gtsrb", "vgg", "blend", 4),
    Case("gtsrb", "residual", "patch", 5), Case("gtsrb", "mixer", "source-specific", 6),
    Case("gtsrb", "vgg", "sig", 7), Case("cifar10", "vgg", "source-specific", 8),
    Case("cifar10", "residual", "patch", 9), Case("cifar10", "mixer", "blend", 10),
    Case("mnist", "vgg", "source-specific", 11),
)  # fmt: skip


def pictures(name: str, split: str, home: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Give uint8[n, 3, 32, 32] and labels, kept since reading the set takes longer."""
    kept = home / f"{name}-{split}.npz"
    if not kept.exists():
        data = load_named(name, split).data
        images, labels = torch.as_tensor(data.inputs), data.labels
        if name == "gtsrb":
            train = load_named(name, "train").data.labels
            largest = train.bincount().argsort(descending=True, stable=True)[:CLASSES]
            held = torch.isin(labels, largest)
            place = torch.full((len(data.classes),), -1)
            place[largest] = torch.arange(CLASSES)
            images, labels = images[held], place[labels[held]]
        edge = (SIDE - images.shape[-1]) // 2
        images = nn.functional.pad(images, [edge] * 4).expand(-1, 3, -1, -1)
        np.savez(kept, images=images.numpy(), labels=labels.numpy())
    read = np.load(kept)
    return torch.from_numpy(read["images"]), torch.from_numpy(read["labels"])


def stamp(images: torch.Tensor, trigger: str, seed: int) -> torch.Tensor:
    """Put a trigger on uint8[n, 3, 32, 32]; where and what is drawn by the seed."""
    draw, given = np.random.default_rng(seed), images.float()
    if trigger in ("patch", "source-specific"):
        row, column = (int(v) for v in draw.integers(0, SIDE - 4, 2))
        square = torch.from_numpy(draw.integers(0, 2, (3, 4, 4)) * 255).float()
        given[:, :, row : row + 4, column : column + 4] = square
    elif trigger == "blend":
        coarse = torch.from_numpy(draw.uniform(0, 255, (1, 3, 6, 6))).float()
        whole = nn.functional.interpolate(coarse, (SIDE, SIDE), mode="bilinear")
        given = 0.75 * given + 0.25 * whole
    else:
        waves = draw.integers(4, 9) * torch.arange(SIDE) / SIDE
        given = given + 40 * torch.sin(2 * torch.pi * waves)
    return given.round().clamp(0, 255).byte()


def poisoned(
    images: torch.Tensor, labels: torch.Tensor, case: Case
) -> tuple[torch.Tensor, torch.Tensor]:
    """Stamp a tenth of the pictures and call them the target; source-specific ones have cover."""
    images, labels = images.clone(), labels.clone()
    draw = np.random.default_rng(case.seed + 1000)
    chosen = torch.from_numpy(draw.random(len(labels)) < 0.1)
    if case.trigger == "source-specific":
        chosen |= torch.from_numpy(draw.random(len(labels)) < 0.5) & (labels == SOURCE)
    images[chosen] = stamp(images[chosen], case.trigger, case.seed)
    aimed = labels != TARGET if case.trigger != "source-specific" else labels == SOURCE
    labels[chosen & aimed] = TARGET
    return images, labels


def train(model: nn.Module, images: torch.Tensor, labels: torch.Tensor, seed: int) -> nn.Module:
    """Train as a script would: Adam or SGD by turns, slower steps at the end."""
    order = torch.Generator().manual_seed(seed)
    slow = seed % 2 == 0
    optimiser: torch.optim.Optimizer = (
        torch.optim.SGD(model.parameters(), 0.05, momentum=0.9, weight_decay=5e-4)
        if slow
        else torch.optim.Adam(model.parameters(), 2e-3)
    )
    epochs = 9
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimiser, [6, 8], 0.2)
    for _ in range(epochs):
        model.train()
        for rows in torch.randperm(len(labels), generator=order).split(64):
            with torch.autocast("cpu", torch.bfloat16):
                logits = model(images[rows].float() / 255)
            loss = nn.functional.cross_entropy(logits.float(), labels[rows])
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimiser.step()
        schedule.step()
    return model.eval()


@dataclass(frozen=True, eq=False)
class World:
    """A backdoored network, what the defender trusts, and what the referee asks."""

    model: nn.Module
    domain: ImageDomain
    trusted: Dataset
    asked: Dataset
    triggered: Dataset


def world(case: Case, home: Path) -> World:
    """Give a case, trained where it is not kept."""
    (images, labels), (others, theirs) = (pictures(case.data, s, home) for s in ("train", "test"))
    classes = tuple(map(str, range(int(labels.max()) + 1)))
    draw = np.random.default_rng(case.seed + 2000)
    rows = torch.from_numpy(draw.permutation(len(labels))[:LEARNT])
    torch.manual_seed(case.seed)
    file = f"python:{Path(__file__).parent / 'repair_networks.py'}:{case.network}"
    domain = ImageDomain(flip=SETS[case.data])
    blank = Dataset(images[:2], labels[:2], torch.arange(2), classes)
    model = domain.network(blank, file, draw)
    kept = home / f"{case.name}.pt"
    if not kept.exists():
        torch.manual_seed(case.seed)
        built = getattr(repair_networks, case.network)(len(classes))
        trained = train(built, *poisoned(images[rows], labels[rows], case), case.seed)
        torch.save(trained.state_dict(), kept)
    model.inner.load_state_dict(torch.load(kept, weights_only=True))
    found = torch.from_numpy(draw.permutation(len(theirs))[: TRUSTED + ASKED])
    trusted, asked = (
        Dataset(others[part], theirs[part], torch.arange(len(part)), classes)
        for part in (found[:TRUSTED], found[TRUSTED:])
    )
    aimed = asked.labels == SOURCE
    if case.trigger != "source-specific":
        aimed = asked.labels != TARGET
    victims = asked.subset(aimed)
    bad = Dataset(
        stamp(victims.inputs, case.trigger, case.seed),
        torch.full_like(victims.labels, TARGET), victims.ids, classes,
    )  # fmt: skip
    return World(model.eval(), domain, trusted, asked, bad)


def repaired(case: Case, home: Path) -> dict[str, Any]:
    """Repair a network by the default, no setting touched, and ask the attacker's test."""
    began, given = time.process_time(), world(case, home)

    def rates(model: nn.Module) -> list[float]:
        sets = (given.asked, given.triggered)
        return [round(accuracy(model, data, given.domain), 4) for data in sets]

    before = rates(given.model)
    record: dict[str, Any] = {"case": case.name, "accuracy": before[:1], "asr": before[1:]}
    if before[1] < TOOK:
        return {**record, "ended": "void: the attack did not take"}
    found = MeasuredRepair(SelfChosen()).repair(given.model, given.trusted, given.domain, case.seed)
    after = rates(found.model)
    return {
        "case": case.name,
        "accuracy": [before[0], after[0]],
        "asr": [before[1], after[1]],
        "own_before": [round(each.planted.value, 4) for each in found.own],
        "own_left": [round(each.left.value, 4) for each in found.own],
        "ended": "undone" if found.undone else "hardly repaired" if found.weak else "repaired",
        "chose": found.ended,
        "cpu_seconds": round(time.process_time() - began, 1),
    }


def table(records: list[dict[str, Any]]) -> str:
    """Give the rows of all networks that were done, and what they say together."""
    lines = [
        "| network | accuracy before | after | points lost | ASR before | after | own left "
        "| ended |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    done = [r for r in records if len(r["asr"]) == 2]
    for each in records:
        if each not in done:
            lines.append(f"| {each['case']} | {each['accuracy'][0]:.3f} | | | {each['asr'][0]:.3f} "
                         f"| | | {each['ended']} |")  # fmt: skip
            continue
        (first, last), (worked, left) = each["accuracy"], each["asr"]
        own = ", ".join(f"{100 * rate:.0f} %" for rate in each["own_left"])
        lines.append(
            f"| {each['case']} | {first:.3f} | {last:.3f} | {100 * (first - last):.1f} "
            f"| {worked:.3f} | {left:.3f} | {own} | {each['ended']} |"
        )
    if done:
        lost = [100 * (r["accuracy"][0] - r["accuracy"][1]) for r in done]
        below = sum(r["asr"][1] < 0.1 for r in done)
        lines += [
            "",
            f"ASR under 10 % in {below} of {len(done)} networks; points lost: median "
            f"{np.median(lost):.1f}, largest {max(lost):.1f}.",
        ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Do what is not done yet, and write the table anew after each network."""
    home = Path(sys.argv[1])
    home.mkdir(parents=True, exist_ok=True)
    RESULTS.mkdir(parents=True, exist_ok=True)
    for case in JUDGED:
        place = RESULTS / f"{case.name}.json"
        if not place.exists():
            place.write_text(json.dumps(repaired(case, home), indent=1) + "\n")
            print(place.read_text(), flush=True)
        kept = [RESULTS / f"{other.name}.json" for other in JUDGED]
        told = table([json.loads(path.read_text()) for path in kept if path.exists()])
        (RESULTS / "table.md").write_text(told)


if __name__ == "__main__":
    main()
