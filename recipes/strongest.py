"""Measure what the strongest feature finds, at what cost, and beside whom.

    python recipes/strongest.py run --sets mnist      # 20 seconds of one core a world; resumable
    python recipes/strongest.py curves --sets mnist   # more trainings, uniform ones, the old search
    python recipes/strongest.py kernels --sets mnist  # the released search beside the exact one
    python recipes/strongest.py short --sets mnist    # half as many trainings, of 6 epochs
    python recipes/strongest.py scale                 # time and memory at 50,000 examples
    python recipes/strongest.py scans --sets mnist    # verdicts with trusted examples
    python recipes/strongest.py table

A world is a data set, a seed and a setting: dirty labels at 1.5 or 5 %, one trigger or three (each
poison carries one of them), or none. Of MNIST 3,000 examples are taken and a network of one hidden
layer, of CIFAR-10 5,000 and the smallest residual one. Triggers are 3x3 patches in corners. All
that was chosen (directions, rates, how a size is chosen) was chosen on MNIST with seed 100 and on
the digits of scikit-learn, which are not among the worlds here. Trainings count those on subsets;
each world has one more, of the network that proposes.
"""

from __future__ import annotations

import functools
import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from cells import markdown, records
from mithridate.core.data import Dataset, concatenate, dataset
from mithridate.core.fit import TrainingConfig, fit
from mithridate.core.inference import accuracy
from mithridate.core.method import Detector, State
from mithridate.core.runtime import environment
from mithridate.core.streams import seed_torch, stream
from mithridate.core.view import View
from mithridate.detectors._cells import ClassEnds, cells_of, drawn, split
from mithridate.detectors._slopes import choose, measured
from mithridate.detectors._subset_trainings import SubsetTrainings
from mithridate.detectors.activation_clustering import ActivationClustering
from mithridate.detectors.controls import GradientNorm
from mithridate.detectors.early_loss import EarlyLoss
from mithridate.detectors.nearest_neighbours import NearestNeighbours
from mithridate.detectors.spectral_signatures import SpectralSignatures
from mithridate.detectors.spectre import Spectre
from mithridate.detectors.strongest_feature import StrongestFeature, _border, difference_of_means
from mithridate.domains.catalogue import load_named
from mithridate.domains.image.domain import ImageDomain
from mithridate.domains.image.layers import Encode
from mithridate.pipelines.finding import Rule, judge_examples
from mithridate.stats.official_search import official_search
from mithridate.stats.ranking import auroc
from mithridate.stats.strongest import Attributions, objective, relaxations, rounded, search
from worlds import World, command_line

FOLDER = "strongest"
TARGET, EPOCHS, HELD_OUT = 0, 10, 1_000
CURVE = (5, 10, 20, 40, 80)
SETTINGS = {
    "D1.5": (0.015, 1),
    "D5": (0.05, 1),
    "D1.5x3": (0.015, 3),
    "D5x3": (0.05, 3),
    "clean": (0.0, 1),
}
PLAN = {
    # examples, network, trainings, seeds, settings
    "mnist": (3_000, "mlp", 40, 3, tuple(SETTINGS)),
    "cifar10": (5_000, "resnet9:4", 20, 1, ("D1.5", "D1.5x3")),
}
SHORT = ("D1.5", "D5")
"""Settings in which fewer and shorter trainings are made."""

CURVED = ("D5", "D1.5")
"""Settings in which as many trainings are made as the curve has, uniform halves too."""
RULE = Rule(level=0.05, fdr=0.2, smallest=0.01, permutations=399)


@dataclass(frozen=True)
class PlainImages(ImageDomain):
    """Images with one more network, of a single hidden layer of 64, for what needs many."""

    def network(self, data: Dataset, name: str, rng: np.random.Generator) -> nn.Module:
        """Build it by the name "mlp", and others as ever."""
        if name != "mlp":
            return super().network(data, name, rng)
        images = self.prepare(data.inputs)
        with seed_torch(rng):
            inner = nn.Linear(images[0].numel(), 64), nn.ReLU(), nn.Linear(64, len(data.classes))
            return nn.Sequential(Encode(images), nn.Flatten(), *inner)


@dataclass(frozen=True, eq=False)
class Made:
    """A poisoned data set, who carries what, and test data."""

    data: Dataset
    kinds: torch.Tensor
    test: Dataset
    trusted: Dataset
    domain: PlainImages
    network: str

    @property
    def poisoned(self) -> torch.Tensor:
        """Who carries a trigger, bool[n]."""
        return self.kinds >= 0


def stamped(images: torch.Tensor, kinds: torch.Tensor) -> torch.Tensor:
    """Put patch 0, 1 or 2 into its corner of each image: a checker, a white one, its inverse."""
    checker = (torch.arange(3)[:, None] + torch.arange(3)) % 2 * 255
    patches = (checker, torch.full((3, 3), 255), 255 - checker)
    places = ((slice(-3, None), slice(-3, None)), (slice(3), slice(3)), (slice(3), slice(-3, None)))
    images = images.clone()
    for kind, (patch, (rows, columns)) in enumerate(zip(patches, places, strict=True)):
        images[kinds == kind, :, rows, columns] = patch.byte()
    return images


@functools.cache
def source(name: str) -> Dataset:
    """All examples of a set."""
    return load_named(name).data


def made(name: str, setting: str, seed: int, trusted: int = 0) -> Made:
    """Draw a world."""
    (rate, triggers), (n, network, *_) = SETTINGS[setting], PLAN[name]
    whole, rng = source(name), stream(seed, "strongest", name)
    rows = rng.permutation(len(whole))[: n + HELD_OUT + trusted]
    data, rest = whole.subset(rows[:n]), whole.subset(rows[n:])
    others = (data.labels != TARGET).nonzero().flatten()
    chosen = others[torch.from_numpy(rng.permutation(len(others))[: round(rate * n)])]
    kinds = torch.full((n,), -1)
    kinds[chosen] = torch.arange(len(chosen)) % triggers
    labels = data.labels.clone()
    labels[chosen] = TARGET
    photographs = name == "cifar10"
    return Made(
        dataset(stamped(data.inputs, kinds), labels, data.classes), kinds,
        rest.subset(range(HELD_OUT)), rest.subset(range(HELD_OUT, HELD_OUT + trusted)),
        PlainImages(crop=0.125 if photographs else 0.0, flip=photographs), network,
    )  # fmt: skip


def trained(world: Made, data: Dataset, seed: int) -> View:
    """Train the network that proposes, and show it."""
    model = world.domain.network(data, world.network, stream(seed, "init"))
    config = TrainingConfig(epochs=12, batch_size=64 if len(data) < 4_000 else 128)
    losses = fit(model, data, world.domain, config, stream(seed, "fit")).losses
    return View(data, domain=world.domain, model=model, losses=losses)


def successes(world: Made, view: View) -> dict[str, Any]:
    """Accuracy, and by trigger the share of other classes that become the target."""
    others = world.test.subset(world.test.labels != TARGET)
    kinds = sorted(set(world.kinds[world.poisoned].tolist()))
    success = []
    for kind in kinds:
        inputs = stamped(others.inputs, torch.full((len(others),), kind))
        wanted = dataset(inputs, torch.full((len(others),), TARGET), others.classes)
        success.append(accuracy(view.model, wanted, world.domain))
    return {"accuracy": accuracy(view.model, world.test, world.domain), "success": success}


def both(scores: torch.Tensor, world: Made) -> list[float]:
    """AUROC over all data and within the target class."""
    inside = world.data.labels == TARGET
    return [auroc(scores, world.poisoned), auroc(scores[inside], world.poisoned[inside])]


BASELINES: dict[str, Detector] = {
    "spectral signatures": SpectralSignatures(),
    "activation clustering": ActivationClustering(),
    "spectre": Spectre(),
    "nearest neighbours": NearestNeighbours(),
    "early loss": EarlyLoss(),
    "gradient norm": GradientNorm(),
}


def beside(world: Made, view: View) -> dict[str, list[float]]:
    """AUROC of the other detectors on the same network."""
    said = {name: both(each.judge(view).values, world) for name, each in BASELINES.items()}
    return {**said, "-final loss": both(-view.losses[:, -1].double(), world)}


def verified(
    world: Made,
    view: View,
    state: State,
    cells: ClassEnds,
    chosen: torch.Tensor,
    said: torch.Tensor,
) -> dict[str, Any]:
    """What the detector says with some of the trainings; it is the detector's own arithmetic."""
    slopes = measured(cells, chosen, said)
    best = choose(slopes)
    borders = [
        _border(cells, number, int(end), int(size))
        for number, (end, size) in enumerate(zip(best.ends, best.sizes, strict=True))
    ]
    fitted = {
        **state, "ends": best.ends, "excess": best.excess, "borders": torch.tensor(borders).double()
    }  # fmt: skip
    scores = StrongestFeature().score(fitted, view)
    first = int(best.excess.argmax())
    record = {
        "class": int(cells.labels[first]), "size": cells.sizes[int(best.sizes[first])],
        "excess": sorted((round(float(e), 3) for e in best.excess), reverse=True)[:3],
    }  # fmt: skip
    return record if not world.poisoned.any() else {**record, "auroc": both(scores, world)}


def by_halves(world: Made, chosen: torch.Tensor, said: torch.Tensor) -> dict[str, Any]:
    """What the paper's route says with some trainings: the search in W over all data."""
    w = difference_of_means(chosen, said)
    scores = torch.zeros(len(world.data), dtype=torch.float64)
    for best in search(w, (10, 20, 40, 80, 160, 320, 640), exchange=False):
        scores += best.members.double() / int(best.members.sum())
    truth = objective(w, world.poisoned) / int(world.poisoned.sum())
    found = max(s.worth / int(s.members.sum()) for s in search(w, (160,), exchange=False))
    return {"auroc": both(scores, world), "poison": truth, "optimum": found}


def against_official(w: Attributions, sizes: tuple[int, ...], starts: int) -> dict[str, Any]:
    """The released search and the exact one on the same matrix."""
    began = time.process_time()
    released = official_search(w, sizes, starts, stream(0, "starts"))
    middle = time.process_time()
    exact = search(w, sizes)
    return {
        "sizes": sizes, "released": [released.best[k] for k in sizes],
        "exact": [each.worth for each in exact], "released_seconds": middle - began,
        "exact_seconds": time.process_time() - middle, "starts": starts,
        "swaps": released.swaps, "wrong": released.wrong,
    }  # fmt: skip


def world(
    name: str, setting: str, seed: int, trainings: int, epochs: int = EPOCHS
) -> dict[str, Any]:
    """Make one world and ask everybody."""
    here, began, times = made(name, setting, seed), time.process_time(), []
    view = trained(here, here.data, seed)
    times.append(time.process_time())
    state, order = split(view, StrongestFeature().directions), torch.arange(len(here.data))
    cells = cells_of(state, view, order)
    times.append(time.process_time())
    chosen = drawn(cells, trainings, stream(seed, "subsets"))
    said = SubsetTrainings(here.network, epochs, seed).margins(view, chosen)
    times.append(time.process_time())
    parts = ("training", "kernel", "subsets")
    record: dict[str, Any] = {
        "set": name, "setting": setting, "seed": seed, "examples": len(here.data),
        "poisons": int(here.poisoned.sum()), **successes(here, view),
        "seconds": dict(zip(parts, np.diff([began, *times]).tolist(), strict=True)),
        "trainings": trainings, "epochs": epochs, "environment": environment(),
        "curve": {str(m): verified(here, view, state, cells, chosen[:m], said[:m])
                  for m in CURVE if m <= trainings},
    }  # fmt: skip
    if here.poisoned.any():
        record["beside"] = beside(here, view)
        record["kernel alone"] = both(cells.position[:, 0], here)
    return record


def curve(name: str, setting: str, seed: int) -> dict[str, Any]:
    """The same with more trainings, and as many on uniform halves with both searches in W."""
    most, here = CURVE[-1], made(name, setting, seed)
    record = world(name, setting, seed, most)
    halves = torch.from_numpy(stream(seed, "halves").random((most, len(here.data)))) < 0.5
    train, view = (
        SubsetTrainings(here.network, EPOCHS, seed + 1),
        View(here.data, domain=here.domain),
    )
    answers = train.margins(view, halves)
    record["halves"] = {str(m): by_halves(here, halves[:m], answers[:m]) for m in CURVE}
    record["official"] = against_official(difference_of_means(halves, answers), (20, 80, 320), 3)
    return record


def scan(name: str, setting: str, seed: int) -> dict[str, Any]:
    """Judge a world with half as many trusted examples, by the scan's own rule."""
    here = made(name, setting, seed, trusted=PLAN[name][0] // 2)
    union = concatenate(here.data, here.trusted)
    view = trained(here, union, seed)
    detector = StrongestFeature(trainings=20, epochs=EPOCHS, network=here.network)
    judged = judge_examples(detector, view, len(here.data))
    decided = RULE.decide((judged,), here.data, here.trusted, stream(seed, "permute"))
    named = decided.flagged
    return {
        "set": name, "setting": setting, "seed": seed, "p_value": decided.verdict.p_value,
        "named": int(named.sum()), "clean_named": int((named & ~here.poisoned).sum()),
        "poisons": int(here.poisoned.sum()), "trainings": 20, "environment": environment(),
    }  # fmt: skip


def worlds(names: list[str]) -> Iterator[World]:
    """All worlds of some sets, seed by seed."""
    for name in names:
        _, _, trainings, seeds, settings = PLAN[name]
        for seed in range(seeds):
            for setting in settings:
                made_by = functools.partial(world, name, setting, seed, trainings)
                yield f"{name}-{setting}-seed{seed}", made_by


def kernel(name: str, setting: str, seed: int) -> dict[str, Any]:
    """Both searches in the products of derivatives within the target class."""
    here = made(name, setting, seed)
    inside = here.data.labels == TARGET
    factors = trained(here, here.data, seed).attribution[inside]
    factors = factors / factors.norm(dim=1).median()
    said = against_official(Attributions(factors, factors), (20, 80, 160), 20)
    return {"set": name, "setting": setting, "official": said, "environment": environment()}


def kernels(names: list[str]) -> Iterator[World]:
    """Both searches in matrices that need one training."""
    for setting in CURVED if "mnist" in names else ():
        label = f"kernel-mnist-{setting}-seed0"
        yield label, functools.partial(kernel, "mnist", setting, 0)


def short(names: list[str]) -> Iterator[World]:
    """Worlds with fewer and shorter trainings, of MNIST alone."""
    for setting in SHORT if "mnist" in names else ():
        made_by = functools.partial(world, "mnist", setting, 0, 20, 6)
        yield f"short-mnist-{setting}-seed0", made_by


def curves(names: list[str]) -> Iterator[World]:
    """Worlds with more trainings, of MNIST alone."""
    for setting in CURVED if "mnist" in names else ():
        yield f"curve-mnist-{setting}-seed0", functools.partial(curve, "mnist", setting, 0)


def scans(names: list[str]) -> Iterator[World]:
    """Scans with trusted examples, clean ones and poisoned ones in turn."""
    for name in names:
        for seed in range(40 if name == "mnist" else 0):
            for setting in ("clean", *(["D1.5", "D5"] if seed < 3 else [])):
                label = f"scan-{name}-{setting}-seed{seed}"
                yield label, functools.partial(scan, name, setting, 1000 + seed)


def large(n: int, r: int) -> dict[str, Any]:
    """Time and memory of the eigenvectors and the search in random factors with a planted set."""
    generator = torch.Generator().manual_seed(0)
    factors = torch.randn(n, r, generator=generator)
    planted = torch.arange(n) < round(0.015 * n)
    factors[planted] += 0.5 * torch.randn(r, generator=generator)
    w, began = Attributions(factors, factors), time.process_time()
    first = relaxations(w, StrongestFeature().directions)[0].direction
    middle = time.process_time()
    sets = [rounded(w, first, k) for k in (160, 640, 2_560)]
    return {
        "examples": n, "factors": r, "eigenvector_seconds": middle - began,
        "rounding_seconds": time.process_time() - middle,
        "planted_share": [float(planted[each].double().mean()) for each in sets[:2]],
        "peak_megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "environment": environment(),
    }  # fmt: skip


def scale(_: list[str]) -> Iterator[World]:
    """One large matrix."""
    yield "scale-50000", functools.partial(large, 50_000, 512)


def scale_table() -> str:
    """Time and memory at many examples."""
    rows = [
        [f"{r['examples']:,} x {r['factors']}", f"{r['eigenvector_seconds']:.0f}",
         f"{r['rounding_seconds']:.0f}", f"{r['peak_megabytes']:.0f}",
         ", ".join(f"{share:.2f}" for share in r["planted_share"])]
        for r in records(FOLDER, "scale-*")
    ]  # fmt: skip
    header = ["examples x factors", "CPU seconds of two eigenvectors", "of rounding to three sizes",
              "peak MB", "planted among 160, 640 members"]  # fmt: skip
    return markdown(header, rows)


def of_worlds() -> list[dict[str, Any]]:
    """The records of worlds, in the order of the plan."""
    seen = [r for name in PLAN for r in records(FOLDER, f"{name}-*")]
    seen += [{**r, "set": f"{r['set']}, {r['epochs']} epochs,"} for r in records(FOLDER, "short-*")]
    return sorted(seen, key=lambda r: (r["set"], list(SETTINGS).index(r["setting"])))


def pair(values: list[list[float]]) -> str:
    """Write the lowest and the highest AUROC over seeds, over all data and in the class."""
    if not values:
        return "-"
    parts = [sorted(value[i] for value in values) for i in (0, 1)]
    return " / ".join(f"{p[0]:.3f}" if len(p) == 1 else f"{p[0]:.3f} to {p[-1]:.3f}" for p in parts)


def grouped() -> dict[tuple[str, str], list[dict[str, Any]]]:
    """Worlds by set and setting."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for record in of_worlds():
        groups.setdefault((record["set"], record["setting"]), []).append(record)
    return groups


def settings_table() -> str:
    """What is found at the most trainings that all seeds have."""
    rows = []
    for (name, setting), group in grouped().items():
        if setting == "clean":
            continue
        m = str(min(r["trainings"] for r in group))
        now = [r["curve"][m] for r in group]
        lowest = min(min(r["success"]) for r in group)
        seconds = sum(sum(r["seconds"].values()) * int(m) / r["trainings"] for r in group)
        rows.append([
            f"{name} {setting}", f"{len(group)}", f"{lowest:.2f}", m,
            pair([v["auroc"] for v in now]), pair([r["kernel alone"] for r in group]),
            f"{sum(v['class'] == TARGET for v in now)} of {len(now)}",
            f"{sum(v['auroc'][1] > 0.5 for v in now)} of {len(now)}",
            f"{seconds / len(group):.0f}",
        ])  # fmt: skip
    header = ["world", "seeds", "lowest success", "trainings", "AUROC, all / in class",
              "kernel alone", "class found", "right end", "CPU seconds"]  # fmt: skip
    return markdown(header, rows)


def baselines_table() -> str:
    """The other detectors on the same networks."""
    names = [*BASELINES, "-final loss"]
    rows = [
        [f"{name} {setting}", *(pair([r["beside"][each] for r in group]) for each in names)]
        for (name, setting), group in grouped().items() if setting != "clean"
    ]  # fmt: skip
    return markdown(["world", *names], rows)


def clean_table() -> str:
    """By how much the first set of clean data stands out, beside poisoned ones."""
    rows = []
    for (name, setting), group in grouped().items():
        m = str(min(r["trainings"] for r in group))
        said = "; ".join(
            f"{r['curve'][m]['excess'][0]:.1f}, {r['curve'][m]['excess'][1]:.1f} "
            f"(size {r['curve'][m]['size']})" for r in group
        )  # fmt: skip
        rows.append([f"{name} {setting}", str(group[0]["poisons"]), said])
    return markdown(
        ["world", "poisons", "first and second excess (size of the first), by seed"], rows
    )


def curve_table() -> str:
    """AUROC in the class against the number of trainings."""
    groups = {(*key, "cells"): group for key, group in grouped().items() if key[1] != "clean"}
    for record in records(FOLDER, "curve-*"):
        groups[record["set"], record["setting"], "cells, to 80"] = [record]
    rows = [
        [f"{name} {setting}, {what}", *(_reached(group, m) for m in map(str, CURVE))]
        for (name, setting, what), group in groups.items()
    ]
    for record in records(FOLDER, "curve-*"):
        halves, name = record["halves"], f"{record['set']} {record['setting']}"
        said = [f"{halves[str(m)]['auroc'][1]:.3f}" for m in CURVE]
        rows.append([f"{name}, uniform halves", *said])
        said = [f"{halves[str(m)]['poison']:.2f} / {halves[str(m)]['optimum']:.2f}" for m in CURVE]
        rows.append([f"{name}, worth per member there, poison / best set of 160", *said])
    return markdown(["in the class, mean (right end)", *(f"{m} trainings" for m in CURVE)], rows)


def _reached(group: list[dict[str, Any]], trainings: str) -> str:
    """The mean AUROC in the class and how often the right end was taken."""
    values = [r["curve"][trainings]["auroc"][1] for r in group if trainings in r["curve"]]
    right = sum(value > 0.5 for value in values)
    return f"{np.mean(values):.3f} ({right} of {len(values)})" if values else "-"


def official_table() -> str:
    """The released search beside the exact one."""
    rows = []
    seen = [("uniform halves", r) for r in records(FOLDER, "curve-*")]
    seen += [("derivatives, target class", r) for r in records(FOLDER, "kernel-*")]
    for kind, record in seen:
        o, name = record["official"], f"{record['set']} {record['setting']}, {kind}"
        for k, released, exact in zip(o["sizes"], o["released"], o["exact"], strict=True):
            rows.append([name, str(k), f"{released:.0f}", f"{exact:.0f}"])
        seconds = (f"{o['released_seconds']:.1f}", f"{o['exact_seconds']:.1f}")
        rows.append([f"{name}: CPU seconds ({o['starts']} starts, exact: none)", "", *seconds])
        swaps = f"{o['wrong']} of {o['swaps']} tried"
        rows.append([f"{name}: kept swaps that lowered the true worth", "", swaps, "-"])
    return markdown(["matrix", "members", "released", "exact"], rows)


def scans_table() -> str:
    """Verdicts of scans with trusted examples."""
    rows = []
    seen = records(FOLDER, "scan-*")
    for setting in SETTINGS:
        group = [r for r in seen if r["setting"] == setting]
        if group:
            flagged = sum(r["p_value"] <= RULE.level for r in group)
            named, clean = (sum(r[key] for r in group) for key in ("named", "clean_named"))
            least = f"{min(r['p_value'] for r in group):.3f}"
            rows.append([setting, str(len(group)), str(flagged), least, f"{named} ({clean})"])
    return markdown(["mnist", "scans", "flagged at 0.05", "smallest p", "named (clean)"], rows)


def table() -> str:
    """All tables."""
    parts = {
        "What is found": settings_table, "Other detectors, AUROC over all data / in the class":
        baselines_table, "By how much the first sets stand out": clean_table,
        "How many trainings it takes": curve_table, "The released search": official_table,
        "Verdicts with trusted examples": scans_table,
        "All data at once, without the matrix": scale_table,
    }  # fmt: skip
    made_of = {title: make() for title, make in parts.items()}
    shown = {title: text for title, text in made_of.items() if text.count("\n") > 2}
    return "\n".join(f"### {title}\n\n{text}" for title, text in shown.items())


if __name__ == "__main__":
    command_line(
        __doc__,
        FOLDER,
        table,
        {
            "run": worlds,
            "short": short,
            "kernels": kernels,
            "curves": curves,
            "scans": scans,
            "scale": scale,
        },
        list(PLAN),
    )
