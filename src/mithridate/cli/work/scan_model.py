"""The work of `mithridate scan model`: read, make clean references, scan, write, answer.

Axes: n trusted examples, m reference networks.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from torch import nn

from mithridate.cli import status
from mithridate.cli.answer import print_decisions
from mithridate.cli.answer_model import answer, described, unscanned
from mithridate.cli.class_order import ordered
from mithridate.cli.encoding import numbers, set_encoding
from mithridate.cli.groups import HowToComputeLong, HowToRead, WhichNetwork
from mithridate.cli.places import report_folder
from mithridate.cli.scan_model import HowToJudge, WhatArrived, WhichReferences
from mithridate.cli.settings import methods_named
from mithridate.cli.sources import arriving_like, draw_examples, find_source
from mithridate.cli.terminal import Watch, agreed, command_line, note
from mithridate.core.data import Dataset, of_classes
from mithridate.core.domain import Domain
from mithridate.core.errors import CannotJudge, MethodError
from mithridate.core.method import Detector
from mithridate.core.runtime import Runtime, device_of
from mithridate.core.scanner import Scanner
from mithridate.core.streams import stream
from mithridate.core.timing import Countdown, Expected, total
from mithridate.domains.formats import Source
from mithridate.pipelines import kept_network
from mithridate.pipelines.damage import set_apart
from mithridate.pipelines.expected_time import expect_scans
from mithridate.pipelines.guarded import Guarded
from mithridate.pipelines.model_scan import (
    ModelScan,
    ModelScanner,
    default_scanners,
)
from mithridate.pipelines.plausibility import Plausibility, check_as_read
from mithridate.pipelines.population import Population
from mithridate.pipelines.references import (
    CleanNetworks,
    GivenReferences,
    KnownReferences,
    References,
    TrainedReferences,
)
from mithridate.pipelines.scan import choose_training
from mithridate.pipelines.suspect_file import Suspect, SuspectFile
from mithridate.report.model_page import (
    ModelWork,
    TrustedExamples,
    WatchedInputs,
)


def run(
    *,
    file: Path,
    data: str,
    count: int | None,
    out: Path,
    judging: HowToJudge,
    clean: WhichReferences,
    arriving: WhatArrived,
    network: WhichNetwork,
    reading: HowToRead,
    computing: HowToComputeLong,
) -> int:
    """Scan a model, write the report and say what was found; gives the exit status."""
    check_flags(out, judging.level, clean)
    named = methods_named(cast(Any, Scanner), judging.scanners)
    scanner = ModelScanner(named or default_scanners(), judging.level)
    model = looked_at(file, network, clean)
    known = Population.load(clean.clean_scores) if clean.clean_scores else None
    source = find_source(data, reading)
    print_decisions(source)
    model = model.among(*ordered(network.classes, model.note, model.given, source.data.classes))
    everything = trusted_examples(source, count, model.classes, computing.seed)
    watch = Watching.of(arriving, reading, everything)
    trusted = divided(everything, data, clean, known, computing.seed)
    shown, domain = trusted.shown, source.domain
    suspect = opened(model, judging.precision, network, domain, shown, computing.seed)
    plausible = plausibility(suspect, everything, computing)
    file_read = described(model, suspect, plausible.accuracy)
    if plausible.why:
        return unscanned(plausible.why, scanner, file_read, trusted, suspect, out, computing.seed)
    beside: CleanNetworks
    if known is not None:
        beside = KnownReferences(known, known.known(scanner.scanners, suspect.form))
    else:
        beside = clean_networks(clean, suspect, trusted, network, out, computing)
    times = expected(scanner, suspect, shown, beside, computing)
    what = f"scanning {file.name} and {beside.count} clean references"
    if not agreed(what, total(times), computing.yes):
        return status.STOPPED
    began = time.perf_counter()
    try:
        scan, watched = scanned(scanner, suspect, beside, watch, computing, times)
    except KeyboardInterrupt:
        note("stopped: the references so far are kept, and the same command goes on:")
        note(f"  {command_line()}")
        return status.STOPPED
    cost = {"seconds": time.perf_counter() - began}
    origin = f"{beside.origin}, in the same precision"
    work = ModelWork(scan, scanner.scanners, file_read, trusted, origin, watched, cost)
    answer(work, suspect.form, out, computing.seed)
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

    def judged(
        self, suspect: Suspect, level: float, seed: int, runtime: Runtime
    ) -> WatchedInputs | None:
        """Let the guards judge what arrived; None, with a note, where they do not apply."""
        placed = suspect.placed
        if self.arrived is None or placed.trusted is None:
            return None
        try:
            decisions = Guarded.fitted(
                placed.model, placed.trusted, suspect.domain, self.guards, level, seed,
                runtime=runtime, precision=placed.precision,
            ).decide(self.arrived.inputs)  # fmt: skip
        except (CannotJudge, MethodError) as reason:
            note(f"the inputs were not judged: {reason}")
            return None
        return WatchedInputs(self.arrived, decisions, tuple(g.name() for g in self.guards))


def check_flags(out: Path, level: float, clean: WhichReferences) -> None:
    """Refuse at once, and not after the training, what cannot be done."""
    report_folder(out)
    if not 0 < level < 1 or not 0 < clean.apart < 1:
        raise MethodError(
            f"expected --level and --apart between 0 and 1, found {level} and {clean.apart}"
        )
    if clean.clean_models is not None and clean.clean_scores:
        raise MethodError("--clean-models and --clean-scores both give the references; name one")
    if clean.clean_models is None and clean.references < 2:
        raise MethodError(f"expected at least 2 --references, found {clean.references}")


def looked_at(file: Path, network: WhichNetwork, clean: WhichReferences) -> SuspectFile:
    """Look at the file; raises MethodError where nobody says which network it holds."""
    encoding = numbers(network.mean), numbers(network.std)
    model = SuspectFile.looked_at(file, network.network, network.part, encoding)
    if model.onnx and clean.clean_models is None and not network.network:
        raise MethodError(
            "an ONNX file does not say which network it holds, and clean references must be of the "
            "same form: name it with --network, or give --clean-models"
        )
    return model


def trusted_examples(
    source: Source, count: int | None, classes: tuple[str, ...], seed: int
) -> Dataset:
    """Give the trusted examples, with the classes of the model in its order."""
    trusted = draw_examples(of_classes(source.data, classes, "trusted"), count, seed, "trusted")
    note(
        f"read {len(trusted):,} trusted examples ({source.domain.name}, {source.format}), "
        f"{len(trusted.classes)} classes"
    )
    return trusted


def divided(
    trusted: Dataset, origin: str, clean: WhichReferences, known: Population | None, seed: int
) -> TrustedExamples:
    """Divide the examples into those that train references, if any are trained, and the others."""
    learnt, shown = set_apart(trusted, clean.apart, stream(seed, "scan", "apart"))
    if known is not None:
        return TrustedExamples(known.seen((shown, trusted), seed), None, origin)
    if clean.clean_models is not None:
        return TrustedExamples(trusted, None, origin)
    return TrustedExamples(shown, learnt, origin)


def opened(
    model: SuspectFile, precision: str, network: WhichNetwork, domain: Domain, shown: Dataset,
    seed: int,
) -> Suspect:  # fmt: skip
    """Open the file as it is deployed, and say what cannot be done with it."""
    fed = domain
    if model.fed:
        fed = set_encoding(domain, model.network, network.mean, network.std)
    suspect = model.opened(precision, domain, fed, shown, seed)
    if model.onnx and suspect.placed.twin is None:
        hint = (
            "; without --mean and --std the file is given bytes" if not any(model.encoding) else ""
        )
        note(f"methods that need derivatives cannot look into the file: {suspect.placed.why}{hint}")
    note(f"scanners see {len(shown):,} of the trusted examples")
    return suspect


def clean_networks(
    clean: WhichReferences, suspect: Suspect, trusted: TrustedExamples, network: WhichNetwork,
    out: Path, computing: HowToComputeLong,
) -> CleanNetworks:  # fmt: skip
    """Take the networks in the folder that was given, or train some."""
    if clean.clean_models is None:
        return trained_references(clean, suspect, trusted, out, computing)
    return given_references(clean.clean_models, suspect, trusted.shown, network, computing.seed)


def given_references(
    folder: Path, suspect: Suspect, shown: Dataset, network: WhichNetwork, seed: int
) -> GivenReferences:
    """Let the networks in a folder be the references."""

    def read(path: Path) -> nn.Module:
        rng = stream(seed, "weights")
        return kept_network.load(path, suspect.domain, shown, network.network, rng, network.part)

    return GivenReferences(folder, read)


def trained_references(
    clean: WhichReferences, suspect: Suspect, trusted: TrustedExamples, out: Path,
    computing: HowToComputeLong,
) -> TrainedReferences:  # fmt: skip
    """Let references be trained on trusted examples, and kept beside the report."""
    learnt = trusted.learnt
    assert learnt is not None, "`divided` sets examples apart where references are trained"
    config = choose_training(len(learnt))
    if clean.epochs is not None:
        config = replace(config, epochs=clean.epochs)
    how = References(clean.references, suspect.network, config)
    runtime = Runtime(device=device_of(computing.device))
    return TrainedReferences(how, learnt, suspect.domain, computing.seed, runtime, out)


def expected(
    scanner: ModelScanner, suspect: Suspect, shown: Dataset, beside: CleanNetworks,
    computing: HowToComputeLong,
) -> Expected:  # fmt: skip
    """Measure how long each kind of work takes, scans by those of a fresh network."""
    seed, runtime = computing.seed, Runtime(device=device_of(computing.device))
    making = beside.expected()  # first, so that memory and kernels are prepared for the scans
    fresh = suspect.domain.network(shown, suspect.network, stream(seed, "estimate")).eval()
    networks, placed = 1 + beside.unscanned, suspect.place(fresh)
    return {**making, **expect_scans(scanner.scanners, placed, networks, seed, runtime)}


def scanned(
    scanner: ModelScanner, suspect: Suspect, beside: CleanNetworks, watching: Watching,
    computing: HowToComputeLong, times: Expected,
) -> tuple[ModelScan, WatchedInputs | None]:  # fmt: skip
    """Scan the model, and watch what arrived, showing how far it is."""
    seed, runtime = computing.seed, Runtime(device=device_of(computing.device))
    with Watch() as watch:
        watch.expect(Countdown(times))
        others = beside.beside(suspect.place, watch.step)
        scan = scanner.scan(suspect.placed, others, seed, runtime=runtime, step=watch.step)
        if watching.arrived is not None:
            watch.step("watching the inputs")
        return scan, watching.judged(suspect, scanner.level, seed, runtime)


def plausibility(suspect: Suspect, trusted: Dataset, computing: HowToComputeLong) -> Plausibility:
    """Ask the trusted examples whether the model is read as it was trained, and say so."""
    plausible = check_as_read(
        suspect.placed.model, trusted, suspect.domain, precision=suspect.placed.precision,
        runtime=Runtime(device=device_of(computing.device)), seed=computing.seed,
    )  # fmt: skip
    note(plausible.described())
    return plausible
