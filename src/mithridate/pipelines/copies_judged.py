"""How a copy of the suspects is judged: as the suspects were, or by a quick look alone.

Axes: C classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mithridate.core.data import Dataset
from mithridate.core.domain import Domain
from mithridate.core.runtime import Runtime
from mithridate.core.streams import stream
from mithridate.core.training_run import Progress
from mithridate.pipelines.finding import Rule
from mithridate.pipelines.quick_look import Look
from mithridate.pipelines.scan import DataScanner
from mithridate.stats.enrichment import enrichment

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Again:
    """The same scan of other suspects.

    Attributes:
        scanner: How the suspects were scanned.
        trusted: What they were compared with.
        domain: Of all of them.
        runtime: Where it is computed.
        model: A given network that saw neither side, None where one is trained for each copy.
        progress: Is told of every epoch.

    """

    scanner: DataScanner
    trusted: Dataset | None
    domain: Domain
    runtime: Runtime
    model: nn.Module | None = None
    progress: Progress | None = None

    def whole(self, copy: Dataset, seed: int, unfinished: Path | None) -> Floats:
        """Scan a copy by all detectors; gives p-values float64[C], each as if by itself."""
        scan = self.scanner.scan(
            copy, self.trusted, self.domain, seed, runtime=self.runtime, model=self.model,
            saw="neither", progress=self.progress, checkpoint=unfinished,
        )  # fmt: skip
        return np.array([finding.by_itself for finding in scan.classes])

    def quick(self, copy: Dataset, seed: int, _: Path | None) -> Floats:
        """Judge a copy by a quick look, where that is all that is asked."""
        return alone(self._look(copy), self.scanner.rule, seed, 0)

    def glance(self, copy: Dataset, seed: int, _: Path | None) -> Floats:
        """Judge a copy by the part of a whole scan that needs no network."""
        seen = self._look(copy)
        return alone(seen, self.scanner.rule, seed, len(seen.able) - len(seen.judged))

    def _look(self, copy: Dataset) -> Look:
        return self.scanner.looked(copy, self.trusted, self.domain)


def alone(seen: Look, rule: Rule, seed: int, others: int) -> Floats:
    """Give p-values float64[C] by the detectors of a quick look, each class as if by itself.

    Args:
        seen: What they said.
        rule: Of the scan.
        seed: Of the draws.
        others: How many further detectors are asked by the whole scan. They are taken to say
            nothing, so the p-values are no smaller than those of the whole scan.

    """
    who, rng = seen.who, stream(seed, "power", "look")
    known = who.known
    if known is None or not seen.judged:
        return np.ones(len(who.suspects.classes))
    labels = torch.cat([who.suspects.labels, known.labels]).numpy()
    said = [torch.cat([j.scores.values, j.trusted]).numpy() for j in seen.judged]
    tested = enrichment(
        np.concatenate([np.stack(said), rng.random((others, len(labels)))]), labels,
        np.arange(len(labels)) >= len(who.suspects), len(known.classes), rng,
        strata=who.strata, level=rule.level, permutations=rule.permutations,
    )  # fmt: skip
    return np.asarray(tested.single[: len(said)].min(0))
