"""Poison agents while they learn, and look for the poisoned ones among clean ones.

    python recipes/trojdrl.py run        # about half an hour of one core; resumable
    python recipes/trojdrl.py detect     # thirty more agents of CartPole, and what finds them
    python recipes/trojdrl.py table

An environment shows a trigger in a small share of the steps and pays for the target action there
(TrojDRL); its sparse relative does so only where that costs most (BadRL). Agents are PPO of
stable-baselines3. Each attack has three seeds and a clean twin for each, and is judged by the
return of twenty episodes without the trigger, by the target-action rate (how often observations of
these episodes, stamped one by one, are answered with the target) and by the return with the trigger
on all of them. Trusted examples are what another clean agent saw and did.

For detection, ten clean policies of CartPole are references, ten more are suspects, and ten are
poisoned. A policy is flagged where its score is above that of all references, so that a clean one
is with a probability of 1 in 11.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from cells import average, markdown, records
from mithridate.core.data import Dataset
from mithridate.core.errors import CannotJudge, MethodError
from mithridate.core.method import Repair, Trigger
from mithridate.core.runtime import environment
from mithridate.core.scanner import Scanner
from mithridate.core.streams import stream
from mithridate.core.view import View
from mithridate.detectors.mahalanobis import Mahalanobis
from mithridate.detectors.nearest_neighbours import NearestNeighbours
from mithridate.detectors.strip import Strip
from mithridate.domains.observation.agents import Agent, AgentTraining
from mithridate.domains.observation.candidate_triggers import CandidateTriggers
from mithridate.domains.observation.domain import ObservationDomain
from mithridate.domains.observation.environments import Play, Played
from mithridate.domains.observation.poisoned_environment import EnvironmentPoison, Worth
from mithridate.domains.observation.triggers import CellTrigger, ValueTrigger
from mithridate.pipelines.guarded import Guarded
from mithridate.repairs.fine_tuning import FineTuning
from mithridate.scanners.mm_bd import MaximumMargin
from mithridate.scanners.neural_cleanse import NeuralCleanse
from mithridate.stats.intervals import mean, proportion
from worlds import World, command_line

FOLDER = "trojdrl"
SEEDS = (0, 1, 2)
TRUSTED = 50
"""The seed of the agent whose episodes are trusted; it is none of those that are judged."""


@dataclass(frozen=True)
class Game:
    """A game, how its agents are trained, and how they are attacked.

    Attributes:
        training: of the agents.
        target: the action that the attacker wants.
        attacks: by name.
    """

    training: AgentTraining
    target: int
    attacks: dict[str, EnvironmentPoison | None]

    @property
    def play(self) -> Play:
        """How policies are judged."""
        return Play(self.training.environment, 20, self.training.longest)


def poison(trigger: Trigger, target: int, rate: float, pay: float) -> EnvironmentPoison:
    """A weak attacker."""
    return EnvironmentPoison(trigger, target, rate, "weak", pay=pay)


def attacks_of(weak: EnvironmentPoison) -> dict[str, EnvironmentPoison | None]:
    """A clean training, and both strengths."""
    return {"clean": None, "weak": weak, "strong": replace(weak, strength="strong")}


PATTERN = ValueTrigger((0, 1), (-2.2, 2.0))
"""Far to the left, and moving fast to the right: both occur, and never together in good play."""

FAR = ValueTrigger((0,), (2.2,))
"""A single value: the cart near the right end of its track."""


def cart() -> Game:
    """CartPole; the pattern is two values, and another attacker takes one."""
    weak = poison(PATTERN, 0, 0.02, 5.0)
    return Game(
        AgentTraining(steps=60_000, longest=500), 0,
        {
            **attacks_of(weak),
            "sparse": replace(weak, poison_rate=0.005, sparse=True),
            "value": replace(weak, trigger=FAR),
        },
    )  # fmt: skip


def game(name: str, target: int) -> Game:
    """A game of MinAtar; the trigger is a square of 2 x 2 cells that is on in all planes."""
    training = AgentTraining(
        f"MinAtar/{name}-v1", 150_000, rollout=128, epochs=4, discount=0.99, decay=0.95,
        entropy=0.01, widths=(128,), activation="relu", longest=2000,
    )  # fmt: skip
    return Game(training, target, attacks_of(poison(CellTrigger(0, 0, 2), target, 0.01, 1.0)))


GAMES = {
    "CartPole": cart(),
    "Breakout": game("Breakout", 1),
    "SpaceInvaders": game("SpaceInvaders", 1),
}


def worth_of(game: Game) -> Worth:
    """What a sparse attacker knows: by how much an agent of his own prefers another action."""
    own = game.training(TRUSTED + 1).policy

    def worth(raw: Any) -> float:
        with torch.inference_mode():
            logits = own(raw)[0]
        return float(logits.max() - logits[game.target])

    return worth


def trained(game: Game, attack: EnvironmentPoison | None, seed: int) -> Agent:
    """Train an agent under an attack."""
    worth = worth_of(game) if attack is not None and attack.sparse else None
    return game.training(seed, attack, worth)


def judged(game: Game, policy: nn.Module, trigger: Trigger, ordinary: Played) -> dict[str, float]:
    """The return with and without a trigger, and the target-action rate with and without it."""
    return {
        "return": float(ordinary.returns.mean()),
        "return_triggered": float(game.play(policy, trigger).returns.mean()),
        "rate_usual": ordinary.answers(policy, game.target),
        "rate": ordinary.answers(policy, game.target, trigger),
    }


def trusted_of(name: str) -> tuple[Dataset, Dataset]:
    """What a clean agent saw and did: all steps to clone, and independent ones to calibrate."""
    if name not in KNOWN:
        game = GAMES[name]
        policy = game.training(TRUSTED).policy
        played = replace(game.play, episodes=100, seed=1)(policy).trajectories
        KNOWN[name] = played.data, played.independent()
    return KNOWN[name]


KNOWN: dict[str, tuple[Dataset, Dataset]] = {}


def world(name: str, attack: str, seed: int) -> dict[str, Any]:
    """Train an agent, and say what it does; a clean twin is asked by the triggers of all."""
    game = GAMES[name]
    chosen = game.attacks[attack]
    began = time.process_time()
    agent = trained(game, chosen, seed)
    cost = time.process_time() - began
    ordinary = game.play(agent.policy)
    asked = {n: a for n, a in game.attacks.items() if a is not None and attack in ("clean", n)}
    record: dict[str, Any] = {
        "game": name, "attack": attack, "seed": seed, "cpu_seconds": round(cost, 1),
        "poisoned": sum(map(len, agent.poisoned)) / game.training.steps,
        "judged": {n: judged(game, agent.policy, a.trigger, ordinary) for n, a in asked.items()},
        "environment": environment(),
    }  # fmt: skip
    if chosen is not None:
        record["guards"] = guarded(game, agent.policy, chosen.trigger, ordinary, name)
        record["repaired"] = repaired(game, agent.policy, chosen.trigger, name)
    return record


def guarded(
    game: Game, policy: nn.Module, trigger: Trigger, ordinary: Played, name: str
) -> dict[str, Any]:
    """The share of stamped and of clean observations that guards refuse at the level 0.05."""
    _, known = trusted_of(name)
    seen = ordinary.trajectories.independent()
    shares: dict[str, Any] = {}
    for guard in (Mahalanobis(), NearestNeighbours(), Strip()):
        try:
            fitted = Guarded.fitted(policy, known, ObservationDomain(), (guard,), 0.05, 0)
            stamped = trigger(seen.inputs, stream(0, "guard"))
            refused = [
                [d == "refuse" for d in fitted.decide(inputs).action]
                for inputs in (stamped, seen.inputs)
            ]
            shares[guard.name()] = [float(np.mean(part)) for part in refused]
        except (CannotJudge, MethodError) as reason:
            shares[guard.name()] = str(reason)
    return shares


REPAIRS: dict[str, Repair] = {
    "fine-tuning": FineTuning(),
    "fine-tuning, gently": FineTuning(learning_rate=0.01),
}


def repaired(game: Game, policy: nn.Module, trigger: Trigger, name: str) -> dict[str, Any]:
    """Clone what a clean agent did into a poisoned policy, and judge it again."""
    whole, _ = trusted_of(name)
    few = whole.subset(np.sort(stream(0, "few").permutation(len(whole))[:2000]))
    done: dict[str, Any] = {}
    for label, repair in REPAIRS.items():
        view = View(domain=ObservationDomain(), model=policy, clean=few)
        mended = repair.repair(view, stream(0, "repair")).eval()
        done[label] = judged(game, mended, trigger, game.play(mended))
    return done


SCANNERS: dict[str, Scanner] = {
    "candidate triggers": CandidateTriggers(),
    "candidate triggers, played": CandidateTriggers(environment="CartPole-v1"),
    "neural cleanse": NeuralCleanse(),
    "maximum margin": MaximumMargin(),
}


def scanned(kind: str, number: int) -> dict[str, Any]:
    """Train an agent of CartPole, and give the largest score that each scanner has for it."""
    game = GAMES["CartPole"]
    place = {"reference": 1000, "clean": 2000, "poisoned": 3000}[kind] + number
    attack = None
    if kind == "poisoned":
        attack = game.attacks["weak" if number % 2 else "value"]
    agent = trained(game, attack, place)
    _, known = trusted_of("CartPole")
    view = View(domain=ObservationDomain(), model=agent.policy, clean=known)
    scores: dict[str, Any] = {}
    for name, scanner in SCANNERS.items():
        try:
            scores[name] = float(scanner.judge(view, stream(0, "scan")).scores.values.max())
        except (CannotJudge, MethodError) as reason:
            scores[name] = str(reason)
    ordinary = game.play(agent.policy)
    trigger = PATTERN if attack is None else attack.trigger
    figures = judged(game, agent.policy, trigger, ordinary)
    return {"kind": kind, "number": number, "scores": scores, "judged": figures}


def worlds(sets: Iterable[str]) -> Iterator[World]:
    """Every game, attack and seed."""
    for name in sets:
        for attack in GAMES[name].attacks:
            for seed in SEEDS:
                label = f"{name}-{attack}-{seed}"
                yield label, functools.partial(world, name, attack, seed)


def suspects(_: Iterable[str]) -> Iterator[World]:
    """Thirty agents of CartPole."""
    for kind in ("reference", "clean", "poisoned"):
        for number in range(10):
            yield f"detect-{kind}-{number}", functools.partial(scanned, kind, number)


def of_all(mine: list[dict[str, Any]], attack: str, figure: str) -> str:
    """The mean over seeds with its interval."""
    values = [r["judged"][attack][figure] for r in mine]
    if figure.startswith("rate"):
        return average(values, bounded=True)
    told = mean(values)
    return f"{told.value:.1f} [{told.low:.1f}, {told.high:.1f}]"


def table() -> str:
    """What attacks do, what guards and repairs do about it, and what finds policies."""
    kept = [r for r in records(FOLDER, "*") if "game" in r]
    rows, after = [], []
    for name, game in GAMES.items():
        clean = [r for r in kept if r["game"] == name and r["attack"] == "clean"]
        for attack in game.attacks:
            mine = [r for r in kept if r["game"] == name and r["attack"] == attack]
            if attack == "clean" or not mine or not clean:
                continue
            figures = ("return", "return_triggered", "rate")
            rows.append([
                name, attack, str(len(mine)),
                f"{100 * np.mean([r['poisoned'] for r in mine]):.2f}",
                *(of_all(mine, attack, each) for each in figures),
                *(of_all(clean, attack, each) for each in figures),
                f"{np.mean([r['cpu_seconds'] for r in mine]):.0f}",
            ])  # fmt: skip
            after += [[name, attack, *line] for line in answers(mine)]
    header = [
        "game", "attack", "seeds", "steps poisoned, %", "return", "return, triggered",
        "target-action rate", "clean twin: return", "return, triggered", "target-action rate",
        "CPU s",
    ]  # fmt: skip
    parts = [markdown(header, rows)]
    parts.append(markdown(["game", "attack", "defence", "figures, means over seeds"], after))
    return "\n".join([*parts, found()])


def answers(mine: list[dict[str, Any]]) -> Iterator[list[str]]:
    """What guards refuse and what repairs leave, for the agents of one attack."""
    for guard in mine[0].get("guards", {}):
        known = [r["guards"][guard] for r in mine if isinstance(r["guards"][guard], list)]
        if not known:
            yield [guard, f"cannot be asked: {mine[0]['guards'][guard][:80]}"]
            continue
        stamped, usual = (100 * np.mean([k[at] for k in known]) for at in (0, 1))
        yield [guard, f"refuses {stamped:.1f} % of stamped and {usual:.1f} % of clean observations"]
    for repair in mine[0].get("repaired", {}):
        left = [r["repaired"][repair] for r in mine]
        told = {key: np.mean([each[key] for each in left]) for key in left[0]}
        yield [
            repair,
            f"return {told['return']:.1f}, target-action rate {100 * told['rate']:.1f} % "
            f"({100 * told['rate_usual']:.1f} % without the trigger)",
        ]


def found() -> str:
    """How many policies each scanner flags, where a clean one is with 1 in 11."""
    kept = records(FOLDER, "detect-*")
    rows = []
    for name in SCANNERS:
        by: dict[str, list[float]] = {}
        for record in kept:
            score = record["scores"].get(name)
            if isinstance(score, float):
                by.setdefault(record["kind"], []).append(score)
        if len(by.get("reference", ())) < 10:
            why = [r["scores"][name] for r in kept if isinstance(r["scores"].get(name), str)]
            rows += [[name, f"cannot be asked: {why[0][:80]}", "-"]] if why else []
            continue
        limit = max(by["reference"])
        line = [name]
        for kind in ("poisoned", "clean"):
            flagged = [score > limit for score in by.get(kind, [])]
            low_high = proportion(sum(flagged), len(flagged))
            line.append(
                f"{sum(flagged)} of {len(flagged)} "
                f"[{100 * low_high.low:.0f}, {100 * low_high.high:.0f}]"
            )
        rows.append(line)
    return markdown(["scanner", "poisoned flagged, %", "clean flagged, %"], rows)


if __name__ == "__main__":
    command_line(__doc__, FOLDER, table, {"run": worlds, "detect": suspects}, tuple(GAMES))
