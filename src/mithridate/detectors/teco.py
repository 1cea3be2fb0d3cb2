"""TeCo: inputs whose robustness differs from one kind of damage to the next.

Axes: n examples, q kinds of damage.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from mithridate.core.errors import CannotJudge
from mithridate.core.method import Detector, State
from mithridate.core.streams import stream, torch_generator
from mithridate.core.view import View

COPIES = 2048
"""Damaged copies that are held in memory at a time."""
SEVEREST = 5


@dataclass(frozen=True)
class TeCo(Detector):
    """Score each input by the spread over kinds of damage of the severity that changes its class.

    t_q(x) = the smallest severity, 1 to 5, at which damage of the kind q changes the answer of the
    model, and 6 where none does; s = the standard deviation of t_q over q. Larger is more
    suspicious: a trigger survives some kinds of damage at any severity and falls to others at once,
    while an ordinary input gives way to all of them alike. Nothing is learnt from trusted inputs.
    The kinds are those of the domain; the paper takes the fifteen of ImageNet-C.

    Attributes:
        seed: of what is random in the damage, which is the same for all inputs.

    Raises:
        CannotJudge: where the domain knows fewer than two kinds.
    """

    paper = (
        "Liu et al., Detecting Backdoors During the Inference Stage Based on Corruption Robustness "
        "Consistency, CVPR 2023"
    )
    links = ("https://arxiv.org/abs/2303.18191",)
    spelled = "teco"
    assumes = (
        "kinds of damage differ in whether they destroy the trigger, and ordinary inputs lose "
        "their class at similar severities of all kinds"
    )

    seed: int = 0

    def fit(self, view: View) -> State:
        """Nothing is learnt; what cannot be judged is said here already."""
        _kinds(view)
        return {}

    def score(self, state: State, view: View) -> torch.Tensor:
        """Score every input by at most 5 q + 1 questions to the model, float64[n]."""
        kinds = _kinds(view)
        prepared = view.domain.prepare(view.inputs)
        blocks = prepared.split(max(1, COPIES // len(kinds)))
        return torch.cat([self._spread(view, kinds, block) for block in blocks])

    def _spread(self, view: View, kinds: tuple[str, ...], block: torch.Tensor) -> torch.Tensor:
        """Scores of a block; what has changed its class is not damaged any further."""
        ask, domain = view.queries, view.domain
        predicted = ask(block).argmax(1)
        changes = torch.full((len(kinds), len(block)), SEVEREST + 1)
        for severity in range(1, SEVEREST + 1):
            rows, damaged = [], []
            for number, kind in enumerate(kinds):
                rows.append((changes[number] > SEVEREST).nonzero().flatten())
                rng = torch_generator(stream(self.seed, "teco", kind))
                damaged.append(domain.corrupt(block[rows[-1]], kind, severity, rng))
            if not sum(map(len, rows)):
                break
            answers = ask(torch.cat(damaged)).argmax(1).split([len(row) for row in rows])
            for number, (row, answer) in enumerate(zip(rows, answers, strict=True)):
                changes[number, row[answer != predicted[row]]] = severity
        return changes.double().std(0, correction=0)


def _kinds(view: View) -> tuple[str, ...]:
    """The kinds of damage that the domain knows."""
    kinds = view.domain.corruptions
    if len(kinds) < 2:
        raise CannotJudge(
            f"a spread needs two kinds of damage at least, and the domain knows {list(kinds)}; "
            "use another guard that only asks the model"
        )
    return kinds
