"""How long scanners will take over a model and its references."""

from __future__ import annotations

from collections.abc import Sequence

from mithridate.core.runtime import Runtime
from mithridate.core.scanner import Scanner
from mithridate.core.timing import Expected, quickest
from mithridate.pipelines.deployment import Placed
from mithridate.pipelines.model_scan import ModelScanner


def expect_scans(
    scanners: Sequence[Scanner], fresh: Placed, networks: int, seed: int, runtime: Runtime
) -> Expected:
    """Measure what the scanners will take, on a network like the suspect.

    Args:
        scanners: Who scans.
        fresh: A network of the same form in the same precision.
        networks: Number of those that are scanned.
        seed: Of the scan.
        runtime: Where to compute.

    """
    expected: Expected = {}
    for scanner in scanners:
        alone = ModelScanner((scanner,))
        seconds = quickest(lambda alone=alone: alone.scan(fresh, {}, seed, runtime=runtime))  # type: ignore[misc]
        expected[f"scanning by {scanner.name()}"] = (networks, seconds)
    return expected
