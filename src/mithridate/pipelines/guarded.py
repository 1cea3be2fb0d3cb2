"""A deployed model behind detectors that refuse what trusted examples do not look like.

Axes: n inputs, m calibration examples, k detectors, c classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import nn

from mithridate.core.data import Dataset, Inputs
from mithridate.core.domain import Domain
from mithridate.core.errors import CannotJudge, ContractError, DataError, MethodError
from mithridate.core.inference import forward, logits_of
from mithridate.core.method import Detector, State
from mithridate.core.runtime import Runtime
from mithridate.core.streams import stream
from mithridate.core.threat import EVIDENCE, ThreatModel
from mithridate.core.view import View
from mithridate.pipelines.announcing import Announce
from mithridate.pipelines.calibration import POOLED, Calibration, examples_needed, group_classes
from mithridate.stats.intervals import Interval

Action = Literal["accept", "refuse", "abstain"]

OUTSIDE = ThreatModel(granted=frozenset(EVIDENCE) - {"model", "features"})
"""What is known of a model that can only be asked."""


class Asked(nn.Module):
    """A model that can only be asked: any function from prepared inputs to logits[n, c]."""

    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, prepared: torch.Tensor) -> torch.Tensor:
        """Ask."""
        return torch.as_tensor(self.function(prepared)).float()


@dataclass(frozen=True, eq=False)
class Decisions:
    """What a guard says of inputs.

    Attributes:
        predicted: int64[n], the model's classes, -1 where its answer is not finite.
        p_values: float64[n], not a number where nothing could be scored.
        action: "accept", "refuse", or "abstain" where the guard cannot judge.
        why: one sentence for each input.
        scores: float64[n, k], of each detector.
    """

    predicted: torch.Tensor
    p_values: torch.Tensor
    action: tuple[Action, ...]
    why: tuple[str, ...]
    scores: torch.Tensor

    def __len__(self) -> int:
        return len(self.action)


@dataclass(frozen=True, eq=False)
class Guarded:
    """A model, and detectors that were fitted and calibrated on trusted examples for it.

    An input is refused where its conformal p-value is at most `level`. Of clean inputs like the
    trusted ones, which the model must not have been trained on, at most a share of `level` is
    refused: exactly so for inputs drawn like them, and whatever the detectors are. What the guard
    misses has no such bound.

    Attributes:
        accuracy: of the model on trusted examples, where it was measured.
        states: of the detectors, one each.
        blank: a prepared input [1, ...] of zeros.
        features: whether a detector asks for them.
        fitted_on: number of examples on which the detectors were fitted.
    """

    model: nn.Module
    domain: Domain
    detectors: tuple[Detector, ...]
    states: tuple[State, ...]
    calibration: Calibration
    classes: tuple[str, ...]
    blank: torch.Tensor
    level: float = 0.05
    precision: str = "fp32"
    features: bool = False
    fitted_on: int = 0
    accuracy: Interval | None = None
    runtime: Runtime = field(default_factory=Runtime)

    @classmethod
    def fitted(
        cls, model: nn.Module | Callable[[torch.Tensor], torch.Tensor], trusted: Dataset,
        domain: Domain, detectors: Sequence[Detector], level: float = 0.05, seed: int = 0,
        *, calibrate: float = 0.5, runtime: Runtime | None = None, precision: str = "fp32",
        step: Announce | None = None,
    ) -> Guarded:  # fmt: skip
        """Fit detectors on a part of the trusted examples and calibrate them on the rest.

        The calibration is done class by class, as the model calls the examples, where the part for
        fitting lets expect enough of a class; else in one pool of the other classes.

        Args:
            model: a module, or a function that gives logits[n, c] for prepared inputs, of which
                nothing but its answers is then shown to the detectors.
            calibrate: share of the trusted examples for calibration.
            step: is told what begins, in words.

        Raises:
            MethodError: where a setting is impossible, and what a detector raises that does not
                apply to the model.
        """
        if not (0 < level < 1 and 0 < calibrate < 1):
            raise MethodError(
                "expected a level and a share for calibration between 0 and 1, "
                f"found {level} and {calibrate}"
            )
        if not detectors:
            raise MethodError("a guard needs at least one detector; see `mithridate methods`")
        order = stream(seed, "guarded", "split").permutation(len(trusted))
        m = round(calibrate * len(trusted))
        if not 0 < m < len(trusted):
            raise MethodError(
                f"expected trusted examples to fit and to calibrate on, found {len(trusted)} in "
                f"all; this level needs {examples_needed(level)} for the calibration alone"
            )
        learn, rest = trusted.subset(order[m:]), trusted.subset(order[:m])
        module = model if isinstance(model, nn.Module) else Asked(model)
        blank = torch.zeros_like(domain.prepare(trusted.inputs[:1]))
        nothing = Calibration(torch.empty(0, len(detectors)), torch.empty(0), torch.empty(0))
        bare = cls(
            module, domain, tuple(detectors), (), nothing, trusted.classes, blank, level,
            precision, fitted_on=len(learn), runtime=runtime or Runtime(),
        )  # fmt: skip
        view = bare._view(learn, clean=learn)
        say, states = step or (lambda _: None), []
        for detector in detectors:
            say(f"fitting {detector.name()} to {len(learn):,} trusted examples")
            state = detector.fit(view)
            states.append({name: value.detach().cpu() for name, value in state.items()})
        say(f"calibrating on {len(rest):,} others")
        ready = replace(bare, states=tuple(states), features="features" in view.used)
        return replace(ready, calibration=ready.calibrated(learn, rest))

    def calibrated(self, learn: Dataset, rest: Dataset) -> Calibration:
        """Score `rest`, whose groups follow from what the model calls `learn`.

        Raises:
            ContractError: where a trusted example has no finite score.
        """
        seen = self._called(self._answers(self.domain.prepare(learn.inputs))[0])
        counts = torch.bincount(seen[seen >= 0], minlength=len(self.classes)).double()
        group_of = group_classes(counts * len(rest) / len(learn), self.level)
        predicted, scores = self._scored(rest.inputs)
        bad = int((~torch.isfinite(scores)).any(1).sum())
        if bad:
            raise ContractError(
                "the answers of the model and the scores of the detectors must be finite for "
                f"trusted examples; found {bad} of {len(rest)} that are not"
            )
        return Calibration(scores, predicted, group_of)

    def checked(self, inputs: Inputs) -> torch.Tensor:
        """Prepare raw inputs[n]; raises DataError where they are not like the trusted ones."""
        prepared = self.domain.prepare(inputs)
        if prepared.shape[1:] != self.blank.shape[1:]:
            raise DataError(
                f"expected inputs of the shape {list(self.blank.shape[1:])}, like the trusted "
                f"examples; found {list(prepared.shape[1:])}"
            )
        return prepared

    def decide(self, inputs: Inputs) -> Decisions:
        """Decide about raw inputs[n], each by itself.

        Raises:
            DataError: where they are not like the trusted ones in type or shape.
        """
        predicted, scores = self._scored(inputs)
        sound = torch.isfinite(scores).all(1)
        p_values = torch.full((len(predicted),), torch.nan, dtype=torch.float64)
        p_values[sound] = self.calibration.p_values(scores[sound], predicted[sound])
        told = [self._told(*row) for row in zip(predicted.tolist(), p_values.tolist(), strict=True)]
        action, why = zip(*told, strict=True) if told else ((), ())
        return Decisions(predicted, p_values, tuple(action), tuple(why), scores)

    def _told(self, predicted: int, p_value: float) -> tuple[Action, str]:
        if predicted < 0:
            return "abstain", "cannot judge: the model's answer is not finite"
        if p_value != p_value:
            return "abstain", "cannot judge: a detector has no finite score for this input"
        group = int(self.calibration.group_of[predicted])
        m, least = self.calibration.count(group), examples_needed(self.level)
        if m < least:
            return "abstain", (
                f"cannot judge at level {self.level:g} with {m} {self.described(group)}; "
                f"needs at least {least}"
            )
        low = p_value <= self.level
        than = "at or below" if low else "above"
        return "refuse" if low else "accept", (
            f"p-value {p_value:.4g}, {than} the level {self.level:g}, "
            f"by {m} {self.described(group)}"
        )

    def described(self, group: int) -> str:
        """Say what the calibration examples of a group are."""
        if group == POOLED:
            every = bool((self.calibration.group_of == POOLED).all())
            of = "all classes" if every else "the classes that have few"
            return f"trusted examples pooled over {of}"
        return f"trusted examples that the model puts into class {group}"

    def _scored(self, inputs: Inputs) -> tuple[torch.Tensor, torch.Tensor]:
        """What the model calls raw inputs, int64[n], and their scores, float64[n, k]."""
        prepared = self.checked(inputs)
        n = len(prepared)
        scores = torch.full((n, len(self.detectors)), torch.nan, dtype=torch.float64)
        if not n:
            return torch.zeros(0, dtype=torch.int64), scores
        logits, features = self._answers(prepared)
        predicted = self._called(logits)
        sound = (predicted >= 0).nonzero().flatten()
        if len(sound):
            data = Dataset(inputs, predicted.clamp_min(0), torch.arange(n), self.classes).subset(
                sound
            )
            known: dict[str, Any] = {"logits": logits[sound]}
            if features is not None:
                known["features"] = features[sound]
            view = self._view(data, **known)
            scores[sound] = torch.stack([self._score(i, view) for i in range(len(self.states))], 1)
        return predicted, scores

    def _score(self, number: int, view: View) -> torch.Tensor:
        """The scores of one detector, float64[n]; not a number where it cannot judge."""
        detector, n = self.detectors[number], len(view.labels)
        try:
            return detector.scored(self.states[number], view)
        except CannotJudge:
            return torch.full((n,), torch.nan, dtype=torch.float64)

    def _answers(self, prepared: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The model's logits for prepared inputs, and their features where they are asked for."""
        features = None
        if self.features:
            features, logits = forward(self.model, prepared, self.runtime, None, self.precision)
        else:
            logits = logits_of(self.model, prepared, self.runtime, self.precision)
        if logits.shape != (len(prepared), len(self.classes)):
            raise MethodError(
                f"expected logits of {len(self.classes)} classes for each of {len(prepared)} "
                f"inputs, found shape {list(logits.shape)}"
            )
        return logits, features

    def _called(self, logits: torch.Tensor) -> torch.Tensor:
        return torch.where(torch.isfinite(logits).all(1), logits.argmax(1), -1)

    def _view(self, data: Dataset, clean: Dataset | None = None, **known: Any) -> View:
        threat = OUTSIDE if isinstance(self.model, Asked) else None
        return View(data, domain=self.domain, model=self.model, clean=clean, threat=threat,
                    runtime=self.runtime, precision=self.precision, **known)  # fmt: skip
