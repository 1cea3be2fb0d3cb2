"""The work of `mithridate scan model`: read, make clean references, scan, write, answer.

Axes: n trusted examples, m reference networks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from torch import nn

from mithridate.cli import status
from mithridate.cli.answer_model import agreement, answer, digest
from mithridate.cli.class_order import ordered
from mithridate.cli.encoding import set_encoding
from mithridate.cli.opening_model import (
    check_flags,
    encoding,
    files_in,
    looked_at,
    of_folder,
    opened,
    opened_onnx,
)
from mithridate.cli.scan_model import ScanModel
from mithridate.cli.sources import draw_examples, find_source
from mithridate.cli.terminal import Watch, agreed, command_line, note
from mithridate.core.data import Dataset, of_classes
from mithridate.core.domain import Domain
from mithridate.core.errors import CannotJudge, MethodError
from mithridate.core.fingerprint import fingerprint, place_of
from mithridate.core.method import Detector
from mithridate.core.registry import get
from mithridate.core.runtime import Runtime, device_of
from mithridate.core.scanner import Scanner
from mithridate.core.streams import stream
from mithridate.domains.image.elsewhere import is_elsewhere
from mithridate.pipelines import kept_network
from mithridate.pipelines.damage import set_apart
from mithridate.pipelines.deployment import Placed
from mithridate.pipelines.guarded import Decisions, Guarded
from mithridate.pipelines.known_references import Form, asked_with, known
from mithridate.pipelines.model_scan import (
    ModelScan,
    ModelScanner,
    References,
    default_scanners,
    not_scanned,
)
from mithridate.pipelines.plausibility import Plausibility, check_as_read
from mithridate.pipelines.scan import choose_training
from mithridate.report.model_page import ModelWork
from mithridate.stats.population import Floats


@dataclass(frozen=True, eq=False)
class Job:
    """A scan that is ready to begin.

    Attributes:
        learnt: trusted examples that train the references, None where they are given.
        shown: those that scanners see.
        place: brings any network of this kind into the precision of the suspect.
        scores: of clean networks of an earlier scan, or None.
    """

    request: ScanModel
    scanner: ModelScanner
    suspect: Placed
    network: str
    precision: str
    learnt: Dataset | None
    shown: Dataset
    arriving: Dataset | None
    domain: Domain
    runtime: Runtime
    place: Callable[[nn.Module], Placed]
    findings: tuple[str, ...]
    guards: tuple[Detector, ...]
    plausible: Plausibility
    scores: dict[str, Floats] | None = None


def run(request: ScanModel) -> int:
    """Scan a model, write the report and say what was found; gives the exit status."""
    job = prepare(request)
    if job.plausible.why:
        work = described(
            job, not_scanned(job.plausible.why, request.level, job.shown.classes), None, 0.0
        )
        answer(work, request.out, request.seed)
        return status.CANNOT_JUDGE
    what = f"scanning {request.file.name} and {count(job)} clean references"
    if not agreed(what, estimate(job), request.yes):
        return status.STOPPED
    began = time.perf_counter()
    try:
        found, decisions = scan(job)
    except KeyboardInterrupt:
        note("stopped: the references so far are kept, and the same command goes on:")
        note(f"  {command_line()}")
        return status.STOPPED
    work = described(job, found, decisions, time.perf_counter() - began)
    answer(work, request.out, request.seed)
    return status.OF[found.verdict.answer]


def prepare(request: ScanModel) -> Job:
    """Look at the file, read it and the data, and settle how it is scanned."""
    request = of_folder(request)
    check_flags(request)
    findings = looked_at(request.file)
    options = {"size": request.size, "label": request.label, "content": request.content}
    source = find_source(request.data, request.split, **options)
    runtime = Runtime(device=device_of(request.device))
    onnx = kept_network.is_onnx(request.file)
    kept = kept_network.Note() if onnx else kept_network.noted(request.file)
    classes, doubt = ordered(request.classes, kept, request.network, source.data.classes)
    findings = (*findings, doubt) if doubt else findings
    trusted = of_classes(source.data, classes, "trusted")
    trusted = draw_examples(trusted, request.count, request.seed, "trusted")
    learnt, shown = divided(request, trusted)
    network = kept.named(request.network)
    arriving = None
    if request.inputs:
        arriving = find_source(request.inputs, request.split, **options).data
    scanner = ModelScanner(scanners_of(request.scanners), request.level)
    domain = source.domain
    if not onnx or is_elsewhere(network):
        domain = set_encoding(domain, network, request.mean, request.std)
    if onnx:
        suspect, place, precision = opened_onnx(request, source.domain, shown)
    else:
        suspect, place, precision = opened(request, domain, trusted, shown)
    note(
        f"read {len(trusted):,} trusted examples ({domain.name}, {source.format}), "
        f"{len(trusted.classes)} classes; scanners see {len(shown):,}"
    )
    plausible = check_as_read(
        suspect.model, trusted, domain, precision=suspect.precision, runtime=runtime,
        seed=request.seed,
    )  # fmt: skip
    note(plausible.described())
    scores = None
    if request.clean_scores:
        form = Form(network, precision, len(trusted.classes), encoding(request))
        scores = known(request.clean_scores, scanner.scanners, form)
    return Job(request, scanner, suspect, network, precision, learnt, shown, arriving, domain,
               runtime, place, findings, guards_of(request), plausible, scores)  # fmt: skip


def divided(request: ScanModel, trusted: Dataset) -> tuple[Dataset | None, Dataset]:
    """Give the examples that train references, None where they are given, and those to show."""
    learnt, shown = set_apart(trusted, request.apart, stream(request.seed, "scan", "apart"))
    if request.clean_scores:
        return None, asked_with(request.clean_scores, (shown, trusted), request.seed)
    return (learnt, shown) if request.clean_models is None else (None, trusted)


def scanners_of(names: str) -> tuple[Scanner, ...]:
    """Build the scanners that were named, or the ordinary ones."""
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    if not wanted:
        return default_scanners()
    return tuple(get(cast(Any, Scanner), name) for name in dict.fromkeys(wanted))


def guards_of(request: ScanModel) -> tuple[Detector, ...]:
    """Build the guards that were named, before anything takes long."""
    names = [name.strip() for name in request.guards.split(",") if name.strip()]
    return tuple(get(cast(Any, Detector), name) for name in names)


def count(job: Job) -> int:
    """The number of reference networks."""
    if job.scores is not None:
        return max((len(rows) for rows in job.scores.values()), default=0)
    folder = job.request.clean_models
    return job.request.references if folder is None else len(files_in(folder))


def maker(job: Job) -> References:
    """How references are trained."""
    assert job.learnt is not None
    config = choose_training(len(job.learnt))
    if job.request.epochs is not None:
        config = replace(config, epochs=job.request.epochs)
    return References(job.request.references, job.network, config)


def estimate(job: Job) -> float:
    """Estimate the seconds: one scan of a fresh network, and one epoch of one training, times m."""
    m, request = count(job), job.request
    fresh = job.domain.network(job.shown, job.network, stream(request.seed, "estimate")).eval()
    began = time.perf_counter()
    with_one = ModelScanner(job.scanner.scanners, job.scanner.level)
    with_one.scan(job.place(fresh), {}, request.seed, runtime=job.runtime)
    scanning = time.perf_counter() - began
    if job.scores is not None:
        return scanning
    training = 0.0
    if job.learnt is not None:
        made = maker(job)
        assert made.training is not None
        few = job.learnt.subset(range(min(len(job.learnt), 4 * made.training.batch_size)))
        once = replace(made, training=replace(made.training, epochs=1))
        began = time.perf_counter()
        once.trained(0, few, job.domain, request.seed, runtime=job.runtime)
        share = len(job.learnt) / len(few) * made.training.epochs
        training = (time.perf_counter() - began) * share
    return scanning * (m + 1) + training * m


def references(job: Job, step: Callable[[str], None]) -> Iterator[Placed]:
    """Read or train the clean networks, one after the other; what is trained is kept for later."""
    request = job.request
    if request.clean_models is not None:
        for path in files_in(request.clean_models):
            rng = stream(request.seed, "weights")
            model = kept_network.load(
                path, job.domain, job.shown, request.network, rng, request.part
            )
            yield job.place(model)
        return
    assert job.learnt is not None
    made, folder = maker(job), unfinished(job)
    for number in range(made.count):
        path = folder / f"reference-{number}.safetensors"
        rng = stream(request.seed, "weights")
        if path.exists():
            yield job.place(kept_network.load(path, job.domain, job.shown, job.network, rng))
            continue
        step(f"training clean reference {number + 1} of {made.count}")
        model = made.trained(number, job.learnt, job.domain, request.seed, runtime=job.runtime)
        kept_network.save(model, path, kept_network.Note(job.network, job.shown.classes))
        yield job.place(model)


def unfinished(job: Job) -> Path:
    """Where trained references are kept, so that the same scan need not train them again."""
    assert job.learnt is not None
    parts = [
        fingerprint(job.learnt),
        job.domain,
        maker(job).training,
        job.network,
        job.request.seed,
    ]
    return job.request.out / f"references-{place_of(*parts)}"


def scan(job: Job) -> tuple[ModelScan, Decisions | None]:
    """Scan the model, and watch what arrived, showing how far it is."""
    with Watch() as watch:
        population: list[Placed] | dict[str, Floats] | None = job.scores
        if population is None:
            population = list(references(job, watch.step))
        found = job.scanner.scan(
            job.suspect, population, job.request.seed, runtime=job.runtime, step=watch.step
        )
        if job.arriving is None:
            return found, None
        watch.step("watching the inputs")
        return found, watched(job, job.arriving)


def watched(job: Job, arriving: Dataset) -> Decisions | None:
    """Let the guards judge what arrived; None, with a note, where they do not apply."""
    try:
        return Guarded.fitted(
            job.suspect.model, job.shown, job.domain, job.guards, job.request.level,
            job.request.seed, runtime=job.runtime, precision=job.suspect.precision,
        ).decide(arriving.inputs)  # fmt: skip
    except (CannotJudge, MethodError) as reason:
        note(f"the inputs were not judged: {reason}")
        return None


def described(job: Job, found: ModelScan, decisions: Decisions | None, seconds: float) -> ModelWork:
    """Put what was found into a report."""
    request = job.request
    made = f"{count(job)} networks from {request.clean_models or request.clean_scores}"
    if job.plausible.why:
        made = "none, since the model cannot be judged as it is read"
    elif job.learnt is not None:
        made = f"{count(job)} networks trained here on {len(job.learnt)} trusted examples"
    return ModelWork(
        found, job.scanner.scanners, str(request.file), digest(request.file), job.network,
        job.precision, job.shown, request.data, f"{made}, in the same precision",
        agreement(job.suspect, job.precision), job.learnt, job.findings, job.arriving, decisions,
        tuple(guard.name() for guard in job.guards), {"seconds": seconds}, encoding(request),
        job.plausible.accuracy,
    )  # fmt: skip
