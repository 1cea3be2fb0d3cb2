"""RAP: inputs whose class stays sure behind parts that unsettle trusted inputs of that class.

Axes: n examples, c classes, k candidates.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import numpy as np
import torch

from mithridate.core.errors import MethodError
from mithridate.core.method import Detector, State
from mithridate.core.parts import Parted, parted_domain
from mithridate.core.view import View
from mithridate.detectors._drawing import drawn_rows

COPIES = 4096
"""Changed inputs that are prepared at a time."""


@dataclass(frozen=True)
class Rap(Detector):
    """Score each input by how little its class loses behind parts made to unsettle that class.

    For each class y parts are put before trusted inputs that the model calls y, one after the
    other, each time the candidate that lowers the mean of p_y most, until it has fallen by `drop`.
    s(x) = -(p_y(x) - p_y(parts of y before x)), y the model's answer to x. Larger is more
    suspicious: a backdoor holds its class. The paper takes one rare word and learns its embedding
    inside the model, for one class that is known to be the target; here parts that occur in
    trusted inputs are sought by asking, for every class, so that nothing inside is touched.

    Attributes:
        drop: by how much the mean probability of a class is to fall.
        most: parts, at most, for a class.
        candidates: k, how many of the most frequent parts of trusted inputs are tried.
        examples: trusted inputs of each class that are asked about.
        seed: of their choice.

    Raises:
        MethodError: for settings out of range.
        CannotJudge: where inputs have no parts.
    """

    paper = (
        "Yang et al., RAP: Robustness-Aware Perturbations for Defending against Backdoor Attacks "
        "on NLP Models, EMNLP 2021"
    )
    links = ("https://arxiv.org/abs/2110.07831",)
    assumes = "an input with the trigger keeps its class beside parts that speak against it"
    space: ClassVar = {"drop": (0.1, 0.2, 0.3, 0.5), "most": (1, 2, 4)}

    drop: float = 0.3
    most: int = 4
    candidates: int = 200
    examples: int = 16
    seed: int = 0

    def fit(self, view: View) -> State:
        """Seek the parts of each class; "parts" holds them in UTF-8, "ends" where each class ends.

        A class that the model calls no trusted input has none.
        """
        if not 0 < self.drop <= 1 or min(self.most, self.candidates, self.examples) < 1:
            raise MethodError(
                "need a drop above 0 and at most 1, and at least 1 part, candidate and example; "
                f"found {self}"
            )
        domain = parted_domain(view)
        parted = domain.parts(view.inputs)
        prepared = view.domain.prepare(view.inputs)
        logits = view.queries(prepared)
        tried = self._candidates(parted)
        chosen = []
        for label in range(logits.shape[1]):
            own = (logits.argmax(1) == label).nonzero().flatten()
            rows = own[drawn_rows(prepared[own], self.examples, self.seed, "rap")]
            some = [parted[row].pieces for row in rows.tolist()]
            chosen.append("".join(self._sought(view, some, tried, label)).encode("utf-8"))
        code = np.frombuffer(b"".join(chosen), np.uint8).copy()
        ends = np.cumsum([len(each) for each in chosen])
        return {"parts": torch.from_numpy(code), "ends": torch.from_numpy(ends)}

    def score(self, state: State, view: View) -> torch.Tensor:
        """Score every input by two questions to the model, float64[n]."""
        domain = parted_domain(view)
        shares = view.queries(view.domain.prepare(view.inputs)).double().softmax(1)
        before, answers = shares.max(1)
        code, ends = state["parts"].numpy().tobytes(), [0, *state["ends"].tolist()]
        put = [code[a:b].decode("utf-8") for a, b in pairwise(ends)]
        parted = domain.parts(view.inputs)
        pieces = [
            ((put[label],) if label < len(put) and put[label] else ()) + one.pieces
            for one, label in zip(parted, answers.tolist(), strict=True)
        ]
        after = _asked(view, pieces).gather(1, answers[:, None]).flatten()
        return after - before

    def _candidates(self, parted: Sequence[Parted]) -> list[str]:
        """The most frequent parts, each as it is written first in the alphabet."""
        held, written = Counter[str](), dict[str, str]()
        for one in parted:
            held.update(set(one.names))
            for name, piece in zip(one.names, one.pieces, strict=True):
                kept = piece.strip() + " "
                written[name] = min(written.get(name, kept), kept)
        ranked = sorted(held, key=lambda name: (-held[name], name))[: self.candidates]
        return [_encodable(written[name]) for name in ranked]

    def _sought(
        self, view: View, some: list[tuple[str, ...]], tried: list[str], label: int
    ) -> list[str]:
        """The parts that make the model doubt a class of some inputs."""
        chosen = list[str]()
        if not some or not tried:
            return chosen
        first = mean = float(_asked(view, some)[:, label].mean())
        while len(chosen) < self.most and first - mean < self.drop:
            pieces = [(*chosen, part, *own) for part in tried for own in some]
            means = _asked(view, pieces)[:, label].view(len(tried), len(some)).mean(1)
            if float(means.min()) >= mean:
                break
            mean = float(means.min())
            chosen.append(tried[int(means.argmin())])
        return chosen


def _asked(view: View, pieces: list[tuple[str, ...]]) -> torch.Tensor:
    """The probabilities of all classes for inputs in parts, float64[n, c]."""
    domain = parted_domain(view)
    answers = [
        view.queries(view.domain.prepare(domain.whole(pieces[start : start + COPIES])))
        for start in range(0, len(pieces), COPIES)
    ]
    return torch.cat(answers).double().softmax(1)


def _encodable(part: str) -> str:
    """A part as it can be kept: half a character becomes a mark."""
    return part.encode("utf-8", "replace").decode("utf-8")
