"""Guards against backdoor and adversarial inputs: the comparison of Jin et al., and later guards.

    python recipes/jin.py run --seeds 0 1     # continues where it was stopped
    python recipes/jin.py run --seeds 2 3 --worlds "cifar10 wanet, strength 3"
    python recipes/jin.py run --quick           # a small world, printed and not kept
    python recipes/jin.py strengths   # of WaNet, tried on seeds that are not judged
    python recipes/jin.py table

Every guard is fitted on some test inputs, calibrated on others by conformal p-values, and judged on
the rest: clean ones not of the target class, triggered ones that fool the network, and inputs that
were moved to the same class by the gradients of the network (Carlini-Wagner in L2, and PGD).
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from attackers import DIRTY, TASK
from cells import RESULTS, done, markdown, percent, records, save
from mithridate.attacks.goals import AllToOne
from mithridate.attacks.named import named_attack
from mithridate.attacks.poisoning import Poisoning
from mithridate.attacks.selections import RandomSelection
from mithridate.bench.cell import Cell, Task
from mithridate.bench.chain import build_chain
from mithridate.bench.execute import Workbench, execute
from mithridate.bench.origin import origin
from mithridate.bench.step import Step
from mithridate.bench.steps.data import Split
from mithridate.bench.store import Store
from mithridate.core.data import Dataset
from mithridate.core.fit import TrainingConfig
from mithridate.core.inference import logits_of
from mithridate.core.method import Attack, Detector
from mithridate.core.runtime import Runtime
from mithridate.core.scores import conformal_p_values
from mithridate.core.streams import stream
from mithridate.core.view import View
from mithridate.detectors.activation_space import ActivationSpace
from mithridate.detectors.kernel_density import KernelDensity
from mithridate.detectors.local_intrinsic_dimension import LocalIntrinsicDimension
from mithridate.detectors.mahalanobis import Mahalanobis
from mithridate.detectors.model_mutation import ModelMutation
from mithridate.detectors.ted import Ted
from mithridate.domains.image.adversarial import carlini_wagner, projected_gradient
from mithridate.domains.image.global_triggers import BlendTrigger
from mithridate.domains.image.triggers import PatchTrigger
from mithridate.stats.intervals import Interval, proportion
from mithridate.stats.ranking import auroc_interval

FOLDER, NETWORK, LEVEL, TOOK = "jin", "resnet9:8", 0.05, 0.5
GUARDS: dict[str, Detector] = {
    "model mutation, stable": ModelMutation(),
    "model mutation, sensitive": ModelMutation(seeks="sensitive"),
    "activation space": ActivationSpace(),
    "activation space, either": ActivationSpace(seeks="either"),
    "kernel density": KernelDensity(),
    "kernel density, either": KernelDensity(seeks="either"),
    "LID": LocalIntrinsicDimension(),
    "Mahalanobis": Mahalanobis(),
    "TED": Ted(),
}


@dataclass(frozen=True)
class World:
    """A task and an attack on it, and how many inputs there are for each purpose.

    budget: of PGD, in grey levels: digits take far more than photographs.
    """

    task: Task
    attack: Attack
    rate: float
    fitted: int = 500
    calibrated: int = 500
    crafted: int = 150
    budget: float = 8.0


def square(target: int) -> Attack:
    """BadNets as in the paper: a white square of 4x4 at the bottom right, a pixel from the edge."""
    trigger = PatchTrigger(size=4, row=-5, column=-5, style="white")
    return Poisoning(trigger, AllToOne(target), RandomSelection())


def watermark(target: int) -> Attack:
    """A picture over the whole input, in equal parts."""
    trigger = BlendTrigger(alpha=0.5, pattern="smooth")
    return Poisoning(trigger, AllToOne(target), RandomSelection())


SHORT = TrainingConfig(epochs=4, batch_size=128, augment=False)
MNIST, GTSRB = Task("mnist", 10_000, 2_500, SHORT), Task("gtsrb", None, 2_500, SHORT)
CIFAR, RATE = replace(TASK, test=2_500), 0.1 / 1.1
WORLDS = {
    "mnist badnets": World(MNIST, square(1), RATE, budget=64.0),
    "mnist watermark": World(MNIST, watermark(1), RATE, budget=64.0),
    "gtsrb badnets": World(GTSRB, square(33), RATE),
    "gtsrb watermark": World(GTSRB, watermark(33), RATE),
    **{
        f"cifar10 {name}": World(CIFAR, DIRTY[name], 0.1)
        for name in ("blended", "wanet", "input-aware")
    },
    **{
        f"cifar10 wanet, strength {strength}": World(
            CIFAR, named_attack("wanet", strength=strength), 0.1
        )
        for strength in (2, 3)
    },
}
"""The paper's strength of WaNet is 0.5, which these networks do not learn in six epochs."""
STRENGTHS, TRIED = (1, 2, 3), (50, 51, 52)
"""Strengths of WaNet, and the seeds on which they are tried, none of which is judged."""

QUICK = {
    "quick badnets": World(
        Task("mnist", 2_000, 1_000, replace(SHORT, epochs=6, batch_size=32)),
        square(1),
        RATE,
        300,
        300,
        24,
        64.0,
    )
}


def computed(step: Step, bench: Workbench) -> None:
    """Compute a step and all that it needs, unless the store has it."""
    for parent in step.parents:
        computed(parent, bench)
    if step.stored:
        ended = execute(step, bench)
        if ended.status != "done":
            raise RuntimeError(f"{step.kind()} ended as {ended.status}: {ended.why}")


@dataclass(frozen=True, eq=False)
class Arrivals:
    """A trained network, and inputs of every kind with the labels that it gives them."""

    model: nn.Module
    split: Split
    sets: dict[str, Dataset]
    facts: dict[str, Any]

    def view(self, kind: str) -> View:
        """What a guard sees of inputs."""
        domain = self.split.domain
        return View(self.sets[kind], domain=domain, model=self.model, precision="fp32")


def arrivals(world: World, seed: int, bench: Workbench) -> Arrivals:
    """Train, or take from the store, and make the inputs that arrive."""
    cell = Cell(world.task, world.attack, world.poison_rate, "none", 0, seed, NETWORK)
    outcome = build_chain(cell).undefended
    computed(outcome, bench)
    split, model = bench(outcome.data), bench(outcome.model).model.eval()
    facts = {name: list(value) for name, value in bench.output(outcome).facts["metrics"].items()}
    triggered_test, target = (
        bench(outcome.triggered_test),
        int(bench(outcome.triggered_test).labels[0]),
    )
    order = stream(seed, "jin").permutation(len(split.test))
    edge = world.fitted + world.calibrated
    test = split.test.subset(order[edge:])
    aimed = test.subset(test.labels != target)
    sets = {
        "fitted": split.test.subset(order[: world.fitted]),
        "calibrated": predicted(model, split, split.test.subset(order[world.fitted : edge])),
        "clean": predicted(model, split, aimed),
    }
    hit = predicted(model, split, triggered_test.subset(torch.isin(triggered_test.ids, test.ids)))
    sets["backdoor"] = hit.subset(hit.labels == target)
    few = aimed.subset(range(min(world.crafted, len(aimed))))
    few = few.subset(predicted(model, split, few).labels != target)
    wanted = torch.full((len(few),), target)
    crafted = {
        "adversarial, CW": carlini_wagner(model, few.inputs, wanted, 10.0, 2, 40, 0.1),
        "adversarial, PGD": projected_gradient(
            model, few.inputs, wanted, world.budget, 20, world.budget / 10
        ),
    }
    for name, found in crafted.items():
        made = predicted(model, split, few.with_inputs(found.images)).subset(found.fooled)
        sets[name] = made.subset(made.labels == target)
        facts[name] = list(proportion(int(found.fooled.sum()), len(few)))
    return Arrivals(model, split, sets, facts)


def predicted(model: nn.Module, split: Split, data: Dataset) -> Dataset:
    """Give inputs the labels that the model gives them."""
    prepared = split.domain.prepare(data.inputs)
    logits = logits_of(model, prepared, Runtime(), "fp32")
    return replace(data, labels=logits.argmax(1))


def judge(guard: Detector, seen: dict[str, View]) -> dict[str, Any]:
    """Fit a guard, calibrate it, and judge it on every kind of input."""
    state = guard.fit(seen["fitted"])
    scores = {k: guard.score(state, v).double() for k, v in seen.items() if k != "fitted"}
    refused = {
        kind: conformal_p_values(values, scores["calibrated"]) <= LEVEL
        for kind, values in scores.items()
    }
    clean = scores["clean"]
    row: dict[str, Any] = {
        "config": guard.config(),
        "fpr": list(proportion(int(refused["clean"].sum()), len(clean))),
    }
    bad = [kind for kind in scores if kind not in ("calibrated", "clean") and len(scores[kind])]
    for kind in bad:
        row[kind] = {
            "auroc": list(_apart(scores[kind], clean)),
            "tpr": list(proportion(int(refused[kind].sum()), len(refused[kind]))),
        }
    for kind in bad[1:] if bad[:1] == ["backdoor"] else []:
        row[kind]["backdoor_above"] = list(_apart(scores["backdoor"], scores[kind]))
    return row


def _apart(above: torch.Tensor, below: torch.Tensor) -> Interval:
    """How often the first score above the second."""
    positive = torch.arange(len(above) + len(below)) < len(above)
    return auroc_interval(torch.cat([above, below]), positive)


def measured(name: str, world: World, seed: int, bench: Workbench) -> dict[str, Any]:
    """Make the record of one world and seed."""
    seen = arrivals(world, seed, bench)
    record = {
        "world": name,
        "seed": seed,
        "attack": world.attack.config(),
        "rate": world.poison_rate,
        "recipe": vars(world.task.training),
        "network": NETWORK,
        "level": LEVEL,
        "facts": seen.facts,
        "counts": {kind: len(data) for kind, data in seen.sets.items()},
        "environment": origin(),
    }
    if seen.facts["asr"][0] < TOOK:
        return {**record, "status": "void: the attack did not take", "guards": {}}
    views = {kind: seen.view(kind) for kind in seen.sets}
    guards = {label: judge(guard, views) for label, guard in GUARDS.items()}
    return {**record, "status": "done", "guards": guards}


def run(worlds: dict[str, World], seeds: list[int], store: Path, kept: bool) -> list[Any]:
    """Make the records that are not there yet."""
    torch.set_num_threads(1)
    bench, made = Workbench(Store(store)), []
    for seed, (name, world) in itertools.product(seeds, worlds.items()):
        file = f"{name.replace(', ', '-').replace(' ', '-')}-seed{seed}"
        if not kept or not done(FOLDER, file):
            made.append(measured(name, world, seed, bench))
            if kept:
                save(FOLDER, file, made[-1])
    return made


def strengths(store: Path) -> None:
    """Record how far undefended networks of other seeds obey WaNet of several strengths."""
    torch.set_num_threads(1)
    bench, rows = Workbench(Store(store)), []
    for strength, seed in itertools.product(STRENGTHS, TRIED):
        attack = named_attack("wanet", strength=strength)
        outcome = build_chain(Cell(CIFAR, attack, 0.1, "none", 0, seed, NETWORK)).undefended
        computed(outcome, bench)
        metrics = bench.output(outcome).facts["metrics"]
        rows.append({"strength": strength, "seed": seed, "asr": list(metrics["asr"])})
    save(FOLDER, "strengths", {"wanet": rows, "environment": origin()})


def table(found: list[Any]) -> str:
    """Write how each guard ranks and finds backdoor and adversarial inputs, by world.

    One seed: its figure with the interval of the inputs. Several: their mean and their range, since
    two or three say little of their spread.
    """
    rows = []
    for world in dict.fromkeys(record["world"] for record in found):
        cells = [r for r in found if r["world"] == world]
        took = [r for r in cells if r["status"] == "done"]
        if len(took) < len(cells):
            void = f"void in {len(cells) - len(took)} of {len(cells)}"
            rows.append([world, f"{void}: the attack did not take", *[""] * 7])
        rows += [[world, guard, *_figures([r["guards"][guard] for r in took])]
                 for guard in GUARDS if took]  # fmt: skip
    header = ["task and attack", "guard", "AUROC, backdoor", "found at 5 %", "AUROC, CW"]
    header += ["AUROC, PGD", "clean refused", "backdoor above CW", "inputs"]
    return markdown(header, rows)


def _figures(each: list[Any]) -> list[str]:
    """The columns of a row, from the records of several seeds."""
    backdoor, cw, pgd = ([r.get(kind, {}) for r in each] for kind in KINDS)
    columns = [
        [r.get("auroc") for r in backdoor], [r.get("tpr") for r in backdoor],
        [r.get("auroc") for r in cw], [r.get("auroc") for r in pgd], [r["fpr"] for r in each],
        [r.get("backdoor_above") for r in cw],
    ]  # fmt: skip
    counts = [
        "/".join(str(r[kind]["auroc"][3]) if kind in r else "0" for kind in KINDS) for r in each
    ]
    return [*(_over(column) for column in columns), ", ".join(counts)]


KINDS = ("backdoor", "adversarial, CW", "adversarial, PGD")


def _over(column: list[Any]) -> str:
    """One figure over the seeds."""
    values = [value for value in column if value is not None]
    if not values:
        return ""
    if len(values) == 1:
        return percent(values[0])
    each = [100 * value[0] for value in values]
    return f"{sum(each) / len(each):.1f} ({min(each):.1f} to {max(each):.1f})"


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["run", "strengths", "table"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--worlds", nargs="+", choices=list(WORLDS), default=list(WORLDS))
    parser.add_argument("--store", type=Path, default=Path(".cache/jin"))
    parser.add_argument("--quick", action="store_true", help="a small world, printed, not kept")
    arguments = parser.parse_args()
    if arguments.quick:
        with tempfile.TemporaryDirectory() as folder:
            print(table(run(QUICK, arguments.seeds[:1], Path(folder), kept=False)))
        return
    if arguments.what == "strengths":
        strengths(arguments.store)
        return
    if arguments.what == "run":
        worlds = {name: WORLDS[name] for name in arguments.worlds}
        run(worlds, arguments.seeds, arguments.store, kept=True)
    text = table(records(FOLDER, "*-seed*"))
    (RESULTS / FOLDER / "table.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
