"""The work of `mithridate scan data`: read, estimate, scan, write, answer.

Axes: n suspect and m trusted examples.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast, get_args

from torch import nn

from mithridate.cli import answer, status
from mithridate.cli.encoding import flipped
from mithridate.cli.scan_data import ScanData
from mithridate.cli.sources import draw_examples, find_source, names_of, trusted_beside
from mithridate.cli.terminal import Watch, command_line, duration, go_on, note, say
from mithridate.core.data import Dataset, concatenate
from mithridate.core.domain import Domain
from mithridate.core.errors import DataError, MethodError
from mithridate.core.fingerprint import fingerprint, place_of
from mithridate.core.fit import TrainingConfig, fit
from mithridate.core.method import Detector
from mithridate.core.registry import get
from mithridate.core.runtime import Runtime, device_of
from mithridate.core.streams import stream
from mithridate.core.training_run import TrainingRun
from mithridate.detectors.early_loss import EarlyLoss
from mithridate.domains.formats import Source, write
from mithridate.pipelines import kept_network
from mithridate.pipelines.finding import DataScan
from mithridate.pipelines.scan import DataScanner, Saw, choose_training
from mithridate.report.page import write_report


@dataclass(frozen=True, eq=False)
class Job:
    """A scan that is ready to begin.

    Attributes:
        source: of the suspects.
        data: those that are scanned.
        training: of the training, or of none where a model was given.
    """

    request: ScanData
    source: Source
    data: Dataset
    trusted: Dataset | None
    domain: Domain
    scanner: DataScanner
    training: TrainingConfig
    runtime: Runtime
    model: nn.Module | None

    @property
    def union(self) -> Dataset:
        """Suspect and trusted examples."""
        return concatenate(self.data, self.trusted) if self.trusted else self.data

    @cached_property
    def checkpoint(self) -> Path:
        """Where the training is kept while it runs; another training has another folder."""
        parts = [fingerprint(self.union), self.domain, self.training, self.scanner.network,
                 self.request.seed]  # fmt: skip
        return self.request.out / f"unfinished-{place_of(*parts)}"

    @property
    def unfinished(self) -> bool:
        """Whether an earlier run left a part of this training."""
        return self.model is None and any(self.checkpoint.glob("*.safetensors"))


def run(request: ScanData) -> int:
    """Scan a data set, write the report and say what was found; gives the exit status."""
    check_flags(request)
    job = prepare(request, scanner_of(request), Runtime(device=device_of(request.device)))
    answer.print_read(job.source, job.data, job.trusted)
    if job.model is None and not agreed(job):
        return status.STOPPED
    try:
        found = scan(job)
    except KeyboardInterrupt:
        return stopped(job)
    write_all(job, found)
    return status.OF[found.verdict.answer]


def check_flags(request: ScanData) -> None:
    """Refuse at once, and not after the training, what cannot be done."""
    if request.out.exists() and not request.out.is_dir():
        raise DataError(f"{str(request.out)!r}: expected a folder for the report, found a file")
    cleaned = request.cleaned
    if cleaned and cleaned.exists() and (not cleaned.is_dir() or any(cleaned.iterdir())):
        raise DataError(
            f"{str(cleaned)!r}: expected a new or empty folder for the cleaned copy, found "
            "something there; choose another"
        )
    if request.model_saw not in get_args(Saw):
        raise MethodError(
            f"expected --model-saw {', '.join(get_args(Saw))}; found {request.model_saw!r}"
        )
    if request.save_model and request.model:
        raise MethodError("--save-model keeps a trained network, and --model trains none")


def prepare(request: ScanData, scanner: DataScanner, runtime: Runtime) -> Job:
    """Read the data and settle how they are scanned."""
    options = {
        "size": request.size, "label": request.label, "content": request.content,
        "keep_going": request.keep_going,
    }  # fmt: skip
    source = find_source(request.path, request.split, **options)
    data = draw_examples(source.data, request.limit, request.seed, "suspect")
    trusted = trusted_of(request, source, options)
    domain = flipped(source.domain, request.flip)
    union = concatenate(data, trusted) if trusted else data
    config = choose_training(len(union))
    if request.epochs is not None:
        config = replace(config, epochs=request.epochs)
    model = None
    if request.model:
        rng = stream(request.seed, "weights")
        model = kept_network.load(request.model, domain, union, scanner.network, rng)
    return Job(
        request, source, data, trusted, domain, replace(scanner, training=config), config,
        runtime, model,
    )  # fmt: skip


def trusted_of(request: ScanData, source: Source, options: dict[str, Any]) -> Dataset | None:
    """Read the trusted examples, which have the classes of the suspects."""
    if request.trusted is None:
        if request.trusted_count is not None:
            raise DataError("--trusted-count draws from the examples of --trusted, which is absent")
        return None
    trusted = trusted_beside(source, request.trusted, request.split, options)
    return draw_examples(trusted, request.trusted_count, request.seed, "trusted")


def scanner_of(request: ScanData) -> DataScanner:
    """Build the scanner from its flags."""
    settings = dict(request.settings)
    for name in ("level", "fdr", "smallest"):
        if not 0 < settings[name] < 1:
            raise MethodError(f"expected --{name} between 0 and 1, found {settings[name]}")
    if settings["permutations"] < 1:
        raise MethodError(f"expected at least 1 permutation, found {settings['permutations']}")
    if request.epochs is not None and request.epochs < 1:
        raise MethodError(f"expected at least 1 epoch, found {request.epochs}")
    if request.detectors:
        settings["detectors"] = detectors_of(request)
    return DataScanner(**settings)


def detectors_of(request: ScanData) -> tuple[Detector, ...]:
    """Build the detectors that were named."""
    names = [name.strip() for name in request.detectors.split(",") if name.strip()]
    chosen = tuple(get(cast(Any, Detector), name) for name in dict.fromkeys(names))
    if not chosen:
        raise MethodError(f"expected the names of detectors, found {request.detectors!r}")
    if request.model and all(isinstance(detector, EarlyLoss) for detector in chosen):
        raise MethodError(
            f"{EarlyLoss.name()} needs the losses of a training, and --model trains nothing; "
            "name another detector, or leave --model out"
        )
    return chosen


def agreed(job: Job) -> bool:
    """Say how long the training will take; ask before a long one where somebody can answer."""
    union, epochs = job.union, job.training.epochs
    if job.unfinished:
        note(f"going on with the training that is kept in {job.checkpoint}")
    seconds = estimate(job, union)
    note(f"training {epochs} epochs on {job.runtime.device}: about {duration(seconds)}")
    return go_on(seconds, job.request.yes)


def estimate(job: Job, union: Dataset) -> float:
    """Estimate the seconds of the training by training a network of its kind on four batches."""
    rng = stream(job.request.seed, "estimate")
    few = union.subset(rng.permutation(len(union))[: 4 * job.training.batch_size])
    model = job.domain.network(union, job.scanner.network, rng)
    once, run = replace(job.training, epochs=1), TrainingRun(job.runtime)
    for _ in range(2):  # the first time, memory and kernels are still being prepared
        cost = fit(model, few, job.domain, once, rng, run).cost
    return cost["seconds"] * len(union) / len(few) * job.training.epochs


def scan(job: Job) -> DataScan:
    """Scan, showing how far it is."""
    checkpoint = None if job.model else job.checkpoint
    with Watch() as watch:
        return job.scanner.scan(
            job.data, job.trusted, job.domain, job.request.seed,
            runtime=job.runtime, model=job.model, saw=cast(Saw, job.request.model_saw),
            progress=watch.epochs, step=watch.step, checkpoint=checkpoint,
        )  # fmt: skip


def stopped(job: Job) -> int:
    """Say how to go on after Ctrl-C."""
    how = f"the training so far is kept in {job.checkpoint}, and " if job.unfinished else ""
    begins = "goes on from there" if job.unfinished else "begins again"
    note(f"stopped: {how}the same command {begins}:\n  {command_line()}")
    return status.STOPPED


def write_all(job: Job, found: DataScan) -> None:
    """Write the report and what else was asked for, then say what was found and where it is."""
    request, source, data = job.request, job.source, job.data
    write_report(
        found, data, job.trusted, request.out, names=names_of(source, data),
        rejected=[(each.name, each.reason) for each in source.rejected],
        origin=str(request.path), command=command_line(), seed=request.seed,
    )  # fmt: skip
    files = [request.out / name for name in ("report.html", "report.json", "flagged.csv")]
    if request.cleaned and found.verdict.answer != "cannot judge":
        kept = data.subset(~found.flagged)
        write(kept, names_of(source, kept), source, request.cleaned)
        files.append(request.cleaned)
    if request.save_model:
        note = kept_network.Note(job.scanner.network, data.classes)
        kept_network.save(found.model, request.save_model, note)
        files.append(request.save_model)
    if job.model is None:
        shutil.rmtree(job.checkpoint, ignore_errors=True)
    answer.print_verdict(found, data)
    if found.verdict.answer == "cannot judge":
        if found.verdict.p_value is not None or not job.trusted:
            answer.print_needed(found, data, job.scanner, request.seed)
        if request.cleaned:
            say("No example was named, so no cleaned copy was written.")
    answer.print_places(files)
