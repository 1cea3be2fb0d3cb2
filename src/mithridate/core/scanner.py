"""The contract of scanners: a trained model in, the suspicion of it or of its classes out.

Axes: c classes.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar, final

import numpy as np
import torch

from mithridate.core.errors import CannotJudge, ContractError
from mithridate.core.method import Method, lacking
from mithridate.core.scores import Scores, Unit
from mithridate.core.view import View


@dataclasses.dataclass(frozen=True, eq=False)
class Scanned:
    """What a scanner says of a model.

    Attributes:
        scores: of its classes or of the whole.
        shown: what can be shown for it, by name, one row for each class: "pattern" float[c, ...]
            and "mask" float[c, ...] (0 to 1, broadcast against the pattern) of triggers that were
            recovered, on the scale of prepared inputs, and figures float[c].
        pairs: of a scanner of pairs, float[c, c - 1]: how near each of the other classes, in their
            order, lies to the class of the row; None of others.
    """

    scores: Scores
    shown: dict[str, torch.Tensor] = dataclasses.field(default_factory=dict)
    pairs: torch.Tensor | None = None


def by_target(pairs: torch.Tensor) -> torch.Tensor:
    """Give the scores of classes, float[c], by those of pairs, float[c, c - 1]: their medians."""
    return pairs.quantile(0.5, 1)


class Scanner(Method):
    """A judge of a model, or of each of its classes."""

    kind = "scanner"
    unit: ClassVar[Unit] = "class"
    """What is judged: "class" gives one score for each class, "model" a single one."""
    gradients: ClassVar[bool] = False
    """Whether it needs derivatives by inputs or weights; who does, scans a dequantised twin."""
    pairwise: ClassVar[bool] = False
    """Whether it scores every pair of a source and a target, too, for a population to compare."""
    assumes: ClassVar[str] = ""
    """What must hold for the method to see a backdoor, in one plain sentence."""

    def scan(self, view: View, rng: np.random.Generator) -> Scanned:
        """Score the model of a view, float[c] or float[1], larger is more suspicious.

        Scores have no null of their own: p-values come from a population of clean models.

        Raises:
            CannotJudge: with the reason, where the method does not apply to the model.
        """
        raise lacking(self, "scan")

    @final
    def judge(self, view: View, rng: np.random.Generator) -> Scanned:
        """Scan, and check the contract.

        Raises:
            CannotJudge: where the scores are equal for all of several classes: nothing was
                measured.
            ContractError: where they have the wrong shape or unit.
        """
        scanned = self.scan(view, rng)
        values, expected = scanned.scores.values, view.classes if self.unit == "class" else 1
        if scanned.scores.unit != self.unit or values.shape != (expected,):
            raise ContractError(
                f"{self.name()} must give {expected} scores of the unit {self.unit!r}, found "
                f"shape {list(values.shape)} of {scanned.scores.unit!r}"
            )
        if self.pairwise:
            self._check_pairs(scanned.pairs, view.classes)
        if expected > 1 and bool((values == values[0]).all()):
            raise CannotJudge(
                f"{self.name()} gives every class the same score, {float(values[0]):.6g}: nothing "
                "was measured, which is no sign of a clean model"
            )
        return scanned

    def _check_pairs(self, pairs: torch.Tensor | None, classes: int) -> None:
        """Refuse what is no finite table of pairs."""
        shape = None if pairs is None else list(pairs.shape)
        if pairs is None or shape != [classes, classes - 1] or not bool(pairs.isfinite().all()):
            raise ContractError(
                f"{self.name()} must give finite scores of pairs, float[{classes}, {classes - 1}], "
                f"found shape {shape}"
            )
