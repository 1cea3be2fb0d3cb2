"""A cell of a benchmark, and the grid of cells that a sweep is.

A cell says which task, attack, rate, defence, network, precision, number of trusted examples and
seed; `judged` in chain.py turns it into the chain of steps that answers it.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Literal, TypeAlias, TypeVar

from mithridate.clients.data_poisoning import DataPoisoning
from mithridate.clients.plain_descent import PlainDescent
from mithridate.core.clients import ClientAttack
from mithridate.core.errors import MethodError
from mithridate.core.federated import Aggregator
from mithridate.core.fit import TrainingConfig
from mithridate.core.method import Attack, Detector, Method, Repair, Trainer
from mithridate.core.protocols import ClientProtocol
from mithridate.core.scanner import Scanner
from mithridate.core.threat import ThreatModel
from mithridate.pipelines.federated import Federation
from mithridate.pipelines.finding import Rule
from mithridate.pipelines.splits import Division, Iid
from mithridate.repairs.controls import DoNothing


@dataclass(frozen=True)
class Guard(Method):
    """A detector that watches what arrives at a deployed network instead of its training data."""

    detector: Detector

    kind = "guard"


@dataclass(frozen=True)
class Aggregation(Method):
    """A server of a federation that does not trust the plain mean, and what it asks of clients."""

    aggregator: Aggregator
    protocol: ClientProtocol = field(default_factory=PlainDescent)

    kind = "aggregation"


Defence: TypeAlias = Detector | Trainer | Repair | Scanner | Guard | Aggregation
"""A detector is turned into a defence by dropping what it flags and training again."""

Control: TypeAlias = Literal["none", "random-filter", "perfect-filter"]

Tuning: TypeAlias = Literal["default", "granted", "oracle"]
"""Settings of a defence: as its authors chose, chosen on what the defender has, or on the truth."""


@dataclass(frozen=True)
class Task:
    """What is learnt: a data set, how much of it, and how it is trained.

    Attributes:
        data: a named set, or a file or folder.
        train: number of suspects, None for all.
        test: number of test examples, None for all.
    """

    data: str
    train: int | None = None
    test: int | None = None
    training: TrainingConfig = field(default_factory=TrainingConfig)


@dataclass(frozen=True)
class Parties:
    """Who takes part where the suspects of a task lie with clients of a federation.

    The attackers have the cell's attack on data, at its rate among their own examples.

    Attributes:
        division: how the suspects are divided among the clients.
        attackers: how many clients attack, the first ones.
        by: what they do beside poisoning their data.
        federation: rounds, training and participation; its aggregator is the undefended one.
    """

    division: Division = field(default_factory=Iid)
    attackers: int = 1
    by: ClientAttack = field(default_factory=DataPoisoning)
    federation: Federation = field(default_factory=Federation)


@dataclass(frozen=True)
class Rules:
    """What holds for every cell of a sweep, so that no defence gets more than another.

    Attributes:
        rule: how scores of a detector become flagged examples.
        min_asr: success rate below which an attack is void.
        random_share: of the suspects that the random filter drops.
        budget: settings that tuning may try, the default among them.
        probe: the attack that a defender plants in copies of trusted examples in order to tune.
        planted: share of the trusted examples that are copied.
        threat: what is granted.
        reacquire: triggered examples on which a repaired network is fine-tuned to see how fast the
            backdoor returns, 0 for none.
    """

    rule: Rule = field(default_factory=lambda: Rule(0.05, 0.2, 0.01, 999))
    min_asr: float = 0.5
    random_share: float = 0.05
    budget: int = 8
    probe: Attack | None = None
    planted: float = 0.2
    threat: ThreatModel = field(default_factory=ThreatModel)
    reacquire: int = 0


@dataclass(frozen=True)
class Cell:
    """One cell; the names are what tables call the task, the attack and the defence."""

    task: Task
    attack: Attack
    poison_rate: float
    defence: Defence | Control
    trusted: int
    seed: int
    network: str = ""
    precision: str = "bf16"
    tuning: Tuning = "default"
    rules: Rules = field(default_factory=Rules)
    names: tuple[str, str, str] = ("", "", "")
    role: Literal["defence", "control", "neighbour"] = "defence"
    parties: Parties | None = None


Value = TypeVar("Value")


def grid(
    tasks: Mapping[str, Task], attacks: Mapping[str, Attack], defences: Mapping[str, Defence],
    *, rates: Sequence[float] = (0.0, 0.01, 0.05), trusted: Sequence[int] = (250,),
    seeds: Sequence[int] = (0, 1, 2), networks: Sequence[str] = ("",),
    precisions: Sequence[str] = ("bf16",), tunings: Sequence[Tuning] = ("default",),
    neighbours: bool = False, rules: Rules | None = None,
) -> list[Cell]:  # fmt: skip
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


def federated(
    tasks: Mapping[str, Task], parties: Mapping[str, Parties], attacks: Mapping[str, Attack],
    defences: Mapping[str, Defence], *, rates: Sequence[float] = (0.0, 0.5),
    seeds: Sequence[int] = (0, 1, 2), network: str = "", trusted: int = 0,
    rules: Rules | None = None,
) -> list[Cell]:  # fmt: skip
    """Cross the axes of a table of federations; the plain mean, "none", is in every table.

    A rate of 0 is the same federation without attackers. What tables call the task names the
    parties too.
    """
    cells = []
    axes = itertools.product(tasks.items(), parties.items(), attacks.items(), rates, seeds)
    for (task, t), (party, p), (name, attack), rate, seed in axes:
        common = Cell(
            t, attack, rate, "none", trusted, seed, network, rules=rules or Rules(), parties=p,
            names=(f"{task}, {party}", name, "none"), role="control",
        )  # fmt: skip
        cells.append(common)
        for label, defence in defences.items():
            names = (*common.names[:2], label)
            cells.append(replace(common, defence=defence, names=names, role="defence"))
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


def set_poison_rate(attack: Value, rate: float) -> Value:
    """Give the same attack on another share of the data: the poison rate of its selection.

    Raises:
        MethodError: where the attack has no poison rate, or the rate is no share.
    """
    if not 0 < rate < 1:
        raise MethodError(f"a poison rate is a share between 0 and 1, found {rate}")
    if is_dataclass(attack) and not isinstance(attack, type):
        if any(f.name == "poison_rate" for f in fields(attack)):
            return replace(attack, poison_rate=rate)
        for name in ("selection", "attack"):
            inside = getattr(attack, name, None)
            if inside is not None:
                return replace(attack, **{name: set_poison_rate(inside, rate)})
    raise MethodError(f"{type(attack).__name__} has no poison rate to set")
