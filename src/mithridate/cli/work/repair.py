"""The work of `mithridate repair`: read, estimate, repair, measure, write.

Axes: n suspect and m trusted examples.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_args

from torch import nn

from mithridate.cli import outcome, status
from mithridate.cli.class_order import ordered
from mithridate.cli.encoding import flipped, set_encoding
from mithridate.cli.repair import RepairNetwork
from mithridate.cli.settings import parse_settings
from mithridate.cli.sources import find_source
from mithridate.cli.terminal import Watch, agreed, command_line, note
from mithridate.core.data import Dataset, of_classes
from mithridate.core.domain import Domain
from mithridate.core.errors import CannotJudge, DataError, MethodError, MithridateError
from mithridate.core.method import Repair
from mithridate.core.runtime import Runtime, device_of
from mithridate.core.settings import build
from mithridate.core.streams import stream
from mithridate.core.view import View
from mithridate.domains.formats import Source
from mithridate.pipelines import kept_network
from mithridate.pipelines.plausibility import Plausibility, check_as_read
from mithridate.pipelines.repaired import Outcome, Repaired
from mithridate.pipelines.scan import Saw
from mithridate.report.card import Work
from mithridate.report.quoting import spell_invisible

FEW, PART = 16, 32
"""An estimate repairs with one in PART of the trusted examples, but with no fewer than FEW."""
ENOUGH = 5.0
"""Seconds from which on an estimate is not repeated."""


@dataclass(frozen=True, eq=False)
class Job:
    """A repair that is ready to begin; kept: what the file said about the weights."""

    request: RepairNetwork
    repair: Repair
    model: nn.Module
    kept: kept_network.Note
    trusted: Dataset
    data: Dataset | None
    domain: Domain
    runtime: Runtime
    plausible: Plausibility


def run(request: RepairNetwork) -> int:
    """Repair, write the network and its card, and say what is known; gives the exit status."""
    if request.model_saw not in get_args(Saw):
        raise MethodError(
            f"expected --model-saw {', '.join(get_args(Saw))}; found {request.model_saw!r}"
        )
    paths = [request.model, *(Path(where) for where in (request.trusted, request.data) if where)]
    outcome.check(request.out, paths, request.force)
    try:
        job = prepare(request)
        what = f"repairing by {job.repair.name()} on {job.runtime.device}"
        if not agreed(what, estimate(job), request.yes):
            return status.STOPPED
        found = repaired(job)
    except CannotJudge as reason:
        note(f"nothing was written; cannot judge: {spell_invisible(str(reason))}")
        return status.CANNOT_JUDGE
    except KeyboardInterrupt:
        note(
            f"stopped: nothing was written, and the same command begins again:\n  {command_line()}"
        )
        return status.STOPPED
    outcome.write(found.model, job.kept, described(job, found), request.out, request.seed)
    return status.CLEAN


def prepare(request: RepairNetwork) -> Job:
    """Read the weights and the data."""
    runtime = Runtime(device=device_of(request.device))
    repair: Repair = build(cast(Any, Repair), request.repair, parse_settings(request.set or []))
    if kept_network.is_onnx(request.model):
        raise MethodError(
            f"{str(request.model)!r} is an ONNX graph, in which layers are folded together for "
            "answering and nothing can be trained; repair the network that it was exported from, "
            "as weights with --network, and export it again"
        )
    kept = kept_network.noted(request.model)
    options = {"size": request.size, "label": request.label, "content": request.content}
    source = find_source(request.trusted, request.split, **options)
    classes, doubt = ordered(request.classes, kept, request.network, source.data.classes)
    trusted = of_classes(source.data, classes, "trusted")
    if doubt:
        note(doubt)
    data = suspects(request, source, trusted, options)
    domain = flipped(source.domain, request.flip)
    domain = set_encoding(domain, request.network, request.mean, request.std)
    rng = stream(request.seed, "weights")
    model = kept_network.load(request.model, domain, trusted, request.network, rng, request.part)
    note(
        f"read {len(trusted):,} trusted examples ({domain.name}, {source.format}), "
        f"{len(trusted.classes)} classes; suspect examples: {0 if data is None else len(data):,}"
    )
    plausible = check_as_read(model, trusted, domain, runtime=runtime, seed=request.seed)
    note(plausible.described())
    if plausible.why:
        raise CannotJudge(plausible.why)
    network = kept.named(request.network)
    kept = kept_network.Note(network, trusted.classes, kept.trainer, kept.settings)
    return Job(request, repair, model, kept, trusted, data, domain, runtime, plausible)


def suspects(
    request: RepairNetwork, source: Source, trusted: Dataset, options: dict[str, Any]
) -> Dataset | None:
    """Read what the network may have been trained on, with the classes of the trusted examples."""
    if request.data is None:
        return None
    read = find_source(request.data, request.split, **options)
    if read.origin == source.origin and read.names == source.names:
        raise DataError(
            f"{request.data!r} are the trusted examples themselves; --data is what the network may "
            "have been trained on, and may be left out"
        )
    return of_classes(read.data, trusted.classes, "suspect")


def estimate(job: Job) -> float | None:
    """Estimate the seconds of the repair by the same with a few examples; None where it fails."""
    share = 1 - job.request.apart
    n, rng = max(1, round(share * len(job.trusted))), stream(job.request.seed, "estimate")
    few = job.trusted.subset(rng.permutation(len(job.trusted))[: max(FEW, n // PART)])
    view = View(few if job.data is not None else None, domain=job.domain, model=job.model,
                clean=few, runtime=job.runtime)  # fmt: skip
    with contextlib.suppress(MithridateError):
        for _ in range(2):  # the first time, memory and kernels are still being prepared
            began = time.perf_counter()
            job.repair.repair(view, rng)
            seconds = time.perf_counter() - began
            if seconds > ENOUGH:
                break
        return seconds * max(1.0, n / len(few))
    return None


def repaired(job: Job) -> Outcome:
    """Repair, showing what is being done, and measure."""
    with Watch() as watch:
        return Repaired(job.repair, apart=job.request.apart).repair(
            job.model, job.trusted, job.domain, job.request.seed, suspects=job.data,
            saw=cast(Saw, job.request.model_saw), runtime=job.runtime, step=watch.step,
        )  # fmt: skip


def described(job: Job, found: Outcome) -> Work:
    """Put what was done into a card."""
    request = job.request
    return Work(
        "repair", job.repair, job.kept.network, job.trusted.classes, job.domain.name,
        {"model": str(request.model), "trusted": request.trusted, "data": request.data or ""},
        found.cost, data=job.data, trusted=job.trusted, measured=found.measured,
        damage=found.damage, scans=found.scans or (), changed=found.changed, used=found.used,
        saw=request.model_saw, accuracy=job.plausible.accuracy,
    )  # fmt: skip
