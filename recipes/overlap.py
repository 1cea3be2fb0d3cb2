"""Measure what copies among the trusted examples of a scan do, and how often copies are missed.

    python recipes/overlap.py worlds      # about ten minutes of one core; resumable
    python recipes/overlap.py copies      # minutes; how often images and texts are taken for copies
    python recipes/overlap.py sources     # minutes; when examples are called of another source
    python recipes/overlap.py table

A world is a seed: of the 1,797 digits that scikit-learn carries, 1,000 suspects, and 400 trusted
ones, of which a share is copied out of the suspects, as they are or as JPEG of quality 75, and the
rest is drawn apart. Every world is scanned clean; the first also with 5 % of the suspects under a
patch and the label 0, and then only clean suspects are copied, as if somebody had checked them.
"""

from __future__ import annotations

import argparse
import io
import itertools
import time
from typing import Any

import numpy as np
import torch
from PIL import Image

from cells import done, markdown, records, save
from mithridate.attacks.poisoning import Poisoning
from mithridate.attacks.selections import RandomSelection
from mithridate.core.data import Dataset, concatenate
from mithridate.core.fit import TrainingConfig
from mithridate.core.runtime import environment
from mithridate.core.streams import stream
from mithridate.detectors.activation_clustering import ActivationClustering
from mithridate.detectors.early_loss import EarlyLoss
from mithridate.detectors.nearest_neighbours import NearestNeighbours
from mithridate.detectors.spectral_signatures import SpectralSignatures
from mithridate.domains.catalogue import load_named
from mithridate.domains.image.global_triggers import BlendTrigger, SinusoidTrigger
from mithridate.domains.image.triggers import PatchTrigger
from mithridate.domains.text.triggers import SentenceTrigger, WordTrigger
from mithridate.pipelines.contents import same_content
from mithridate.pipelines.exchange import differences, why_not
from mithridate.pipelines.scan import DataScanner
from mithridate.stats.intervals import proportion
from worlds import keep_table

FOLDER = "overlap"
SUSPECTS, TRUSTED, SHARES = 1000, 400, (0.0, 0.25, 0.5, 1.0)
KINDS = ("exact", "encoded")
CLEAN, POISONED = 20, 5
SETS = ("digits", "mnist", "cifar10", "gtsrb", "sst2", "ag-news")
ONE_SOURCE = 10
"""Clean worlds of each set in which the test of one source is asked."""

PAIRS = 1000
"""Images that are encoded to see whether they are known again."""

ATTACK = Poisoning(PatchTrigger(size=2, row=-2, column=-2), selection=RandomSelection(0.05))
SCANNER = DataScanner(
    (SpectralSignatures(), ActivationClustering(), EarlyLoss(), NearestNeighbours()),
    smallest=0.05,
    permutations=399,
    network="resnet9:16",
    training=TrainingConfig(epochs=6, batch_size=64),
)
"""A small and short scan, without the detector that takes half of its time (spectre)."""


def encoded(images: torch.Tensor, quality: int, factor: float = 1.0) -> torch.Tensor:
    """Encode images uint8[n, k, h, w] as JPEG, resized by a factor and back before."""
    copies = []
    for image in images:
        pixels = image.permute(1, 2, 0).numpy()
        picture = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
        size = picture.size
        if factor != 1:
            other = (round(factor * size[0]), round(factor * size[1]))
            picture = picture.resize(other, Image.Resampling.BICUBIC)
            picture = picture.resize(size, Image.Resampling.BICUBIC)
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=quality)
        decoded = np.array(Image.open(io.BytesIO(file.getvalue())))
        copies.append(torch.from_numpy(decoded).reshape(*pixels.shape).permute(2, 0, 1))
    return torch.stack(copies)


def world(seed: int, share: float, kind: str, poisoned: bool) -> Any:
    """Scan one world."""
    began = time.process_time()
    source = load_named("digits", "train")
    digits = concatenate(source.data, load_named("digits", "test").data)
    order = stream(seed, "overlap", "divide").permutation(len(digits))
    data = digits.subset(order[:SUSPECTS])
    apart = digits.subset(order[SUSPECTS:][: TRUSTED - round(share * TRUSTED)])
    bad = torch.zeros(len(data), dtype=torch.bool)
    if poisoned:
        made = ATTACK.poison(data, stream(seed, "poison"))
        data, bad = made.data, made.truth.poisoned
    checked = (~bad).nonzero().flatten().numpy()
    copied = stream(seed, "overlap", "check").permutation(checked)[: round(share * TRUSTED)]
    copies = data.subset(copied)
    if kind == "encoded" and len(copies):
        copies = copies.with_inputs(encoded(copies.inputs, 75))
    scan = SCANNER.scan(data, concatenate(copies, apart), source.domain, seed)
    overlap = scan.overlap
    return {
        "seed": seed,
        "share": share,
        "kind": kind,
        "poisoned": poisoned,
        "verdict": scan.verdict.answer,
        "p_value": scan.verdict.p_value,
        "flagged": int(scan.flagged.sum()),
        "flagged_clean": int((scan.flagged & ~bad).sum()),
        "copies": [overlap.exact, overlap.near] if overlap else None,
        "cpu_seconds": time.process_time() - began,
        "environment": environment(),
    }


def worlds() -> None:
    """Run the scans that have no record yet."""
    torch.set_num_threads(1)
    for seed, share, kind, poisoned in itertools.product(
        range(CLEAN), SHARES, KINDS, (False, True)
    ):
        if (poisoned and seed >= POISONED) or (share == 0 and kind == "encoded"):
            continue
        what = "poisoned" if poisoned else "clean"
        label = f"{what}-{kind}-share{round(100 * share)}-seed{seed}"
        if not done(FOLDER, label):
            save(FOLDER, label, world(seed, share, kind, poisoned))


def matches(data: Dataset, domain: Any) -> dict[str, Any]:
    """Count the examples of a data set that are taken for copies of another one, and how fast."""
    began = time.process_time()
    exact, content = same_content(data.inputs, domain)
    seconds = time.process_time() - began
    many, distinct = np.bincount(content), np.unique(exact, return_index=True)[1]
    near = int((np.bincount(content[distinct])[content[distinct]] > 1).sum())
    return {
        "examples": len(data),
        "equal": len(data) - len(distinct),
        "near": near,
        "largest": int(many.max()),
        "cpu_seconds": seconds,
    }


def known_again(data: Dataset, domain: Any, quality: int, factor: float) -> int:
    """Count the images that are known again when they are encoded, of `PAIRS`."""
    rows = stream(0, "overlap", "pairs").permutation(len(data))[:PAIRS]
    images = data.inputs[torch.from_numpy(rows)]
    other = encoded(images, quality, factor)
    near = np.linalg.norm(domain.signature(images) - domain.signature(other), axis=1) <= 1
    return int((domain.alike(images, other).numpy() & near).sum())


def copies() -> None:
    """Measure copies on the real data sets that have no record yet."""
    for name in SETS:
        if done(FOLDER, f"copies-{name}"):
            continue
        source = load_named(name)
        content = {"set": name, **matches(source.data, source.domain)}
        if isinstance(source.data.inputs, torch.Tensor):
            content["known_again"] = {
                f"quality {quality}, resized {factor:g}": known_again(
                    source.data, source.domain, quality, factor
                )
                for quality, factor in ((95, 1.0), (75, 1.0), (50, 1.0), (90, 2.0), (90, 0.75))
            }
        save(FOLDER, f"copies-{name}", {**content, "environment": environment()})


def images_from_elsewhere(images: torch.Tensor, how: str) -> torch.Tensor:
    """Images as another source would give them."""
    if how.startswith("JPEG"):
        return encoded(images, int(how.split()[1]))
    if how == "resized":
        return encoded(images, 100, 0.75)
    lighter = images.float() * 0.8 + (51 if how == "brighter" else 0)
    return lighter.clamp(0, 255).byte()


def texts_from_elsewhere(texts: Any, how: str) -> Any:
    """Texts as another source would give them."""
    changes = {
        "capitals": str.title,
        "no marks": lambda text: "".join(c for c in text if c.isalnum() or c == " "),
        "cut": lambda text: " ".join(text.split()[:8]),
    }
    return np.array([changes[how](text) for text in texts], dtype=object)


def attacks_on(data: Dataset) -> dict[str, Any]:
    """The triggers of the worlds in which examples are of one source and some are poisoned."""
    if not isinstance(data.inputs, torch.Tensor):
        return {"word": WordTrigger(), "sentence": SentenceTrigger()}
    return {"patch": PatchTrigger(), "blend": BlendTrigger(), "sinusoid": SinusoidTrigger()}


def one_source(data: Dataset, trusted: Dataset, domain: Any, seed: int) -> dict[str, Any]:
    """What the test of one source says of suspects and trusted examples."""
    began = time.process_time()
    found = differences(data, trusted, domain, stream(seed, "overlap", "sources"))
    return {
        "sure": len(found),
        "refused": why_not(found) != "",
        "first": [found[0].name, found[0].auc] if found else None,
        "cpu_seconds": time.process_time() - began,
    }


def sources_of(name: str) -> list[dict[str, Any]]:
    """Ask the test in clean worlds, in poisoned ones and between sources, for one data set."""
    source = load_named(name)
    many = min(2000, len(source.data) * 2 // 3)
    rows = []
    for seed in range(ONE_SOURCE):
        order = stream(seed, "overlap", "sources", name).permutation(len(source.data))
        data, trusted = (
            source.data.subset(order[:many]),
            source.data.subset(order[many:][:TRUSTED]),
        )
        worlds = {"clean": data} if seed >= 2 else {"clean": data, **twins(data, seed)}
        for what, suspects in worlds.items():
            asked = one_source(suspects, trusted, source.domain, seed)
            rows.append({"set": name, "seed": seed, "world": what, **asked})
    return rows


def twins(data: Dataset, seed: int) -> dict[str, Dataset]:
    """Poisoned twins of suspects, and twins as another source would give them."""
    worlds = {}
    for (name, trigger), rate in itertools.product(attacks_on(data).items(), (0.01, 0.05, 0.1)):
        attack = Poisoning(trigger, selection=RandomSelection(rate))
        worlds[f"{name} {rate:.0%}"] = attack.poison(data, stream(seed, "poison")).data
    if isinstance(data.inputs, torch.Tensor):
        for how in ("JPEG 90", "JPEG 75", "JPEG 50", "resized", "brighter", "darker"):
            worlds[f"other: {how}"] = data.with_inputs(images_from_elsewhere(data.inputs, how))
    else:
        for how in ("capitals", "no marks", "cut"):
            worlds[f"other: {how}"] = data.with_inputs(texts_from_elsewhere(data.inputs, how))
    return worlds


def sources() -> None:
    """Measure the test of one source on the sets that have no record yet."""
    for name in SETS:
        if not done(FOLDER, f"sources-{name}"):
            save(
                FOLDER, f"sources-{name}", {"rows": sources_of(name), "environment": environment()}
            )


def rates_of_sources() -> str:
    """Write how often examples are called of another source, by kind of world."""
    rows = [row for r in records(FOLDER, "sources-*") for row in r["rows"]]
    kinds = sorted({row["world"] for row in rows}, key=lambda w: (w != "clean", "other" in w, w))
    cells = []
    for kind in kinds:
        mine = [row for row in rows if row["world"] == kind]
        lines = [share_of([bool(row["sure"]) for row in mine])]
        lines += [share_of([row["refused"] for row in mine])]
        furthest = max((abs(row["first"][1] - 0.5) for row in mine if row["first"]), default=0)
        cells.append([kind, *lines, f"{furthest:.2f}"])
    header = [
        "suspects",
        "surely different (p <= 0.001)",
        "refused",
        "largest distance of AUC from 0.5",
    ]
    return markdown(header, cells)


def share_of(found: list[bool]) -> str:
    """Write k/n with the exact interval as percentages."""
    k, n = sum(found), len(found)
    _, low, high, _ = proportion(k, n)
    return f"{k}/{n} [{100 * low:.0f}, {100 * high:.0f}]"


def table() -> str:
    """Write false alarms and power by share, and the rates of copies."""
    scans = list(records(FOLDER, "*-seed*"))
    rows = []
    for kind, share in itertools.product(KINDS, SHARES):
        row = [r for r in scans if (r["kind"], r["share"]) == (kind, share)]
        if row:
            rows.append([kind, f"{share:.0%}", *rates(row)])
    rows.append(["all", "", *rates(scans)])
    header = ["copies", "share of the trusted", "clean: flagged", "clean: cannot judge"]
    text = markdown([*header, "poisoned: flagged"], rows)
    return "\n".join([text, rates_of_copies(), rates_of_sources()])


def rates(scans: list[Any]) -> list[str]:
    """The shares of clean worlds that are flagged or not judged, and of poisoned ones flagged."""
    clean = [r["verdict"] for r in scans if not r["poisoned"]]
    bad = [r["verdict"] for r in scans if r["poisoned"]]
    return [
        share_of([v == "flagged" for v in clean]),
        share_of([v == "cannot judge" for v in clean]),
        share_of([v == "flagged" for v in bad]),
    ]


def spelt(known: dict[str, int] | None, name: str) -> str:
    """The share of images that were known again; nothing for texts."""
    return f"{known[name] / PAIRS:.1%}" if known else ""


def rates_of_copies() -> str:
    """Write how many examples are taken for copies, and how many copies are known again."""
    sets = list(records(FOLDER, "copies-*"))
    again = list(dict.fromkeys(name for r in sets for name in r.get("known_again", {})))
    rows = [
        [
            r["set"], f"{r['examples']:,}", f"{r['equal']:,}",
            f"{r['near']:,} ({100 * r['near'] / r['examples']:.2f} %)",
            f"{r['cpu_seconds']:.0f}",
            *(spelt(r.get("known_again"), name) for name in again),
        ]
        for r in sets
    ]  # fmt: skip
    header = ["set", "examples", "equal to an earlier one", "taken for a copy, not equal", "CPU s"]
    return markdown([*header, *again], rows)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["worlds", "copies", "sources", "table"])
    what = parser.parse_args().what
    if what != "table":
        {"worlds": worlds, "copies": copies, "sources": sources}[what]()
    keep_table(FOLDER, table())


if __name__ == "__main__":
    main()
