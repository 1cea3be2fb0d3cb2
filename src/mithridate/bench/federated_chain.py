"""From a cell about a federation to the chain of steps that answers it.

    Data -> PoisonClients -> Federate (the plain mean) -> Outcome -> Gate
                         |-> Federate (the defence)    -> Outcome -> Judge, with Doubted

A repair, a scanner or a guard is asked about the model of the plain mean, as it would be about a
network that was trained in one place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias, cast

from mithridate.bench.cell import Aggregation, Cell, Guard, Parties, set_poison_rate
from mithridate.bench.described import axes, describe
from mithridate.bench.step import Step
from mithridate.bench.steps.data import Data
from mithridate.bench.steps.federate import Doubted, Federate, Liars, PoisonClients
from mithridate.bench.steps.gate import Gate
from mithridate.bench.steps.judge import Judge
from mithridate.bench.steps.learn import Learn
from mithridate.bench.steps.outcome import Outcome, Trap
from mithridate.bench.steps.repaired import Repaired
from mithridate.core.errors import MethodError
from mithridate.core.method import Repair
from mithridate.core.scanner import Scanner
from mithridate.trainers.standard import Standard

Asking: TypeAlias = Callable[[Federate, Trap, Step | None], Step | None]
"""Gives the step in which a scanner or a guard is asked about a network."""


def build_federated(cell: Cell, parties: Parties, data: Data, asking: Asking) -> Judge:
    """Turn a cell about a federation into its last step.

    Args:
        cell: The cell; its attack is on the data of the attackers, at its rate.
        parties: Who takes part.
        data: The step that gives the examples.
        asking: Gives the step of a scanner or a guard.

    Raises:
        MethodError: where the defence means nothing for a federation, or the attackers have an
            attack of their own on data.
    """
    seed, rules = cell.seed, cell.rules
    liars = _liars(cell, parties)
    learnt = Learn(data, cell.attack, seed) if cell.attack.learns else None
    own = set_poison_rate(cell.attack, cell.poison_rate) if liars else None
    poison = PoisonClients(data, own, seed, learnt if liars else None, parties.division, liars)
    plain = Federate(
        poison, data, cell.network, Standard(parties.federation.training), seed,
        parties.federation, parties.division, liars,
    )  # fmt: skip
    triggered_test = Trap(data, cell.attack, seed, learnt)
    before = Outcome(plain, data, triggered_test, cell.precision)
    gate = Gate(before, rules.min_asr) if liars else None
    model = _defended(cell, plain, gate)
    federate = model if isinstance(model, Federate) else plain
    asked = asking(plain, triggered_test, gate)
    same = model is plain
    return Judge(
        axes(cell), describe(cell), poison, before,
        before if same else Outcome(model, data, triggered_test, cell.precision),
        gate=gate, asked=asked or (Doubted(federate, gate) if federate is model else None),
    )  # fmt: skip


def _liars(cell: Cell, parties: Parties) -> Liars:
    """Who attacks: the first clients, which the division has dealt at random."""
    if not cell.poison_rate or not parties.attackers:
        return ()
    if parties.attackers > parties.division.clients:
        raise MethodError(
            f"{parties.attackers} attackers among {parties.division.clients} clients; "
            "expected at most as many"
        )
    own = set_poison_rate(cell.attack, cell.poison_rate)
    attack: Any = replace(cast(Any, parties.by), data=own)
    return tuple((client, attack) for client in range(parties.attackers))


def _defended(cell: Cell, plain: Federate, gate: Step | None) -> Step:
    """The step that gives the model to judge."""
    defence = cell.defence
    if isinstance(defence, Aggregation):
        federation = replace(
            plain.federation, aggregator=defence.aggregator, protocol=defence.protocol
        )
        return replace(plain, federation=federation, gate=gate)
    if isinstance(defence, Repair):
        return Repaired(plain, defence, cell.seed, gate, cell.rules.threat)
    if defence == "none" or isinstance(defence, Scanner | Guard):
        return plain
    name = defence if isinstance(defence, str) else defence.name()
    raise MethodError(
        f"{name} filters or trains in one place, which no server of a federation can; give an "
        "Aggregation, a repair, a scanner or a guard"
    )
