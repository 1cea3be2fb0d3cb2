"""SCALE-UP: inputs that are called the same however much they are amplified.

Axes: n examples, c classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from mithridate.core.errors import MethodError
from mithridate.core.method import Detector, State
from mithridate.core.view import View
from mithridate.stats.linear import FEWEST


@dataclass(frozen=True)
class ScaleUp(Detector):
    """Score each input by how often the model calls its amplified copies the same.

    S(x) = (1/|M|) sum_{k in M} 1[C(clip(k x)) = C(x)] and s = (S(x) - m_y) / max(d_y, 1/(2|M|)),
    with m_y and d_y the mean and the standard deviation of S over trusted inputs that the model
    puts into the same class y = C(x). Larger is more suspicious. Values are counted from the low
    end of the range in which the network takes its inputs, before any normalisation, and clipped to
    that range. The standard deviation is at least half a step of S, since all of a class may score
    alike; a class with fewer than four trusted inputs takes the statistics of all. Amplified inputs
    turn white, and a network with a backdoor tends to call white the class of the backdoor: then
    S(x) is large for every input of this class, clean ones too, which only the normalised score
    admits.

    Attributes:
        multiples: M, the factors; the paper's.
        normalised: whether trusted inputs of the class are the measure, as in the paper's variant
            with a few clean examples; without, s = S(x), which the paper calls data-free.

    Raises:
        MethodError: where no factor is above 1.
        CannotJudge: where inputs are no numbers.
    """

    paper = "Guo et al., SCALE-UP: Efficient Black-box Input-level Backdoor Detection, ICLR 2023"
    links = ("https://arxiv.org/abs/2302.03251",)
    assumes = (
        "the model obeys the trigger also when all values are multiplied and clipped, while other "
        "inputs lose their class"
    )
    space: ClassVar = {"multiples": ((3, 5, 7, 9, 11), (2, 3, 4, 5, 6), (2, 3, 4))}

    multiples: tuple[int, ...] = (3, 5, 7, 9, 11)
    normalised: bool = True

    def fit(self, view: View) -> State:
        """Measure means float64[c] and deviations float64[c] of S over trusted inputs."""
        if not self.multiples or min(self.multiples) <= 1:
            raise MethodError(f"need factors above 1, found {list(self.multiples)}")
        predicted, kept, classes = self._consistency(view)
        means = kept.mean().repeat(classes)
        spreads = kept.std(correction=0).repeat(classes)
        for label in range(classes):
            own = kept[predicted == label]
            if len(own) >= FEWEST:
                means[label], spreads[label] = own.mean(), own.std(correction=0)
        return {"means": means, "spreads": spreads.clamp_min(0.5 / len(self.multiples))}

    def score(self, state: State, view: View) -> torch.Tensor:
        """Score every input by |M| + 1 questions to the model, float64[n]."""
        predicted, kept, _ = self._consistency(view)
        if not self.normalised:
            return kept
        return (kept - state["means"][predicted]) / state["spreads"][predicted]

    def _consistency(self, view: View) -> tuple[torch.Tensor, torch.Tensor, int]:
        """The class of every input, int64[n], S, float64[n], and the number of classes."""
        prepared = view.domain.prepare(view.inputs)
        surface, ask = view.domain.surface(prepared), view.queries
        logits = ask(prepared)
        predicted = logits.argmax(1)
        kept = torch.zeros(len(predicted), dtype=torch.float64)
        for factor in self.multiples:
            risen = surface.low + factor * (prepared.float() - surface.low)
            copies = risen.clamp(surface.low, surface.high).to(prepared.dtype)
            kept += ask(copies).argmax(1) == predicted
        return predicted, kept / len(self.multiples), logits.shape[1]
