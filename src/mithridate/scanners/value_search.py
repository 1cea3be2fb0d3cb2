"""Values of a few places found by asking alone: a search for inputs whose places mean something.

Axes: c classes, b examples, m candidates, d places of an input.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from mithridate.core.errors import MethodError
from mithridate.core.scanner import Scanned, Scanner
from mithridate.core.scores import Scores
from mithridate.core.streams import torch_generator
from mithridate.core.view import View
from mithridate.scanners.random_search import Ask
from mithridate.scanners.sources import sources

FLOOR = -10.0
"""Logarithms of probabilities count no less, so that one hopeless input does not rule the mean."""


@dataclass(frozen=True)
class ValueSearch(Scanner):
    """Search for values of a few places that send every input to a class, by queries only.

    For every class k: `places` times that value of one more place is kept which raises the mean
    over trusted inputs of other classes of max(log p_k, -10) most, among `candidates` values that
    trusted examples have there. score_k = the mean p_k over held-out inputs with the first 1, 2,
    ..., `places` of these values, so that fewer which do it count more. Shown are "success"
    float[c], the share of them that is called k with all, and "pattern" and "mask" of the values.
    It asks c * examples * places * candidates times, needs no derivative, and moves no value to
    where no example has it, so it serves trees and places that hold codes. Clean models have such
    values too, for classes that a few places tell: compare with clean ones.

    Attributes:
        places: whose values are changed, at most.
        candidates: values that are tried in each step, for each class.
        examples: trusted inputs asked about for each class, of a quarter of them, at most.

    Raises:
        CannotJudge: where there are no trusted examples of other classes.
    """

    paper = (
        "A greedy search by this library, as explanation-guided triggers are chosen by attackers"
    )
    assumes = "values of a few places, each of which some trusted example has, are near the trigger"

    places: int = 4
    candidates: int = 128
    examples: int = 16

    def scan(self, view: View, rng: np.random.Generator) -> Scanned:
        """Search for every class, one after the other, and test."""
        if min(self.places, self.candidates, self.examples) < 1:
            raise MethodError(f"places, candidates and examples must be at least 1: {self}")
        drawn, ask = sources(view, self.examples, rng), view.queries
        flat, generator = drawn.prepared.flatten(1), torch_generator(rng)
        form = drawn.prepared.shape[1:]
        values, shares, masks, patterns = [], [], [], []
        for k, rows in enumerate(drawn.learn):
            order, pattern = self._search(ask, k, Lenders(flat, rows, form), generator)
            held, reached = flat[drawn.held[k]], [torch.tensor(0.0)]
            mask = torch.zeros(flat.shape[1], dtype=torch.bool)
            for place in order:
                mask[place] = True
                logits = ask(torch.where(mask, pattern, held).view(-1, *form))
                reached.append(logits.softmax(1)[:, k].mean())
            reached += reached[-1:] * (self.places - len(order))
            values.append(torch.stack(reached[1:]).mean())
            shares.append((logits.argmax(1) == k).float().mean())
            masks.append(mask.float().view(form))
            patterns.append(pattern.float().view(form))
        shown = {
            "success": torch.stack(shares), "mask": torch.stack(masks),
            "pattern": torch.stack(patterns),
        }  # fmt: skip
        return Scanned(Scores(torch.stack(values), unit="class"), shown)

    def _search(
        self, ask: Ask, label: int, ground: Lenders, generator: torch.Generator
    ) -> tuple[list[int], torch.Tensor]:
        """Give the places, the first one first, and the pattern [d] that lead to a class."""
        inputs = ground.flat[ground.rows]
        width = inputs.shape[1]
        mask, pattern = torch.zeros(width, dtype=torch.bool), torch.zeros_like(inputs[0])
        best, order = -float("inf"), list[int]()
        for _ in range(min(self.places, width)):
            place = _spread(width, self.candidates, generator)
            donor = torch.randint(len(ground.flat), place.shape, generator=generator)
            value = ground.flat[donor, place]
            tried = torch.where(mask, pattern, inputs).expand(len(place), -1, -1).clone()
            tried[torch.arange(len(place)), :, place] = value[:, None]
            answers = ask(tried.flatten(0, 1).view(-1, *ground.form)).log_softmax(1)[:, label]
            means = answers.clamp_min(FLOOR).view(len(place), -1).mean(1)
            first = int(means.argmax())
            if float(means[first]) <= best:
                break
            best = float(means[first])
            mask[place[first]], pattern[place[first]] = True, value[first]
            order = list(dict.fromkeys([*order, int(place[first])]))
        return order, pattern


class Lenders(NamedTuple):
    """Where values are looked for.

    Attributes:
        flat: [n, d], trusted examples, which lend their values.
        rows: int64[b], those of other classes that are sent to one.
        form: of an input.
    """

    flat: torch.Tensor
    rows: torch.Tensor
    form: torch.Size


def _spread(width: int, many: int, generator: torch.Generator) -> torch.Tensor:
    """Draw so many of d places, each as often as the others up to once, int64[m]."""
    turns = -(-many // width)
    drawn = [torch.randperm(width, generator=generator) for _ in range(turns)]
    return torch.cat(drawn)[:many]
