"""The work of `mithridate scan data`: read, estimate, scan, write, answer.

Axes: n suspect and m trusted examples.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, cast, get_args

from mithridate.cli import answer, status, terminal
from mithridate.cli.groups import HowToComputeLong, HowToReadOn, HowToTrain
from mithridate.cli.places import empty_folder, report_folder
from mithridate.cli.scan_data import WhatToWrite, WhichModel, WhichTrusted
from mithridate.cli.settings import methods_named
from mithridate.cli.sources import find_source, names_of, own_ids_of, trusted_beside
from mithridate.cli.terminal import Watch, command_line, note, say, stopped
from mithridate.core.data import Dataset
from mithridate.core.errors import DataError, MethodError
from mithridate.core.method import Detector
from mithridate.core.runtime import Runtime, device_of
from mithridate.detectors.early_loss import EarlyLoss
from mithridate.detectors.strongest_feature import StrongestFeature
from mithridate.domains.formats import Source, check_target, write
from mithridate.domains.registry import columns_of
from mithridate.pipelines import kept_network
from mithridate.pipelines.drawing import CheckedDraw, draw_examples, drawing, recorded
from mithridate.pipelines.finding import DataScan
from mithridate.pipelines.mirroring import flipped
from mithridate.pipelines.quick_look import Look
from mithridate.pipelines.ready_scan import ReadyScan
from mithridate.pipelines.scan import DataScanner, Saw
from mithridate.report.overlapping import describe_checked
from mithridate.report.page import write_report


def run(
    *, path: str, limit: int | None, trusted: WhichTrusted, model: WhichModel,
    writing: WhatToWrite, detectors: str, quick: bool, strongest: bool, training: HowToTrain,
    reading: HowToReadOn, computing: HowToComputeLong, settings: dict[str, Any],
) -> int:  # fmt: skip
    """Scan a data set, write the report and say what was found; gives the exit status."""
    check_flags(model, writing, quick)
    detectors = asked_for(detectors, quick, strongest, settings["thorough"])
    scanner = scanner_of(settings, detectors, trained=model.model is None)
    runtime = Runtime(device=device_of(computing.device))
    source, data = suspects_of(path, reading, limit, computing.seed, trusted.trusted)
    if writing.cleaned:
        check_target(writing.cleaned, source)
    clean, checked = trusted_of(trusted, source, reading, computing.seed)
    job = ReadyScan.of(
        scanner, data, clean, flipped(source.domain, training.flip), model=model.model,
        saw=cast(Saw, model.model_saw), epochs=training.epochs, seed=computing.seed,
        runtime=runtime, home=writing.out,
    )  # fmt: skip
    answer.print_read(source, data, clean)
    seen, glance = looked(job, every=bool(detectors))
    if job.model is None and not quick and not agreed(job, seen, glance, computing.yes):
        return status.STOPPED
    try:
        with Watch() as watch:
            if quick:
                scan = job.powered(glance or job.quick(seen), seen, watch.step, quick=True)
            else:
                scan = job.scanned(watch.step, watch.epochs, seen)
    except KeyboardInterrupt:
        return stopped(job.checkpoint if job.unfinished else None)
    return finished(job, scan, source, path, writing, checked)


def looked(job: ReadyScan, every: bool) -> tuple[Look, DataScan | None]:
    """Take the quick look and say what it shows.

    Args:
        job: The scan that it begins.
        every: Whether all detectors were asked for, so that one that cannot judge is told of.

    """
    seen = job.looked()
    answer.print_left_out(seen.left_out if every else {})
    glance = job.quick(seen) if seen.judged else None
    if glance is not None:
        answer.print_look(glance, job.data, len(job.trusted) if job.trusted else 0)
    return seen, glance


def finished(
    job: ReadyScan, scan: DataScan, source: Source, path: str, writing: WhatToWrite,
    checked: CheckedDraw | None,
) -> int:  # fmt: skip
    """Write all that was asked for; gives the exit status."""
    write_all(job, scan, source, path, writing, checked)
    return status.OF[scan.verdict.answer]


def check_flags(model: WhichModel, writing: WhatToWrite, quick: bool) -> None:
    """Refuse at once, and not after the training, what cannot be done."""
    report_folder(writing.out)
    if writing.cleaned:
        empty_folder(writing.cleaned, "the cleaned copy")
    if model.model_saw not in get_args(Saw):
        raise MethodError(
            f"expected --model-saw {', '.join(get_args(Saw))}; found {model.model_saw!r}"
        )
    if writing.save_model and model.model:
        raise MethodError("--save-model keeps a trained network, and --model trains none")
    if quick and (writing.save_model or model.model):
        raise MethodError("--quick asks no network; leave --model and --save-model out")


def suspects_of(
    path: str, reading: HowToReadOn, limit: int | None, seed: int, trusted: str | None
) -> tuple[Source, Dataset]:
    """Read the suspects, and draw so many; those that are not drawn are not decoded.

    Trusted examples that were drawn from the suspects are known by the digest of all of these.
    """
    if trusted is None or recorded(Path(trusted)) is None:
        source = find_source(path, reading, draw=drawing(limit, seed, "suspect"))
        return source, source.data
    source = find_source(path, reading)
    return source, draw_examples(source.data, limit, seed, "suspect")


def asked_for(detectors: str, quick: bool, strongest: bool, thorough: bool) -> str:
    """Give the detectors that were asked for by name, or by --strongest."""
    if quick and (strongest or thorough):
        word = "--strongest" if strongest else "--thorough"
        raise MethodError(f"--quick trains no network, and {word} trains many; leave one out")
    if not strongest:
        return detectors
    if detectors:
        raise MethodError("--strongest asks one detector; leave --detectors out, or --strongest")
    return StrongestFeature.name()


def trusted_of(
    which: WhichTrusted, source: Source, reading: HowToReadOn, seed: int
) -> tuple[Dataset | None, CheckedDraw | None]:
    """Read the trusted examples, which have the classes of the suspects.

    Of examples that `mithridate draw` drew from the suspects it is said what became of them.
    """
    if which.trusted is None:
        if which.trusted_count is not None:
            raise DataError("--trusted-count draws from the examples of --trusted, which is absent")
        return None, None
    drawn = recorded(Path(which.trusted))
    draw = None if drawn else drawing(which.trusted_count, seed, "trusted")
    trusted = trusted_beside(source, which.trusted, reading, draw)
    checked = drawn.checked(trusted, source.data, source.names) if drawn else None
    if drawn:
        note(describe_checked(checked))
        trusted = draw_examples(trusted, which.trusted_count, seed, "trusted")
    return trusted, checked


def scanner_of(given: dict[str, Any], detectors: str, *, trained: bool) -> DataScanner:
    """Build the scanner from its flags.

    Args:
        given: The values of its plain fields.
        detectors: Names with commas between them, "" for those of an ordinary scan.
        trained: Whether a network is trained, of which the losses are known.

    """
    for name in ("level", "fdr", "smallest", "enough"):
        if not 0 < given[name] < 1:
            raise MethodError(f"expected --{name} between 0 and 1, found {given[name]}")
    if given["power"] < 0:
        raise MethodError(f"expected --power 0 or more, found {given['power']}")
    if given["permutations"] < 1:
        raise MethodError(f"expected at least 1 permutation, found {given['permutations']}")
    if not detectors:
        return DataScanner(**given)
    return DataScanner(**given, detectors=detectors_of(detectors, trained=trained))


def detectors_of(names: str, *, trained: bool) -> tuple[Detector, ...]:
    """Build the detectors that were named."""
    chosen = methods_named(cast(Any, Detector), names)
    if not chosen:
        raise MethodError(f"expected the names of detectors, found {names!r}")
    if not trained and all(isinstance(detector, EarlyLoss) for detector in chosen):
        raise MethodError(
            f"{EarlyLoss.name()} needs the losses of a training, and --model trains nothing; "
            "name another detector, or leave --model out"
        )
    return chosen


def agreed(job: ReadyScan, seen: Look, glance: DataScan | None, yes: bool) -> bool:
    """Say how long the work will take; ask before long work where somebody can answer."""
    if job.unfinished:
        note(f"going on with the training that is kept in {job.checkpoint}")
    training = job.seconds()
    scan = training + job.seconds_after(seen)
    how = f"{job.training.epochs} epochs on {job.runtime.device}"
    what = f"training {job.scanner.trainer or how} and asking detectors"
    more = job.seconds_of_power(seen, scan, glance)
    if subsets := job.seconds_of_subsets(training):
        note(f"{what}: about {terminal.duration(scan)}")
        what, scan = "with trainings on subsets of the data", scan + subsets
    if not more:
        return terminal.agreed(what, scan, yes)
    note(f"{what}: about {terminal.duration(scan)}")
    what = "if nothing is found, with measuring what was missed (--power 0 leaves that out)"
    return terminal.agreed(what, scan + more, yes)


def write_beside(
    job: ReadyScan, scan: DataScan, source: Source, writing: WhatToWrite
) -> list[Path]:
    """Write the cleaned copy and the network, where they were asked for; gives their places."""
    files, data = [], job.data
    if writing.cleaned and scan.verdict.answer != "cannot judge":
        kept = data.subset(~scan.flagged)
        write(kept, names_of(source, kept), source, writing.cleaned)
        files.append(writing.cleaned)
    if writing.save_model:
        described = kept_network.Note(
            job.scanner.network, data.classes, job.scanner.trainer,
            columns=columns_of(source.domain),
        )  # fmt: skip
        kept_network.save(scan.model, writing.save_model, described)
        files.append(writing.save_model)
    return files


def write_all(
    job: ReadyScan, scan: DataScan, source: Source, origin: str, writing: WhatToWrite,
    checked: CheckedDraw | None,
) -> None:  # fmt: skip
    """Write the report and what else was asked for, then say what was found and where it is."""
    data, out = job.data, writing.out
    write_report(
        scan, data, job.trusted, out, names=names_of(source, data),
        own_ids=own_ids_of(source, data),
        rejected=[(each.name, each.reason) for each in source.rejected],
        checked=checked, origin=origin, command=command_line(), seed=job.seed,
        domain=source.domain,
    )  # fmt: skip
    files = [out / name for name in ("report.html", "report.json", "flagged.csv")]
    files += write_beside(job, scan, source, writing)
    for unfinished in (job.checkpoint, job.planting, job.subsets):
        if unfinished is not None:
            shutil.rmtree(unfinished, ignore_errors=True)
    answer.print_verdict(scan, data, names_of(source, data))
    answer.print_strongest(scan, data)
    if scan.verdict.answer == "cannot judge":
        if scan.verdict.p_value is not None or not job.trusted:
            answer.print_needed(scan, data, job.scanner, job.seed)
        if writing.cleaned:
            say("No example was named, so no cleaned copy was written.")
    answer.print_places(files)
