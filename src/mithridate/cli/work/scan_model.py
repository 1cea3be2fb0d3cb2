"""The work of `mithridate scan model`: read, make clean references, scan, write, answer.

Axes: n trusted examples, m reference networks.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from mithridate.cli import status
from mithridate.cli.answer import print_decisions
from mithridate.cli.answer_model import answer, described, unscanned
from mithridate.cli.given_network import reading_of
from mithridate.cli.groups import HowToComputeLong, HowToRead, WhichNetwork
from mithridate.cli.places import report_folder
from mithridate.cli.scan_model import HowToJudge, WhatArrived, WhichReferences
from mithridate.cli.settings import methods_named
from mithridate.cli.sources import arriving_like, find_source
from mithridate.cli.terminal import Watch, agreed, command_line, note
from mithridate.core.data import Dataset, of_classes
from mithridate.core.errors import CannotJudge, MethodError
from mithridate.core.method import Detector
from mithridate.core.runtime import Runtime, device_of
from mithridate.core.scanner import Scanner
from mithridate.core.timing import Countdown, Expected, total
from mithridate.domains.formats import Source
from mithridate.pipelines.drawing import drawing
from mithridate.pipelines.guarded import Guarded
from mithridate.pipelines.model_scan import (
    QUICK,
    ModelScan,
    ModelScanner,
    default_scanners,
    quick_scanners,
)
from mithridate.pipelines.population import Population
from mithridate.pipelines.ready_model_scan import Comparison, ReadyModelScan
from mithridate.pipelines.suspect_file import Suspect
from mithridate.report.model_page import ModelWork, TrustedExamples, WatchedInputs


def run(
    *, file: Path, data: str, count: int | None, out: Path, judging: HowToJudge,
    clean: WhichReferences, arriving: WhatArrived, network: WhichNetwork, reading: HowToRead,
    computing: HowToComputeLong,
) -> int:  # fmt: skip
    """Scan a model, write the report and say what was found; gives the exit status."""
    how = comparison(judging, clean, out, computing)
    model = how.looked_at(file, reading_of(network))
    source = find_source(data, reading, draw=drawing(count, computing.seed, "trusted"))
    print_decisions(source)
    model = model.among(source.data.classes)
    everything = trusted_examples(source, model.classes)
    watch = Watching.of(arriving, reading, everything)
    job = how.ready(model, model.how, everything, source.domain)
    say_opened(job, model.onnx)
    trusted = TrustedExamples(job.shown, job.learnt, data)
    file_read = described(model, job.suspect, job.plausible.accuracy)
    if job.plausible.why:
        return unscanned(job, file_read, trusted, out)
    times = job.expected()
    what = f"scanning {file.name} and {job.beside.count} clean references"
    if not agreed(what, total(times), computing.yes):
        return status.STOPPED
    began = time.perf_counter()
    try:
        scan, watched = scanned(job, watch, times)
    except KeyboardInterrupt:
        note("stopped: the references so far are kept, and the same command goes on:")
        note(f"  {command_line()}")
        return status.STOPPED
    cost = {"seconds": time.perf_counter() - began}
    origin = f"{job.beside.origin}, in the same precision"
    if judging.quick:
        note(QUICK)
        origin = f"{origin}; {QUICK}"
    work = ModelWork(scan, job.how.scanner.scanners, file_read, trusted, origin, watched, cost)
    answer(work, job.suspect.form, out, computing.seed)
    return status.OF[scan.verdict.answer]


@dataclass(frozen=True, eq=False)
class Watching:
    """What arrived, None where nothing was given, and the guards that watch it."""

    arrived: Dataset | None
    guards: tuple[Detector, ...]

    @classmethod
    def of(cls, arriving: WhatArrived, reading: HowToRead, trusted: Dataset) -> Watching:
        """Build the guards that were named, before anything takes long, and read the inputs."""
        guards = methods_named(cast(Any, Detector), arriving.guards)
        inputs = arriving.inputs
        return cls(None if inputs is None else arriving_like(trusted, inputs, reading), guards)

    def judged(self, suspect: Suspect, how: Comparison) -> WatchedInputs | None:
        """Let the guards judge what arrived; None, with a note, where they do not apply."""
        placed = suspect.placed
        if self.arrived is None or placed.trusted is None:
            return None
        try:
            decisions = Guarded.fitted(
                placed.model, placed.trusted, suspect.domain, self.guards, how.scanner.level,
                how.seed, runtime=how.runtime, precision=placed.precision,
            ).decide(self.arrived.inputs)  # fmt: skip
        except (CannotJudge, MethodError) as reason:
            note(f"the inputs were not judged: {reason}")
            return None
        return WatchedInputs(self.arrived, decisions, tuple(g.name() for g in self.guards))


def comparison(
    judging: HowToJudge, clean: WhichReferences, out: Path, computing: HowToComputeLong
) -> Comparison:
    """Say how the model is compared; refuses at once what cannot be done."""
    report_folder(out)
    if clean.clean_models is not None and clean.clean_scores:
        raise MethodError("--clean-models and --clean-scores both give the references; name one")
    if judging.quick and judging.scanners:
        raise MethodError("--quick and --scanners both choose the scanners; give one of them")
    usual = quick_scanners if judging.quick else default_scanners
    named = methods_named(cast(Any, Scanner), judging.scanners) or usual()
    known = Population.load(clean.clean_scores) if clean.clean_scores else None
    return Comparison(
        ModelScanner(named, judging.level), known or clean.clean_models or clean.references,
        judging.precision, clean.apart, clean.epochs, computing.seed,
        Runtime(device=device_of(computing.device)), out, clean.varied,
    )  # fmt: skip


def trusted_examples(source: Source, classes: tuple[str, ...]) -> Dataset:
    """Give the trusted examples, with the classes of the model in its order."""
    trusted = of_classes(source.data, classes, "trusted")
    note(
        f"read {len(trusted):,} trusted examples ({source.domain.name}, {source.format}), "
        f"{len(trusted.classes)} classes"
    )
    return trusted


def say_opened(job: ReadyModelScan, onnx: bool) -> None:
    """Say what cannot be done with the model, and how accurate it is as it is read."""
    placed = job.suspect.placed
    if onnx and placed.twin is None:
        fed = any(job.reading.encoding)
        hint = "" if fed else "; without --mean and --std the file is given bytes"
        note(f"methods that need derivatives cannot look into the file: {placed.why}{hint}")
    for doubt in getattr(placed.model, "doubts", ()):
        note(doubt)
    note(f"scanners see {len(job.shown):,} of the trusted examples")
    note(job.plausible.described())


def scanned(
    job: ReadyModelScan, watching: Watching, times: Expected
) -> tuple[ModelScan, WatchedInputs | None]:
    """Scan the model, and watch what arrived, showing how far it is."""
    with Watch() as watch:
        watch.expect(Countdown(times))
        scan = job.scanned(watch.step)
        if watching.arrived is not None:
            watch.step("watching the inputs")
        return scan, watching.judged(job.suspect, job.how)
