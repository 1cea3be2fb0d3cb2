"""A cell of a benchmark, and the grid of cells that a sweep is.

A cell says which task, attack, rate, defence, network, precision, number of trusted examples and
seed; `judged` turns it into the chain of steps that answers it.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, Literal, TypeAlias, TypeVar

from mithridate.bench.step import Step, plain
from mithridate.bench.steps.data import Data
from mithridate.bench.steps.detect import Detect
from mithridate.bench.steps.evidence import Evidence
from mithridate.bench.steps.filtering import Filter
from mithridate.bench.steps.gate import Gate
from mithridate.bench.steps.implant import Implant
from mithridate.bench.steps.judge import Judge
from mithridate.bench.steps.learn import Learn
from mithridate.bench.steps.outcome import Outcome, Trap
from mithridate.bench.steps.poison import Poison
from mithridate.bench.steps.repaired import Repaired
from mithridate.bench.steps.retrain import Retrain
from mithridate.bench.steps.stealth import Stealth
from mithridate.bench.steps.train import Train
from mithridate.bench.steps.tune import OracleTune, Plant, Tune
from mithridate.core.errors import MethodError
from mithridate.core.fit import Recipe
from mithridate.core.method import Attack, Detector, Repair, Trainer, TrainingAttack, WeightsAttack
from mithridate.core.threat import ThreatModel
from mithridate.domains.catalogue import domain_of
from mithridate.pipelines.finding import Rule
from mithridate.repairs.controls import DoNothing
from mithridate.trainers.standard import Standard

Defence: TypeAlias = Detector | Trainer | Repair
"""A detector is turned into a defence by dropping what it flags and training again."""

Control: TypeAlias = Literal["none", "random-filter", "perfect-filter"]

Tuning: TypeAlias = Literal["default", "granted", "oracle"]
"""Settings of a defence: as its authors chose, chosen on what the defender has, or on the truth."""


@dataclass(frozen=True)
class Task:
    """What is learnt: a data set, how much of it, and how it is trained.

    data: a named set, or a file or folder; train: number of suspects, None for all; test: number of
    test examples, None for all.
    """

    data: str
    train: int | None = None
    test: int | None = None
    recipe: Recipe = field(default_factory=Recipe)


@dataclass(frozen=True)
class Rules:
    """What holds for every cell of a sweep, so that no defence gets more than another.

    rule: how scores of a detector become flagged examples; took: success rate below which an attack
    is void; random_share: of the suspects that the random filter drops; budget: settings that
    tuning may try, the default among them; probe: the attack that a defender plants in copies of
    trusted examples in order to tune; planted: share of the trusted examples that are copied;
    threat: what is granted.
    """

    rule: Rule = field(default_factory=lambda: Rule(0.05, 0.2, 0.01, 999))
    took: float = 0.5
    random_share: float = 0.05
    budget: int = 8
    probe: Attack | None = None
    planted: float = 0.2
    threat: ThreatModel = field(default_factory=ThreatModel)


@dataclass(frozen=True)
class Cell:
    """One cell; the names are what tables call the task, the attack and the defence."""

    task: Task
    attack: Attack
    rate: float
    defence: Defence | Control
    trusted: int
    seed: int
    network: str = ""
    precision: str = "bf16"
    tuning: Tuning = "default"
    rules: Rules = field(default_factory=Rules)
    names: tuple[str, str, str] = ("", "", "")
    role: Literal["defence", "control", "neighbour"] = "defence"


Value = TypeVar("Value")


def grid(
    tasks: Mapping[str, Task],
    attacks: Mapping[str, Attack],
    defences: Mapping[str, Defence],
    *,
    rates: Sequence[float] = (0.0, 0.01, 0.05),
    trusted: Sequence[int] = (250,),
    seeds: Sequence[int] = (0, 1, 2),
    networks: Sequence[str] = ("",),
    precisions: Sequence[str] = ("bf16",),
    tunings: Sequence[Tuning] = ("default",),
    neighbours: bool = False,
    rules: Rules | None = None,
) -> list[Cell]:
    """Cross the axes, and add the controls to every table: nothing, random, perfect, do-nothing.

    The names of tasks, attacks and defences are what tables show. Tuning other than "default" is
    asked of defences that declare a space to search; `neighbours` adds, for every such defence, the
    settings one step from its own, for the study of stability.
    """
    rules, cells = rules or Rules(), []
    controls: dict[str, Control | Defence] = {
        "none": "none", "random-filter": "random-filter", "perfect-filter": "perfect-filter",
        "do-nothing": DoNothing(),
    }  # fmt: skip
    axes = itertools.product(
        tasks.items(), networks, precisions, trusted, attacks.items(), rates, seeds
    )
    for (task, t), network, precision, m, (name, attack), rate, seed in axes:
        common = Cell(t, attack, rate, "none", m, seed, network, precision, rules=rules)
        for label, control in controls.items():
            names = (task, name, label)
            cells.append(replace(common, defence=control, names=names, role="control"))
        for label, defence in defences.items():
            named = replace(common, defence=defence, names=(task, name, label))
            cells += [replace(named, tuning=t) for t in tunings if t == "default" or defence.space]
            if neighbours:
                near = [replace(named, defence=d, role="neighbour") for d in neighbouring(defence)]
                cells += near
    return cells


def neighbouring(defence: Defence) -> list[Defence]:
    """Settings of a defence that differ in one field by one step of its declared space."""
    for name, values in defence.space.items():
        if getattr(defence, name) not in values:
            raise MethodError(
                f"{defence.name()}: {name}={getattr(defence, name)!r} is none of the values of its "
                f"space, {values}; a setting outside has no neighbours"
            )
    return [
        replace(defence, **{name: values[other]})  # type: ignore[type-var]
        for name, values in defence.space.items()
        for place in (values.index(getattr(defence, name)),)
        for other in (place - 1, place + 1)
        if 0 <= other < len(values)
    ]


def at_rate(attack: Value, rate: float) -> Value:
    """Give the same attack on another share of the data: the `amount` of its selection.

    Raises MethodError where the attack has no amount, or the rate is no share.
    """
    if not 0 < rate < 1:
        raise MethodError(f"a poison rate is a share between 0 and 1, found {rate}")
    if is_dataclass(attack) and not isinstance(attack, type):
        if any(f.name == "amount" for f in fields(attack)):
            return replace(attack, amount=rate)
        for name in ("selection", "attack"):
            inside = getattr(attack, name, None)
            if inside is not None:
                return replace(attack, **{name: at_rate(inside, rate)})
    raise MethodError(f"{type(attack).__name__} has no amount that a poison rate could set")


def judged(cell: Cell, drawn: dict[tuple[Any, ...], Data] | None = None) -> Judge:
    """Turn a cell into its last step, and so into all of them.

    drawn: the data steps of earlier cells, so that the files behind them are looked at once.
    """
    task, rules, seed = cell.task, cell.rules, cell.seed
    fixed = isinstance(cell.attack, WeightsAttack)  # it changes no data, at whatever rate
    attack = (cell.attack if fixed else at_rate(cell.attack, cell.rate)) if cell.rate else None
    fields = (task.data, task.train, cell.trusted, task.test, seed)
    data = ({} if drawn is None else drawn).setdefault(fields, Data(*fields))
    learnt = Learn(data, cell.attack, seed) if cell.attack.learns else None
    poison = Poison(data, attack, seed, learnt if attack else None)
    victim = Standard(task.recipe)
    twin = Train(Poison(data, None, seed), data, cell.network, victim, seed)
    train, secret = _attacked(cell, attack, poison, twin, learnt)
    trap = Trap(data, cell.attack, seed, secret)
    before = Outcome(train, data, trap, cell.precision)
    gate = Gate(before, rules.took) if attack else None
    model, finder = _defended(cell, poison, train, gate)
    none = cell.defence == "none"
    return Judge(
        _axes(cell), _described(cell), poison, before,
        before if none else Outcome(model, data, trap, cell.precision), finder, gate,
        Stealth(Evidence(train), twin, trap) if none and attack else None,
    )  # fmt: skip


def _attacked(
    cell: Cell, attack: Attack | None, poison: Poison, twin: Train, learnt: Learn | None
) -> tuple[Train | Implant, Step | None]:
    """The step that gives the network to judge, and the one that knows how to spring the trap."""
    if isinstance(cell.attack, WeightsAttack):
        implant = Implant(twin, cell.attack, cell.seed)
        return implant if attack else twin, implant
    attacker = attack if isinstance(attack, TrainingAttack) else None
    return replace(twin, poison=poison, attacker=attacker), learnt


def _defended(
    cell: Cell, poison: Poison, train: Train | Implant, gate: Step | None
) -> tuple[Step, Step | None]:
    """The step that gives the defended network, and the one that flagged examples."""
    defence, rules, seed = cell.defence, cell.rules, cell.seed
    if isinstance(defence, Detector):
        evidence, chosen = Evidence(train), _tuned(cell, defence, poison, train)
        finder: Step = Detect(evidence, chosen, rules.rule, seed, gate, rules.threat)
        return Retrain(train, finder), finder
    if isinstance(defence, Repair):
        return Repaired(train, defence, seed, gate, rules.threat), None
    if isinstance(defence, Trainer):
        return Train(poison, train.data, cell.network, defence, seed, None, gate), None
    if defence == "none":
        return train, None
    by: Literal["chance", "truth"] = "chance" if defence == "random-filter" else "truth"
    finder = Filter(poison, by, rules.random_share if by == "chance" else 0.0, seed, gate)
    return Retrain(train, finder), finder


def _tuned(
    cell: Cell, detector: Detector, poison: Poison, train: Train | Implant
) -> Detector | Step:
    """The detector, or the step that chooses its settings; every defence may try as many."""
    rules, seed = cell.rules, cell.seed
    if cell.tuning == "default":
        return detector
    if cell.tuning == "oracle":
        return OracleTune(Evidence(train), detector, rules.budget, seed, rules.threat)
    if rules.probe is None:
        raise MethodError("tuning on what is granted needs an attack to plant: Rules(probe=...)")
    if getattr(rules.probe, "trigger", rules.probe) in _triggers(cell.attack):
        raise MethodError(
            "the attack that a defender plants has the trigger of the attack of the cell, which no "
            "defender knows; give Rules(probe=...) another"
        )
    plant = Plant(poison, train.data, rules.probe, rules.planted, seed)
    planted = Train(plant, train.data, train.network, train.trainer, seed)
    return Tune(Evidence(planted), detector, rules.budget, seed, rules.threat)


def _triggers(attack: Any) -> list[Any]:
    """The triggers of an attack, or of the one inside it."""
    inside = getattr(attack, "attack", None)
    own = [getattr(attack, name, None) for name in ("trigger", "test_trigger")]
    return [attack, *(t for t in own if t), *(_triggers(inside) if inside else [])]


def _axes(cell: Cell) -> tuple[tuple[str, Any], ...]:
    task, attack, defence = cell.names
    fallback = cell.defence if isinstance(cell.defence, str) else cell.defence.name()
    return (
        ("domain", domain_of(cell.task.data)), ("task", task or cell.task.data),
        ("attack", attack or cell.attack.name()),
        ("rate", cell.rate), ("defence", defence or fallback),
        ("network", cell.network or "default"),
        ("precision", cell.precision), ("trusted", cell.trusted), ("seed", cell.seed),
        ("tuning", cell.tuning), ("role", cell.role),
    )  # fmt: skip


def _described(cell: Cell) -> tuple[tuple[str, Any], ...]:
    """Everything that was set, for the page of the cell."""
    return tuple((f.name, plain(getattr(cell, f.name))) for f in fields(cell) if f.name != "names")
