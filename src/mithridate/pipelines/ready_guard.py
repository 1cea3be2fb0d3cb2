"""The work of fitting a guard, in its order: estimate, fit.

Axes: n trusted examples.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from mithridate.core.data import Dataset
from mithridate.core.errors import MithridateError
from mithridate.core.method import Detector
from mithridate.core.runtime import Runtime
from mithridate.core.streams import stream
from mithridate.core.timing import extrapolate
from mithridate.pipelines.announcing import Announce
from mithridate.pipelines.given_network import GivenNetwork
from mithridate.pipelines.guarded import Guarded

FEW, BATCH = 32, 128
"""Trusted examples of the smaller piece of an estimate, at least and at most."""


@dataclass(frozen=True, eq=False)
class ReadyGuard:
    """A guard that is ready to be fitted.

    Attributes:
        network: The network, and the n examples known to be clean.
        detectors: Who looks at inputs.
        level: The share of clean inputs that may be refused by mistake.
        calibrate: The share of the examples that calibrate.
        seed: Of everything that is drawn at random.
        runtime: Where it is computed.

    """

    network: GivenNetwork
    detectors: tuple[Detector, ...]
    level: float
    calibrate: float
    seed: int
    runtime: Runtime

    def seconds(self) -> float | None:
        """Estimate how long a fit takes by the same with few examples; None where that fails."""
        trusted = self.network.trusted
        order = stream(self.seed, "estimate").permutation(len(trusted))
        with contextlib.suppress(MithridateError):
            few = max(FEW, min(BATCH, len(trusted) // 8))
            return extrapolate(
                lambda count: self._on(trusted.subset(order[:count])), few, len(trusted)
            )
        return None

    def fitted(self, step: Announce | None = None) -> Guarded:
        """Fit the guard.

        Args:
            step: Is told what begins.

        """
        return self._on(self.network.trusted, step)

    def _on(self, some: Dataset, step: Announce | None = None) -> Guarded:
        given = self.network
        return Guarded.fitted(
            given.model, some, given.domain, self.detectors, self.level, self.seed,
            calibrate=self.calibrate, runtime=self.runtime, step=step,
        )  # fmt: skip
