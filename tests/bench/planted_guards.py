"""Scanners and guards with a known answer, in a file that reaches for no secret."""

from dataclasses import dataclass

import torch

from mithridate.core.errors import CannotJudge
from mithridate.core.method import Detector
from mithridate.core.scanner import Scanned, Scanner
from mithridate.core.scores import Scores


@dataclass(frozen=True)
class Pressing(Scanner):
    """Whiten a corner of what is trusted, and score each class by the answers that move to it."""

    corner: int = -2

    def scan(self, view, rng):
        prepared = view.domain.prepare(view.clean.inputs)
        pressed = prepared.clone()
        rows = slice(self.corner, None) if self.corner < 0 else slice(0, self.corner)
        pressed[:, :, rows, rows] = 255
        before, after = (view.queries(x).argmax(1) for x in (prepared, pressed))
        moved = torch.bincount(after[before != after], minlength=view.classes).double()
        return Scanned(Scores(moved + torch.arange(view.classes) * 1e-6, unit="class"))


@dataclass(frozen=True)
class Deaf(Scanner):
    """Cannot judge anything."""

    def scan(self, view, rng):
        raise CannotJudge("this planted scanner never hears anything; use another one")


@dataclass(frozen=True)
class Bright(Detector):
    """Score an input by the light in a corner, or by nothing."""

    sees: bool = True

    def fit(self, view):
        return {}

    def score(self, state, view):
        corner = view.domain.prepare(view.inputs)[:, :, -2:, -2:].flatten(1).double().mean(1)
        return corner if self.sees else torch.zeros_like(corner)
