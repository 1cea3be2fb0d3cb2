"""From a cell to the chain of steps that answers it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, Literal

from mithridate.bench.cell import Cell, Guard, set_poison_rate
from mithridate.bench.described import axes, describe
from mithridate.bench.federated_chain import build_federated
from mithridate.bench.step import Step
from mithridate.bench.steps.data import Data
from mithridate.bench.steps.detect import Detect
from mithridate.bench.steps.evidence import Evidence
from mithridate.bench.steps.filtering import Filter
from mithridate.bench.steps.gate import Gate
from mithridate.bench.steps.guarding import Guarding
from mithridate.bench.steps.implant import build_implant
from mithridate.bench.steps.judge import Judge
from mithridate.bench.steps.learn import Learn
from mithridate.bench.steps.network import Network
from mithridate.bench.steps.outcome import Outcome, Trap
from mithridate.bench.steps.poison import Poison
from mithridate.bench.steps.reacquire import Reacquire
from mithridate.bench.steps.repaired import Repaired
from mithridate.bench.steps.retrain import Retrain
from mithridate.bench.steps.scan import Scan
from mithridate.bench.steps.stealth import Stealth
from mithridate.bench.steps.train import Train
from mithridate.bench.steps.tune import OracleTune, Plant, Tune
from mithridate.bench.steps.tune_repair import OracleRepair, TuneRepair
from mithridate.core.errors import MethodError
from mithridate.core.method import Attack, Detector, Repair, Trainer, TrainingAttack, WeightsAttack
from mithridate.core.scanner import Scanner
from mithridate.trainers.standard import Standard


def build_chain(cell: Cell, drawn: dict[tuple[Any, ...], Data] | None = None) -> Judge:
    """Turn a cell into its last step, and so into all of them.

    Args:
        drawn: the data steps of earlier cells, so that the files behind them are looked at once.
    """
    task, rules, seed = cell.task, cell.rules, cell.seed
    fixed = isinstance(cell.attack, WeightsAttack)  # it changes no data, at whatever rate
    attack = (
        (cell.attack if fixed else set_poison_rate(cell.attack, cell.poison_rate))
        if cell.poison_rate
        else None
    )
    fields = (task.data, task.train, cell.trusted, task.test, seed)
    data = ({} if drawn is None else drawn).setdefault(fields, Data(*fields))
    if cell.parties is not None:
        return build_federated(cell, cell.parties, data, partial(_question_step, cell))
    learnt = Learn(data, cell.attack, seed) if cell.attack.learns else None
    poison = Poison(data, attack, seed, learnt if attack else None)
    victim = Standard(task.training)
    twin = Train(Poison(data, None, seed), data, cell.network, victim, seed)
    train, secret = _attack_step(cell, attack, poison, twin, learnt)
    triggered_test = Trap(data, cell.attack, seed, secret)
    before = Outcome(train, data, triggered_test, cell.precision)
    gate = Gate(before, rules.min_asr) if attack else None
    model, finder = _defence_step(cell, poison, train, triggered_test, gate)
    asked = _question_step(cell, train, triggered_test, gate)
    none = cell.defence == "none"
    again = None
    if rules.reacquire and attack:
        both = (model, _twin_of(model, twin))
        again = tuple(Reacquire(m, data, triggered_test, seed, rules.reacquire) for m in both)
    return Judge(
        axes(cell),
        describe(cell),
        poison,
        before,
        before if none or asked else Outcome(model, data, triggered_test, cell.precision),
        finder,
        gate,
        Stealth(Evidence(train), twin, triggered_test) if none and attack else None,
        again,
        asked,
    )


def _attack_step(
    cell: Cell, attack: Attack | None, poison: Poison, twin: Train, learnt: Learn | None
) -> tuple[Network, Step | None]:
    """The step that gives the network to judge, and the one that knows how to spring the trap."""
    if isinstance(cell.attack, WeightsAttack):
        implant = build_implant(twin, cell.attack, cell.seed)
        return implant if attack else twin, implant
    attacker = attack if isinstance(attack, TrainingAttack) else None
    return replace(twin, poison=poison, attacker=attacker), learnt


def _twin_of(model: Step, twin: Train) -> Step:
    """The clean network after the same defence; as it is where a filter drops examples."""
    if isinstance(model, Repaired):
        return replace(model, train=twin, gate=None)
    if isinstance(model, Train):
        return replace(model, poison=twin.poison, attacker=None, gate=None)
    return twin


def _defence_step(
    cell: Cell, poison: Poison, train: Network, triggered_test: Trap, gate: Step | None
) -> tuple[Step, Step | None]:
    """The step that gives the defended network, and the one that flagged examples."""
    defence, rules, seed = cell.defence, cell.rules, cell.seed
    if isinstance(defence, Detector):
        evidence, chosen = Evidence(train), _tune_detector(cell, defence, poison, train)
        finder: Step = Detect(evidence, chosen, rules.rule, seed, gate, rules.threat)
        return Retrain(train, finder), finder
    if isinstance(defence, Repair):
        repair = _tune_repair(cell, defence, poison, train, triggered_test)
        return Repaired(train, repair, seed, gate, rules.threat), None
    if isinstance(defence, Trainer):
        return Train(poison, train.data, cell.network, defence, seed, None, gate), None
    if defence == "none" or isinstance(defence, (Scanner, Guard)):
        return train, None  # who scans or guards leaves the network as it is
    by: Literal["chance", "truth"] = "chance" if defence == "random-filter" else "truth"
    finder = Filter(poison, by, rules.random_share if by == "chance" else 0.0, seed, gate)
    return Retrain(train, finder), finder


def _question_step(
    cell: Cell, train: Network, triggered_test: Trap, gate: Step | None
) -> Step | None:
    """The step in which a scanner judges the network, or a guard what arrives at it."""
    defence, rules, seed = cell.defence, cell.rules, cell.seed
    if isinstance(defence, Scanner):
        return Scan(train, triggered_test, defence, seed, cell.precision, gate, rules.threat)
    if isinstance(defence, Guard):
        return Guarding(
            train, triggered_test, defence.detector, seed, cell.precision, gate, rules.threat
        )
    return None


def _tune_detector(
    cell: Cell, detector: Detector, poison: Poison, train: Network
) -> Detector | Step:
    """The detector, or the step that chooses its settings; every defence may try as many."""
    rules, seed = cell.rules, cell.seed
    if cell.tuning == "default":
        return detector
    if cell.tuning == "oracle":
        return OracleTune(Evidence(train), detector, rules.budget, seed, rules.threat)
    planted = _plant(cell, poison, train)
    return Tune(Evidence(planted), detector, rules.budget, seed, rules.threat)


def _tune_repair(
    cell: Cell, repair: Repair, poison: Poison, train: Network, triggered_test: Trap
) -> Repair | Step:
    """The repair, or the step that chooses its settings; every defence may try as many."""
    rules, seed = cell.rules, cell.seed
    if cell.tuning == "default":
        return repair
    if cell.tuning == "oracle":
        return OracleRepair(train, repair, rules.budget, seed, rules.threat, triggered_test)
    planted = _plant(cell, poison, train)
    return TuneRepair(planted, repair, rules.budget, seed, rules.threat)


def _plant(cell: Cell, poison: Poison, train: Network) -> Train:
    """A network in which the defender planted a backdoor of his own, to tune on.

    Raises:
        MethodError: where there is no attack to plant, or it is the one of the cell.
    """
    rules = cell.rules
    if rules.probe is None:
        raise MethodError("tuning on what is granted needs an attack to plant: Rules(probe=...)")
    if getattr(rules.probe, "trigger", rules.probe) in _triggers(cell.attack):
        raise MethodError(
            "the attack that a defender plants has the trigger of the attack of the cell, which no "
            "defender knows; give Rules(probe=...) another"
        )
    plant = Plant(poison, train.data, rules.probe, rules.planted, cell.seed)
    return Train(plant, train.data, train.network, train.trainer, cell.seed)


def _triggers(attack: Any) -> list[Any]:
    """The triggers of an attack, or of the one inside it."""
    inside = getattr(attack, "attack", None)
    own = [getattr(attack, name, None) for name in ("trigger", "test_trigger")]
    return [attack, *(t for t in own if t), *(_triggers(inside) if inside else [])]
