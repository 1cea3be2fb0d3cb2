"""Verdicts on networks that others trained: clean and backdoored, in twenty ways that are not ours.

    python recipes/elsewhere.py run --store FOLDER   # trains and scans, goes on where it stopped
    python recipes/elsewhere.py table --store FOLDER   # writes results/elsewhere

MNIST at half its size and a small network of three linear layers. Suspects are trained by plain
loops on 2,000 training images (`foreign.py`); references by the library on 1,050 of 1,500 trusted
test images, whose other 450 the scanners see. Half of the ways were drawn, before anything was
looked at, to choose the rule by; the others judge it.

The scanner of pairs, its size, steps and examples, and that it took the place of universal-transfer
were chosen by `choosing`: fresh networks of the ways that rules are chosen by, other numbers and so
other seeds than any above, beside 19 references that learnt other trusted images. None of the
networks that judge was looked at. So was the scanner of windows, later, with its settings, when the
first two halves had judged; ten further ways of training judge it ("judged again by").

    python recipes/elsewhere.py choosing --store ANOTHER_FOLDER   # results/elsewhere/choosing.md
    python recipes/elsewhere.py larger --data cifar10 --store A_THIRD   # and gtsrb
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from cells import RESULTS, markdown, percent
from foreign import LATER, LATEST, WAYS, Loop, learn
from mithridate.attacks.goals import AllToAll, AllToOne, Goal, SourceSpecific
from mithridate.attacks.poisoning import Poisoning
from mithridate.attacks.selections import RandomSelection
from mithridate.bench.metrics.evaluate import attack_success
from mithridate.core.data import Dataset
from mithridate.core.errors import CannotJudge
from mithridate.core.inference import predict
from mithridate.core.method import Trigger
from mithridate.core.runtime import Runtime
from mithridate.core.scores import Scores
from mithridate.core.streams import stream
from mithridate.core.view import View
from mithridate.domains.catalogue import load_named
from mithridate.domains.image.domain import ImageDomain
from mithridate.domains.image.global_triggers import BlendTrigger, SinusoidTrigger, WarpTrigger
from mithridate.domains.image.triggers import PatchTrigger
from mithridate.pipelines.damage import set_apart
from mithridate.pipelines.membership import compare, vitals
from mithridate.pipelines.model_scan import default_scanners, quick_scanners, round_scores
from mithridate.pipelines.references import References
from mithridate.scanners.universal_transfer import UniversalTransfer
from mithridate.scanners.weight_statistics import WeightStatistics
from mithridate.stats.intervals import proportion
from mithridate.stats.leaving_out import Floats
from mithridate.stats.population import standing

DOMAIN = ImageDomain()
FRESH = 100
"""The first number of networks that the scanner of pairs was chosen by."""
FIRST = 5
"""Kinds of backdoors that the first networks have; others came later."""
ONE_WAY, VARIED = 19, 39
CLEAN = {"chosen by": 2, "looked at once": 4, "judged by": 5, "judged again by": 6}
"""Clean networks of each way, by what the way is for."""
CHOOSING = "pairs chosen by"


@dataclass(frozen=True)
class Bed:
    """A task on which networks from elsewhere are judged.

    Attributes:
        data: A named set; "mnist" is taken at half its size.
        build: Of foreign.py, makes the network.
        trusted: Number of trusted examples; they are test images.
        shown: Share of them that the scanners see; the others teach the references.
        learnt: Training images of a suspect; 0 for as many as its way has.
        length: Factor of the epochs of a way.
        warp: Strength of the warp.
        classes: Of the data.
        crowded: Classes with examples enough to be poisoned alone; () for all.
        alone: Poisoned share of the data where one class is poisoned alone.

    """

    data: str = "mnist"
    build: str = "build"
    trusted: int = 1500
    shown: float = 0.3
    learnt: int = 0
    length: float = 1.0
    warp: float = 2.0
    classes: int = 10
    crowded: tuple[int, ...] = ()
    alone: float = 0.05

    @property
    def network(self) -> str:
        """The network by name."""
        return f"python:{Path(__file__).with_name('foreign.py')}:{self.build}"


SMALL = Bed()
BEDS = {
    "mnist": SMALL,
    "cifar10": Bed("cifar10", "convolutions", 5_000, 0.1, 5_000, 0.5, 3.0),
    "gtsrb": Bed("gtsrb", "signs", 5_000, 0.2, 5_000, 0.5, 3.0, 43, (1, 2, 12, 13, 38), 0.01),
}

LOOPS: dict[str, Loop] = {**WAYS, **LATER, **LATEST}


@dataclass(frozen=True)
class Kind:
    """A kind of backdoor: what is stamped, which examples are aimed at, and how many.

    Of one source class the task says how many.
    """

    trigger: Trigger
    aim: str = "one"
    rate: float = 0.08
    cover: float = 0.0


KINDS = {
    "patch": Kind(PatchTrigger(row=-3, column=-3, style="white")),
    "blended": Kind(BlendTrigger(alpha=0.2)),
    "sinusoid": Kind(SinusoidTrigger(delta=40.0)),
    "source-specific": Kind(PatchTrigger(row=-3, column=-3, style="white"), "source", cover=0.1),
    "all-to-all": Kind(PatchTrigger(row=-3, column=-3, style="white"), "next", rate=0.3),
    "warp": Kind(WarpTrigger(strength=2.0), rate=0.1),
}
SCANNERS = (*default_scanners(), UniversalTransfer(), WeightStatistics())
TOOK, LEVEL = 0.5, 0.05
"""Success of the attack from which on a network counts as backdoored."""


@dataclass(frozen=True)
class Suspect:
    """One network from elsewhere: how it is trained, and what is wrong with it ("" for nothing)."""

    way: str
    kind: str
    number: int
    bed: Bed = SMALL

    @property
    def loop(self) -> Loop:
        """How it is trained."""
        loop, bed = LOOPS[self.way], self.bed
        epochs = max(1, round(bed.length * loop.epochs))
        share = loop.examples / Loop.examples if bed.learnt else 1.0
        return replace(loop, epochs=epochs, examples=round(share * (bed.learnt or loop.examples)))

    @property
    def name(self) -> str:
        """A name for files."""
        return f"{self.way}-{self.kind or 'clean'}-{self.number}".replace(" ", "_")

    @property
    def wanted(self) -> int:
        """The class that its attacker wants."""
        place = stream(self.number, "elsewhere", "wanted", self.way, self.kind)
        return int(place.integers(self.bed.classes))

    @property
    def goal(self) -> Goal:
        """Whom the attacker aims at."""
        aim = KINDS[self.kind].aim
        if aim == "next":
            return AllToAll()
        others = [
            (self.wanted + step) % self.bed.classes for step in (3, *range(1, self.bed.classes))
        ]
        source = next(c for c in others if not self.bed.crowded or c in self.bed.crowded)
        return AllToOne(self.wanted) if aim == "one" else SourceSpecific(source, self.wanted)

    @property
    def attack(self) -> Poisoning:
        """The attack."""
        kind = KINDS[self.kind]
        trigger = WarpTrigger(strength=self.bed.warp) if self.kind == "warp" else kind.trigger
        rate = self.bed.alone if kind.aim == "source" else kind.rate
        return Poisoning(trigger, self.goal, RandomSelection(rate, kind.cover))


@dataclass(frozen=True)
class World:
    """Trusted examples, references and draws, and the folder in which all is kept."""

    store: Path
    seed: int = 0
    bed: Bed = SMALL

    @property
    def trusted(self) -> tuple[Dataset, Dataset]:
        """The trusted examples: those that references learn, and those that scanners see."""
        return trusted(self.seed, self.bed)


def ways(purpose: str) -> list[str]:
    """The ways that are for something; the first twenty were halved by a draw."""
    if purpose.startswith("judged"):
        return list(LATER if purpose == "judged by" else LATEST)
    if purpose == CHOOSING:
        return ways("chosen by")
    order = stream(0, "elsewhere", "split").permutation(len(WAYS))
    half = len(WAYS) // 2
    return [list(WAYS)[i] for i in sorted(order[:half] if purpose == "chosen by" else order[half:])]


def suspects(purpose: str, bed: Bed = SMALL) -> Iterator[Suspect]:
    """The networks of these ways."""
    if purpose in {CHOOSING, "judged again by"}:
        yield from fresh(purpose, bed)
        return
    kinds = list(KINDS)[:FIRST]
    for way in ways(purpose):
        for number in range(CLEAN[purpose]):
            yield Suspect(way, "", number)
        for kind in kinds[:: 2 if purpose == "chosen by" else 1]:
            yield Suspect(way, kind, 0)
        kinds = [*kinds[1:], kinds[0]]


def fresh(purpose: str, bed: Bed) -> Iterator[Suspect]:
    """Networks of every kind; of a larger task two clean and three backdoored ones a way."""
    turn = itertools.cycle(KINDS)
    for way in ways(purpose):
        if bed != SMALL:
            clean, kinds, numbers = range(2), list(itertools.islice(turn, 3)), range(1)
        elif purpose == CHOOSING:
            clean, kinds, numbers = range(FRESH, FRESH + 2), list(KINDS), range(FRESH, FRESH + 1)
        else:
            clean, kinds, numbers = range(CLEAN[purpose]), list(KINDS), range(2)
        yield from (Suspect(way, "", number, bed) for number in clean)
        yield from (Suspect(way, kind, number, bed) for kind in kinds for number in numbers)


@cache
def images(split: str, bed: Bed) -> Dataset:
    """The images of a task."""
    data = load_named(bed.data, split).data
    assert isinstance(data.inputs, torch.Tensor)
    if bed.data != "mnist":
        return data
    small = F.avg_pool2d(data.inputs.float(), 2).round().to(torch.uint8)
    return replace(data, inputs=small)


@cache
def trusted(seed: int, bed: Bed) -> tuple[Dataset, Dataset]:
    """The trusted examples of a world; those of two worlds are others."""
    test = images("test", bed)
    rows = stream(0, "elsewhere", "trusted").permutation(len(test))[4000 * seed :][: bed.trusted]
    return set_apart(test.subset(np.sort(rows)), bed.shown, stream(seed, "scan", "apart"))


@cache
def judging(bed: Bed) -> Dataset:
    """Test images that nobody is shown, to count the success of attacks on."""
    test, first = images("test", bed), max(2000, bed.trusted)
    rows = stream(0, "elsewhere", "trusted").permutation(len(test))
    return test.subset(rows[first : first + 1500])


def learnt(suspect: Suspect) -> Dataset:
    """What a suspect learns, poisoned where it is."""
    loop, rng = suspect.loop, stream(suspect.number, "elsewhere", suspect.way, suspect.kind)
    train = images("train", suspect.bed)
    data = train.subset(rng.permutation(len(train))[: loop.examples])
    if loop.uneven:
        shares = rng.uniform(1 / 3, 1, len(data.classes))
        data = data.subset(np.flatnonzero(rng.random(len(data)) < shares[data.labels.numpy()]))
    if suspect.kind:
        data = suspect.attack.poison(data, rng).data
    if loop.wrong:
        labels, wrong = data.labels.clone(), torch.from_numpy(rng.random(len(data)) < loop.wrong)
        labels[wrong] = torch.from_numpy(rng.integers(0, suspect.bed.classes, int(wrong.sum())))
        data = replace(data, labels=labels)
    return data


def begun(suspect: Suspect) -> nn.Module:
    """The network before its training; fresh, or of another task: which way an image is turned."""
    bed = suspect.bed
    rng = stream(suspect.number, "elsewhere", "begin", suspect.way, suspect.kind)
    train = images("train", bed)
    model = DOMAIN.network(train.subset(range(100)), bed.network, rng)
    if suspect.loop.other:
        data = train.subset(rng.permutation(len(train))[:2000])
        turns = torch.from_numpy(rng.integers(0, 4, len(data)))
        assert isinstance(data.inputs, torch.Tensor)
        turned = torch.stack([torch.rot90(x, int(t), (1, 2)) for x, t in
                              zip(data.inputs, turns, strict=True)])  # fmt: skip
        learn(model, DOMAIN.prepare(turned), turns, LOOPS["adam"], suspect.number)
    return model


def blank(path: Path, bed: Bed) -> nn.Module:
    """Read a network that is kept."""
    some = images("train", bed).subset(range(100))
    model = DOMAIN.network(some, bed.network, stream(0, "blank"))
    model.load_state_dict(torch.load(path, weights_only=True))
    return model.eval()


def network(suspect: Suspect, world: World) -> nn.Module:
    """Train a suspect, or read it."""
    path = world.store / "networks" / f"{suspect.name}.pt"
    if path.exists():
        return blank(path, world.bed)
    model, data = begun(suspect), learnt(suspect)
    seed = int(stream(suspect.number, "elsewhere", "seed", suspect.way).integers(2**31))
    learn(model, DOMAIN.prepare(data.inputs), data.labels, suspect.loop, seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(model.state_dict(), path)
    return model


def facts(suspect: Suspect, model: nn.Module) -> dict[str, float]:
    """What is true of a suspect: its accuracy and the success of its attack."""
    test = judging(suspect.bed)
    right = predict(model, DOMAIN.prepare(test.inputs), Runtime(), "fp32") == test.labels
    found = {"accuracy": float(right.double().mean())}
    if suspect.kind:
        rng = stream(0, "elsewhere", "test")
        found["asr"] = attack_success(model, suspect.attack, test, DOMAIN, rng).value
    return found


def reference(number: int, varied: bool, world: World) -> nn.Module:
    """Train a clean reference as a scan does, or read it."""
    path = world.store / "networks" / f"{reference_name(number, varied)}.pt"
    if path.exists():
        return blank(path, world.bed)
    model = References(network=world.bed.network, varied=varied).trained(
        number, world.trusted[0], DOMAIN, world.seed
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(model.state_dict(), path)
    return model


def reference_name(number: int, varied: bool) -> str:
    """A name for files."""
    return f"ref-{'varied' if varied else 'one'}-{number}"


def scan(name: str, make: Callable[[], nn.Module], world: World) -> None:
    """Scan a network by the scanners that are missing, and keep what they say."""
    path = world.store / "scores" / f"{name}.npz"
    found: dict[str, Any] = dict(np.load(path)) if path.exists() else {}
    asked = SCANNERS if world.bed == SMALL else default_scanners()
    missing = [s for s in asked if not {s.name(), f"why.{s.name()}"} & set(found)]
    if not missing:
        return
    model, shown = make(), world.trusted[1]
    view = View(domain=DOMAIN, model=model, clean=shown, precision="fp32")
    for scanner in missing:
        try:
            said = scanner.judge(view, stream(world.seed, "model-scan", scanner.name()))
            scores = said.scores.values if said.pairs is None else said.pairs
            found[scanner.name()] = scores.double().numpy()
        except CannotJudge as reason:
            found[f"why.{scanner.name()}"] = np.array(str(reason))
    with torch.no_grad():
        found["logits"] = model(DOMAIN.prepare(shown.inputs)).numpy()
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **found)


def run(world: World, purposes: Iterable[str], counts: Mapping[bool, int]) -> None:
    """Train and scan everything that is not kept.

    Args:
        world: Where.
        purposes: Of the suspects.
        counts: How many references, by whether they are varied.

    """
    for varied, count in counts.items():
        for number in range(count):
            scan(reference_name(number, varied), partial(reference, number, varied, world), world)
    for suspect in (s for purpose in purposes for s in suspects(purpose, world.bed)):
        path = world.store / "facts" / f"{suspect.name}.json"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(facts(suspect, network(suspect, world))))
        scan(suspect.name, partial(network, suspect, world), world)
        print(suspect.name, path.read_text(), flush=True)


@dataclass(frozen=True)
class Rule:
    """A way to reach a verdict.

    Attributes:
        varied: Whether references are trained each in a way of its own.
        count: Of references.
        own_scale: Whether classes are compared within their network first.
        checked: Whether the network must be of the kind of its references.
        scanners: Who is asked.

    """

    varied: bool
    count: int
    own_scale: bool
    checked: bool
    scanners: tuple[str, ...] = tuple(scanner.name() for scanner in default_scanners())


FEWER = ("neural-cleanse", "maximum-margin", "universal-transfer")
FORMER = (*FEWER, "weight-statistics")
THREE = ("neural-cleanse", "maximum-margin", "pairwise-transfer")
RULES = {
    "before": Rule(False, ONE_WAY, own_scale=False, checked=False, scanners=FORMER),
    "references varied": Rule(True, ONE_WAY, own_scale=False, checked=False, scanners=FORMER),
    "and scale of the network": Rule(True, ONE_WAY, True, checked=False, scanners=FORMER),
    "and without weight statistics": Rule(True, ONE_WAY, True, checked=False, scanners=FEWER),
    "and checked": Rule(True, ONE_WAY, True, checked=True, scanners=FEWER),
    "and pairs for universal transfer": Rule(True, ONE_WAY, True, True, THREE),
    "and windows, as now": Rule(True, ONE_WAY, True, checked=True),
    f"as now, {VARIED} references": Rule(True, VARIED, True, checked=True),
    "as now, quick": Rule(True, ONE_WAY, True, True, tuple(s.name() for s in quick_scanners())),
}


LARGER = ("and pairs for universal transfer", "and windows, as now", "as now, quick")
"""Rules whose scanners are asked on a larger task."""


@dataclass(frozen=True)
class Judged:
    """What a rule says of a suspect.

    Attributes:
        answer: "flagged", "clean" or "cannot judge".
        p_value: None where no rank was taken.
        named: Classes that are named.
        tail_p: By the model of the tail.

    """

    answer: str
    p_value: float | None
    named: tuple[int, ...] = ()
    tail_p: float = 1.0


def rounded(scores: Floats) -> Floats:
    """Scores as a scan keeps them."""
    flat = round_scores(Scores(torch.from_numpy(scores.ravel())))
    return flat.reshape(scores.shape)


def judge(name: str, rule: Rule, world: World) -> Judged:
    """Reach a verdict by kept scores, as `ModelScanner` does."""
    names = [name, *(reference_name(i, rule.varied) for i in range(rule.count))]
    kept = [dict(np.load(world.store / "scores" / f"{each}.npz")) for each in names]
    labels = world.trusted[1].labels
    own, *others = (vitals(torch.from_numpy(each["logits"]), labels) for each in kept)
    belongs = compare(own, others, LEVEL)
    if rule.checked and belongs is not None and belongs.why:
        return Judged("cannot judge", None)
    heard = [s for s in rule.scanners if s in kept[0]]
    rows = [kept[0], *(each for each in kept[1:] if all(s in each for s in heard))]
    tables = {s: np.stack([rounded(r[s]) for r in rows]) for s in heard}
    pairs = [x for x in tables.values() if x.ndim == 3]
    found = standing([x for x in tables.values() if x.ndim == 2], rule.own_scale, pairs)
    if found.finest_p > LEVEL + 1e-12:
        return Judged("cannot judge", found.p_value)
    named = tuple(np.flatnonzero(found.by_class <= LEVEL + 1e-12).tolist())
    answer = "flagged" if found.p_value <= LEVEL + 1e-12 else "clean"
    return Judged(answer, found.p_value, named, found.tail_p)


def share(hits: int, of: int) -> str:
    """A share with its exact interval."""
    return f"{hits}/{of}, {percent(proportion(hits, of))} %"


def took(suspect: Suspect, world: World) -> bool:
    """Whether a suspect counts: clean, or with a backdoor that it obeys."""
    kept = json.loads((world.store / "facts" / f"{suspect.name}.json").read_text())
    return not suspect.kind or bool(kept["asr"] >= TOOK)


def line(rule: str, purpose: str, world: World) -> list[str]:
    """One row of the table: what a rule says of networks that were trained in some ways."""
    every = [s for s in suspects(purpose, world.bed) if took(s, world)]
    judged = {s: judge(s.name, RULES[rule], world) for s in every}
    clean = [judged[s] for s in every if not s.kind]
    cells = [rule, *(share(sum(j.answer == a for j in clean), len(clean))
                     for a in ("flagged", "cannot judge"))]  # fmt: skip
    seen = 0
    for kind in KINDS:
        own = [s for s in every if s.kind == kind]
        hits = [s for s in own if judged[s].answer == "flagged"]
        right = [s for s in hits if kind == "all-to-all" or s.wanted in judged[s].named]
        unsure = sum(judged[s].answer == "cannot judge" for s in own)
        told = f"{len(right)} of {len(own)}" + (f", {unsure} unsure" if unsure else "")
        cells.append(told if own else "")
        seen += len(right)
    return [*cells, share(seen, len(every) - len(clean))]


HEADER = ["rule", "clean: flagged", "clean: cannot judge", *KINDS, "all backdoored"]


def table(world: World) -> str:
    """What each rule says, by what the ways of training were for."""
    parts = []
    for purpose in reversed(CLEAN):
        names = (s.name for s in suspects(purpose))
        if not all((world.store / "scores" / f"{name}.npz").exists() for name in names):
            print(f"not run to the end and left out: {purpose}")
            continue
        rows = [line(rule, purpose, world) for rule in RULES]
        told = f"Ways of training that the rule was {purpose}: {'; '.join(ways(purpose))}."
        parts.append(f"{told}\n\n{markdown(HEADER, rows)}")
    return "\n".join(parts)


def larger(data: str, store: Path) -> None:
    """Run a larger task, and write what the rules say of it."""
    world, purpose = World(store, 0, BEDS[data]), "judged again by"
    run(world, [purpose], {True: ONE_WAY})
    rows = markdown(HEADER, [line(rule, purpose, world) for rule in LARGER])
    (RESULTS / "elsewhere" / f"{data}.md").write_text(f"{rows}\n")
    print(rows)


def main() -> None:
    """Run, or write the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["run", "table", "choosing", "larger"])
    parser.add_argument("--store", type=Path, default=Path("elsewhere-store"))
    parser.add_argument("--data", choices=[name for name in BEDS if name != "mnist"])
    given = parser.parse_args()
    if given.what == "larger":
        larger(given.data, given.store)
        return
    if given.what == "run":
        run(World(given.store), CLEAN, {True: VARIED, False: ONE_WAY})
        return
    if given.what == "choosing":
        world = World(given.store, 1)
        run(world, [CHOOSING], {True: ONE_WAY})
        rules = [rule for rule, how in RULES.items() if how.varied and how.count == ONE_WAY]
        home = RESULTS / "elsewhere"
        home.mkdir(parents=True, exist_ok=True)
        rows = markdown(HEADER, [line(rule, CHOOSING, world) for rule in rules])
        (home / "choosing.md").write_text(f"{rows}\n")
        print(rows)
        return
    home = RESULTS / "elsewhere"
    home.mkdir(parents=True, exist_ok=True)
    (home / "table.md").write_text(table(World(given.store)))
    print((home / "table.md").read_text())


if __name__ == "__main__":
    main()
