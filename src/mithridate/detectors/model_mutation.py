"""Model mutation: inputs whose answer is unusually stable, or unusually easy to change.

Axes: n examples, c classes, d features, k mutants.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F

from mithridate.core.errors import CannotJudge, MethodError
from mithridate.core.inference import last_linear
from mithridate.core.method import Detector, State
from mithridate.core.streams import stream, torch_generator
from mithridate.core.view import View
from mithridate.stats.sequential import Decided, rate_test
from mithridate.stats.two_sided import two_sided_surprise

ENTRIES = 2**24
"""Answers of mutants held in memory at a time: 64 MB."""
LOOKED_AT = 500
"""Trusted examples that the noise is calibrated on."""
AGREE = 0.9
"""The head must give the model's own answer for at least this share of the trusted examples."""


@dataclass(frozen=True)
class ModelMutation(Detector):
    """Score inputs by how often disturbing the last layer changes what they are called.

    Mutant i answers with W + sigma s N_i in place of the last linear layer's weights W, of standard
    deviation s; N_i is Gaussian noise. r = (changes + 1 - m) / k: the mutants that call the input
    something else, with ties broken by m in 0..1, which rises with the mean margin of the first
    answer over the next. The score is -r, r, or how unusual r is, in either direction, among
    trusted inputs that are called the same (`two_sided.py`). All mutants answer from features that
    are computed once, so a guard costs one inference. The authors also mutate other dense layers,
    shift all weights by their mean, and give sigma by hand.

    Attributes:
        change: sigma is raised until trusted inputs change in this share of the mutants on average.
        mutants: k, noisy copies of the network that are asked.
        seeks: "stable" inputs, as backdoors make them, "sensitive" ones, as adversarial inputs near
            a boundary are, or "either".
        seed: of the noise.

    Raises:
        CannotJudge: where the last layer does not give the model's answers or no noise reaches
            `change`.
        MethodError: where a number is out of range.
    """

    paper = (
        "Jin et al., Can We Mitigate Backdoor Attack Using Adversarial Detection Methods?, TDSC "
        "2022; Wang et al., Adversarial Sample Detection through Model Mutation Testing, ICSE 2019"
    )
    links = ("https://arxiv.org/abs/2006.14871", "https://arxiv.org/abs/1812.05793")
    assumes = (
        "malicious inputs lie further from, or nearer to, the borders between classes than clean "
        "inputs do, as the last layer sees them"
    )

    change: float = 0.4
    mutants: int = 50
    seeks: Literal["stable", "sensitive", "either"] = "stable"
    seed: int = 0

    def fit(self, view: View) -> State:
        """Keep the head and the noise that makes trusted inputs change as often as asked for.

        State: weight [c, d], bias [c], sigma [], margin [2] (mean and spread); usual [n] and
        called [n], the r and the answer of trusted inputs.
        """
        if not (0 < self.change < 1 and self.mutants >= 1):
            raise MethodError(
                "need a change between 0 and 1 and at least 1 mutant; found change "
                f"{self.change}, mutants {self.mutants}"
            )
        state = _head(view)
        rows = torch.linspace(0, len(view.labels) - 1, min(len(view.labels), LOOKED_AT)).long()
        few = view.features[rows]
        state["sigma"] = self._calibrated(state, few)
        mean = self._answers(state, few)[1]
        spread = mean.std(correction=0).clamp_min(1e-9)
        state["margin"] = torch.stack([mean.mean(), spread])
        ratio, predicted = self._ratio(state, view.features)
        return {**state, "usual": ratio, "called": predicted}

    def score(self, state: State, view: View) -> torch.Tensor:
        """Score every input, float64[n]."""
        ratio, predicted = self._ratio(state, view.features)
        if self.seeks == "either":
            return two_sided_surprise(ratio, predicted, state["usual"], state["called"])
        return -ratio if self.seeks == "stable" else ratio

    def sequential(
        self, state: State, view: View, alpha: float = 0.05, beta: float = 0.05
    ) -> Decided:
        """Tell stable inputs (-1) from ordinary ones (1) with as few mutants as that takes.

        Ordinary means that an input changes as often as the median trusted one, stable that it
        changes a quarter as often; 0 where all mutants together do not tell. See `rate_test`.
        """
        high = min(max(float(state["usual"].median()), 0.5 / self.mutants), 0.95)
        return rate_test(self._trials(state, view.features), high / 4, high, alpha, beta)

    def _trials(self, state: State, features: torch.Tensor) -> Iterator[torch.Tensor]:
        """Whether each input changes, bool[n], mutant by mutant."""
        logits = F.linear(features, state["weight"], state["bias"])
        for noise in self._noise(state):
            yield (logits + state["sigma"] * (features @ noise.T)).argmax(1) != logits.argmax(1)

    def _noise(self, state: State) -> torch.Tensor:
        """Noise of the size of the weights' spread, float32[k, c, d]."""
        source = torch_generator(stream(self.seed, "mutants"))
        weight = state["weight"]
        return torch.randn(self.mutants, *weight.shape, generator=source) * weight.std(correction=0)

    def _calibrated(self, state: State, features: torch.Tensor) -> torch.Tensor:
        """Find the sigma at which answers change as often as asked for, by bisection."""
        logits = F.linear(features, state["weight"], state["bias"])
        moved, first = _logit_noise(self._noise(state), features), logits.argmax(1, keepdim=True)

        def changed(sigma: float) -> float:
            return float(((logits[:, None] + sigma * moved).argmax(2) != first).double().mean())

        low, high = 1e-4, 1e4
        if changed(high) < self.change or changed(low) > self.change:
            raise CannotJudge(
                f"no noise makes trusted inputs change in {self.change:.0%} of the mutants: "
                f"between {changed(low):.0%} and {changed(high):.0%} do; ask for another change"
            )
        for _ in range(30):
            middle = math.sqrt(low * high)
            low, high = (middle, high) if changed(middle) < self.change else (low, middle)
        return torch.tensor(high)

    def _answers(self, state: State, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """How many mutants change each answer and the mean margin of the answer, float64[n]."""
        noise, changes, margins = self._noise(state), [], []
        block = max(1, ENTRIES // (self.mutants * len(state["weight"])))
        for part in features.split(block):
            logits = F.linear(part, state["weight"], state["bias"])
            answers = logits[:, None] + state["sigma"] * _logit_noise(noise, part)
            first = logits.argmax(1).view(-1, 1, 1).expand(-1, self.mutants, 1)
            own = answers.gather(2, first)
            rest = answers.scatter(2, first, -torch.inf).amax(2, keepdim=True)
            changes.append((rest > own).double().sum((1, 2)))
            margins.append((own - rest).double().mean((1, 2)))
        return torch.cat(changes), torch.cat(margins)

    def _ratio(self, state: State, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """How easily each answer changes, float64[n], and the answer, int64[n]."""
        changes, margin = self._answers(state, features)
        centre, spread = state["margin"]
        stable = 0.5 + torch.atan((margin - centre) / spread) / math.pi
        predicted = F.linear(features, state["weight"], state["bias"]).argmax(1)
        # rounded, since what is equal must stay so however many inputs are multiplied at once
        return ((changes + 1 - stable) / self.mutants).round(decimals=5), predicted


def _logit_noise(noise: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
    """What noise float32[k, c, d] adds to the logits of features [n, d], float32[n, k, c]."""
    moved: torch.Tensor = (features @ noise.flatten(0, 1).T).view(len(features), *noise.shape[:2])
    return moved


def _head(view: View) -> State:
    """The weights and the bias of the layer that gives the model's answers."""
    try:
        layer = last_linear(view.model)
    except MethodError as error:
        raise CannotJudge(f"there is no linear layer to mutate: {error}") from error
    weight = layer.weight.detach().float().cpu().clone()
    absent = torch.zeros(len(weight))
    bias = absent if layer.bias is None else layer.bias.detach().float().cpu().clone()
    if len(weight) < 2 or not bool(weight.std(correction=0) > 0):
        raise CannotJudge("the last layer has a single output or no spread, so no noise fits it")
    own = F.linear(view.features, weight, bias)
    fits = own.shape == view.logits.shape
    agree = float((own.argmax(1) == view.logits.argmax(1)).double().mean()) if fits else 0.0
    if agree < AGREE:
        raise CannotJudge(
            f"the last linear layer gives the model's answer for {agree:.0%} of the trusted "
            f"examples, expected {AGREE:.0%}: it is not where this model decides"
        )
    return {"weight": weight, "bias": bias}
