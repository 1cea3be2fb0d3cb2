"""The work of `mithridate train`: read, estimate, train, measure, write.

Axes: n suspect and m trusted examples.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, cast

from torch import nn

from mithridate.cli import answer, outcome, status, terminal
from mithridate.cli.groups import HowToComputeLong, HowToReadOn, HowToTrain
from mithridate.cli.settings import parse_settings
from mithridate.cli.sources import find_source, trusted_beside
from mithridate.cli.terminal import Watch, note, stopped
from mithridate.cli.train import HowToCleanse, WhichTrainer
from mithridate.core.data import Dataset, concatenate
from mithridate.core.method import Trainer
from mithridate.core.runtime import Runtime, device_of
from mithridate.core.settings import build
from mithridate.domains.formats import Source
from mithridate.domains.registry import columns_of
from mithridate.pipelines import kept_network
from mithridate.pipelines.drawing import drawing
from mithridate.pipelines.mirroring import flipped
from mithridate.pipelines.ready_training import ReadyTraining, check_then
from mithridate.report.card import NetworkWork


def run(
    *, path: str, out: Path, trainer: WhichTrainer, cleansing: HowToCleanse, training: HowToTrain,
    limit: int | None, reading: HowToReadOn, computing: HowToComputeLong, force: bool,
) -> int:  # fmt: skip
    """Train, write the network and its card, and say what is known; gives the exit status."""
    check_then(cleansing.then, trainer.trainer, cleansing.trusted is not None)
    outcome.check(out, [Path(p) for p in (path, cleansing.trusted) if p], force)
    given = parse_settings(trainer.set or [])
    method: Trainer = build(cast(Any, Trainer), trainer.trainer, given)
    try:
        source = find_source(path, reading, draw=drawing(limit, computing.seed, "suspect"))
        data = source.data
        trusted = trusted_of(cleansing.trusted, source, reading, data)
        job = ReadyTraining.of(
            method, data, trusted, flipped(source.domain, training.flip), network=trainer.network,
            then=cleansing.then, apart=cleansing.apart, epochs=training.epochs, said=given,
            seed=computing.seed, runtime=Runtime(device=device_of(computing.device)), home=out,
        )  # fmt: skip
    except KeyboardInterrupt:
        note("stopped: nothing was written")
        return status.STOPPED
    answer.print_read(source, data, trusted)
    origins = {"data": path, "trusted": cleansing.trusted or ""}
    rejected = tuple((each.name, each.reason) for each in source.rejected)
    try:
        if not agreed(job, computing.yes):
            return status.STOPPED
        model, work = work_on(job, trusted, origins, rejected)
    except KeyboardInterrupt:
        return stopped(job.checkpoint if job.unfinished else None)
    kept = kept_network.Note(
        job.network, data.classes, job.trainer.name(), given, columns=columns_of(source.domain)
    )
    outcome.write(model, kept, work, out, job.seed)
    if job.checkpoint is not None:
        shutil.rmtree(job.checkpoint, ignore_errors=True)
    return status.CLEAN


def trusted_of(
    where: str | None, source: Source, reading: HowToReadOn, data: Dataset
) -> Dataset | None:
    """Read the trusted examples, which have the classes and the shape of the suspects."""
    if where is None:
        return None
    trusted = trusted_beside(source, where, reading)
    concatenate(data.subset([0]), trusted.subset([0]))  # refuses another shape
    return trusted


def agreed(job: ReadyTraining, yes: bool) -> bool:
    """Say how long the training will take, and ask before a long one."""
    if job.unfinished:
        note(f"going on with the training that is kept in {job.checkpoint}")
    what = f"training by {job.trainer.name()} on {job.runtime.device}"
    if job.then != "none":
        what += ", twice where the scan flags something"
    return terminal.agreed(what, job.seconds(), yes)


def work_on(
    job: ReadyTraining, trusted: Dataset | None, origins: dict[str, str],
    rejected: tuple[tuple[str, str], ...],
) -> tuple[nn.Module, NetworkWork]:  # fmt: skip
    """Train, showing how far it is, and measure; gives the network and what was done."""
    resumed = job.unfinished
    with Watch() as watch:
        made = job.made(watch.step, watch.epochs)
    work = NetworkWork(
        "train", job.trainer, job.network, job.data.classes, job.domain.name, origins, made.cost,
        data=job.data, trusted=trusted, measured=job.measured, damage=made.damage,
        scans=() if made.scan is None else (made.scan,), then=job.then, ended=made.ended,
        notes={name: len(rows) for name, rows in made.notes.items()}, rejected=rejected,
        resumed=resumed,
    )  # fmt: skip
    return made.model, work
