"""BKI: inputs with a part that often moves the features of one class most.

Axes: n examples, c classes, d features, k parts.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from hashlib import blake2b
from typing import ClassVar

import torch

from mithridate.core.errors import MethodError
from mithridate.core.inference import forward
from mithridate.core.method import Detector, State
from mithridate.core.parts import Parted, each_left_out, parted_domain
from mithridate.core.view import View

COPIES = 4096
"""Inputs without a part that are prepared at a time."""


@dataclass(frozen=True)
class Bki(Detector):
    """Score each example by its part that matters most often and most to examples of its label.

    f(x, k) = |h(x) - h(x without k)|, with h the features. Of each example the `strongest` parts
    count. A part w of the label y has the strength g(w, y) = m log10(q) log10(1 + a / q), with q
    the examples of y in which it counts, m the mean of its f there and a = `share` times all
    examples, so that what is frequent anyway has little. s(x) = the largest g of the parts of x for
    its label, 0 without any. Larger is more suspicious. The paper has log10(a / q), which is
    negative for frequent parts, and drops every example with the best part alone. An example of l
    parts costs l + 1 passes.

    Attributes:
        strongest: parts of each example that count.
        share: of all examples that a part may be in before its strength falls off.

    Raises:
        MethodError: for settings out of range.
        CannotJudge: where inputs have no parts.
    """

    paper = (
        "Chen and Dai, Mitigating Backdoor Attacks in LSTM-based Classification Systems by "
        "Backdoor Keyword Identification, Neurocomputing 2021"
    )
    links = ("https://arxiv.org/abs/2007.12070",)
    known_as = ("backdoor-keyword-identification",)
    assumes = "the trigger is a part that recurs and moves the features more than what is said does"
    space: ClassVar = {"strongest": (3, 5, 10), "share": (0.05, 0.1, 0.2)}

    strongest: int = 5
    share: float = 0.1

    def fit(self, view: View) -> State:
        """Rank parts: names int64[k] as hashes, their labels, and strengths float64[k]."""
        if self.strongest < 1 or not 0 < self.share <= 1:
            raise MethodError(
                f"need at least 1 part and a share above 0 and at most 1; found {self.strongest} "
                f"and {self.share}"
            )
        domain = parted_domain(view)
        parted = domain.parts(view.inputs)
        moved = _moved(view, parted)
        held: dict[tuple[int, str], list[float]] = defaultdict(list)
        for one, label, amounts in zip(parted, view.labels.tolist(), moved, strict=True):
            best: dict[str, float] = {}
            for name, amount in zip(one.names, amounts, strict=True):
                best[name] = max(amount, best.get(name, 0.0))
            ranked = sorted(best.items(), key=lambda pair: (-pair[1], pair[0]))
            for name, amount in ranked[: self.strongest]:
                held[label, name].append(amount)
        most = self.share * len(parted)
        rows = sorted(
            (_number(name), label, _strength(amounts, most))
            for (label, name), amounts in held.items()
        )
        return {
            "names": torch.tensor([row[0] for row in rows], dtype=torch.int64),
            "labels": torch.tensor([row[1] for row in rows], dtype=torch.int64),
            "strengths": torch.tensor([row[2] for row in rows], dtype=torch.float64),
        }

    def score(self, state: State, view: View) -> torch.Tensor:
        """Score every example, float64[n], without asking the model again."""
        columns = (state[name].tolist() for name in ("names", "labels", "strengths"))
        known = {(name, label): value for name, label, value in zip(*columns, strict=True)}
        parted = parted_domain(view).parts(view.inputs)
        scores = [
            max((known.get((_number(name), label), 0.0) for name in set(one.names)), default=0.0)
            for one, label in zip(parted, view.labels.tolist(), strict=True)
        ]
        return torch.tensor(scores, dtype=torch.float64)


def _moved(view: View, parted: list[Parted]) -> list[list[float]]:
    """How far features move without each part, by example."""
    domain, lengths = parted_domain(view), [len(one.pieces) for one in parted]
    pieces, rows = each_left_out(parted)
    if not pieces:
        return [[] for _ in parted]
    before = view.features
    far = []
    for start in range(0, len(pieces), COPIES):
        prepared = view.domain.prepare(domain.whole(pieces[start : start + COPIES]))
        after, _ = forward(view.model, prepared, view.runtime, None, view.precision)
        far.append((after - before[rows[start : start + COPIES]]).double().norm(dim=1))
    return [part.tolist() for part in torch.cat(far).split(lengths)]


def _strength(amounts: list[float], most: float) -> float:
    """The strength of a part that counts in examples by these amounts."""
    times = len(amounts)
    return math.fsum(amounts) / times * math.log10(times) * math.log10(1 + most / times)


def _number(name: str) -> int:
    code = name.encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(code, digest_size=8).digest(), "little") >> 1
