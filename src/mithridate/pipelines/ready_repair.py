"""The work of a repair, in its order: estimate, repair, measure.

Axes: n suspect and m trusted examples.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

from mithridate.core.data import Dataset
from mithridate.core.errors import MethodError, MithridateError
from mithridate.core.method import Repair
from mithridate.core.runtime import Runtime
from mithridate.core.spelling import option
from mithridate.core.streams import stream
from mithridate.core.timing import extrapolate
from mithridate.core.view import View
from mithridate.pipelines.announcing import Announce
from mithridate.pipelines.given_network import GivenNetwork
from mithridate.pipelines.kept_network import is_onnx
from mithridate.pipelines.repaired import MeasuredRepair, RepairOutcome
from mithridate.pipelines.scan import Saw
from mithridate.repairs.self_chosen import SelfChosen

FEW, BATCH = 16, 128
"""The fewest examples of an estimate, and those of a batch where a repair does not say it."""


@dataclass(frozen=True, eq=False)
class ReadyRepair:
    """A repair that is ready to begin.

    Attributes:
        repair: The repair.
        apart: The share of the trusted examples that it never sees.
        max_loss: The accuracy that it may cost, as a share.
        network: The network, and examples known to be clean.
        data: What the network may have been trained on, or None.
        saw: Which of both it was trained on.
        seed: Of everything that is drawn at random.
        runtime: Where it is computed.

    """

    repair: Repair
    apart: float
    max_loss: float
    network: GivenNetwork
    data: Dataset | None
    saw: Saw
    seed: int
    runtime: Runtime

    def seconds(self) -> float | None:
        """Estimate how long it takes by the same with few examples; None where that fails."""
        given, trusted = self.network, self.network.trusted
        n = max(1, round((1 - self.apart) * len(trusted)))
        order = stream(self.seed, "estimate").permutation(len(trusted))

        def with_few(count: int) -> None:
            few = trusted.subset(order[:count])
            view = View(few if self.data is not None else None, domain=given.domain,
                        model=given.model, clean=few, runtime=self.runtime)  # fmt: skip
            timed.mend(view, stream(self.seed, "estimate", "repair"))

        timed, times = self.repair, 1.0
        if isinstance(timed, SelfChosen):
            times, timed = timed.times(n), timed.candidate
        batch = int(getattr(timed, "batch_size", BATCH))
        with contextlib.suppress(MithridateError):
            return times * extrapolate(with_few, max(FEW, min(batch, n // 4)), n)
        return None

    def repaired(self, step: Announce | None = None) -> RepairOutcome:
        """Repair, saying what is being done, and measure."""
        given = self.network
        return MeasuredRepair(self.repair, apart=self.apart, max_loss=self.max_loss).repair(
            given.model, given.trusted, given.domain, self.seed, suspects=self.data,
            saw=self.saw, runtime=self.runtime, step=step,
        )  # fmt: skip


def check_repairable(path: Path) -> None:
    """Refuse at once a file in which nothing can be trained.

    Args:
        path: The file of a network.

    Raises:
        MethodError: It is an ONNX graph.

    """
    if is_onnx(path):
        raise MethodError(
            f"{str(path)!r} is an ONNX graph, in which layers are folded together for "
            "answering and nothing can be trained; repair the network that it was exported from, "
            f"as weights with {option('network')}, and export it again"
        )
