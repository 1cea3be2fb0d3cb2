"""ONION: inputs with a part that nobody would expect there.

Axes: n examples, g groups of neighbouring parts.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
import torch

from mithridate.core.errors import MethodError
from mithridate.core.method import Detector, State
from mithridate.core.parts import HasParts, Parted, each_left_out, parted_domain
from mithridate.core.view import View
from mithridate.stats.sequences import (
    GroupCounts,
    NeighbourModel,
    counted,
    drops,
    followers,
    numbers,
)


@dataclass(frozen=True)
class Onion(Detector):
    """Score each input by how much less unexpected it is without its most unexpected part.

    s(x) = max_k [u(x) - u(x without k)], with u(x) = -log p(x). Larger is more suspicious: what was
    put into an input does not belong there. The paper asks GPT-2. No such model comes with this
    package, so p is by default that of three neighbouring parts in trusted inputs, smoothed by how
    many different parts follow (Witten and Bell). It has no parts that these lack, so that every
    rare one is as unexpected as a trigger, and it finds far less than in the paper. The paper takes
    the perplexity, of which a rare part of a short input makes the most: for a rare word in AG
    News, with 5,000 trusted examples, the AUROC was 0.71 by its logarithm and 0.79 by u. Trusted
    inputs are those that the view holds apart, else all that it shows; an input that was counted is
    judged as if it had not been.

    Attributes:
        model: folder of a model of such inputs that says how likely they are, read without running
            its code; empty for the counts.

    Raises:
        CannotJudge: where inputs have no parts.
    """

    paper = (
        "Qi et al., ONION: A Simple and Effective Defense Against Textual Backdoor Attacks, "
        "EMNLP 2021"
    )
    links = ("https://arxiv.org/abs/2011.10369",)
    assumes = "the trigger was put between the parts of an input and is unexpected at its place"

    model: str = ""

    def fit(self, view: View) -> State:
        """Count groups of neighbours, int64[g]; nothing where a model is given."""
        domain = parted_domain(view)
        if self.model:
            return {}
        parted = domain.parts(_trusted(view))
        counts = counted(*numbers([one.names for one in parted]))
        return {
            "keys": torch.from_numpy(counts.keys),
            "times": torch.from_numpy(counts.times),
            "before": torch.from_numpy(counts.before),
            "known": torch.tensor(sorted({_digest(one) for one in parted}), dtype=torch.int64),
        }

    def score(self, state: State, view: View) -> torch.Tensor:
        """Score every example, float64[n]; 0 where there is nothing to leave out."""
        domain = parted_domain(view)
        parted = domain.parts(view.inputs)
        lengths = torch.tensor([len(one.pieces) for one in parted], dtype=torch.int64)
        rows = torch.arange(len(parted)).repeat_interleave(lengths)
        falls = self._asked(domain, view, parted) if self.model else _counted(state, parted)
        lowest = torch.full((len(parted),), -torch.inf, dtype=torch.float64)
        scores = lowest.scatter_reduce(0, rows, falls, "amax")
        return torch.where(lengths > 0, scores, 0.0)

    def _asked(self, domain: HasParts, view: View, parted: list[Parted]) -> torch.Tensor:
        pieces, rows = each_left_out(parted)
        if not pieces:
            return torch.zeros(0, dtype=torch.float64)
        whole = domain.surprise(view.inputs, self.model)
        return whole[rows] - domain.surprise(domain.whole(pieces), self.model)


def _trusted(view: View) -> Any:
    """The inputs that are counted."""
    try:
        return view.clean.inputs
    except MethodError:  # none are held apart; what is withheld is another error
        return view.inputs


def _counted(state: State, parted: list[Parted]) -> torch.Tensor:
    counts = GroupCounts(*(state[name].numpy() for name in ("keys", "times", "before")))
    known = np.isin([_digest(one) for one in parted], state["known"].numpy())
    values, lengths = numbers([one.names for one in parted])
    model = NeighbourModel(counts, followers(counts))
    return torch.from_numpy(drops(model, values, lengths, np.flatnonzero(known)))


def _digest(one: Parted) -> int:
    """A number for what an input says."""
    code = "\x1f".join(one.names).encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(code, digest_size=8).digest(), "little") >> 1
