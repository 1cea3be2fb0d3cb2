"""The work of `mithridate train`: read, estimate, train, measure, write.

Axes: n suspect and m trusted examples.
"""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import time
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, cast

from torch import nn

from mithridate.cli import answer, outcome, status, terminal
from mithridate.cli.encoding import flipped
from mithridate.cli.settings import parse_settings
from mithridate.cli.sources import draw_examples, find_source, trusted_beside
from mithridate.cli.terminal import Watch, command_line, note
from mithridate.cli.train import TrainNetwork
from mithridate.core.data import Dataset, concatenate
from mithridate.core.domain import Domain
from mithridate.core.errors import MethodError, MithridateError
from mithridate.core.fingerprint import fingerprint, place_of
from mithridate.core.fit import TrainingConfig
from mithridate.core.method import Trainer
from mithridate.core.runtime import Runtime, device_of
from mithridate.core.settings import build
from mithridate.core.streams import stream
from mithridate.core.training_run import TrainingRun
from mithridate.domains.formats import Source
from mithridate.pipelines import kept_network
from mithridate.pipelines.damage import damage, set_apart
from mithridate.pipelines.filtered import Cleansed, Filtered
from mithridate.pipelines.passes import Passes
from mithridate.pipelines.scan import DataScanner, choose_training
from mithridate.pipelines.training import train
from mithridate.pipelines.unlearned import Unlearned
from mithridate.report.card import Work
from mithridate.trainers.standard import Standard

THEN = ("none", "drop", "relabel", "unlearn")
STEPS = 4  # batches that an estimate trains on


@dataclass(frozen=True, eq=False)
class Job:
    """A training that is ready to begin.

    Attributes:
        data: the suspects.
        trusted: all of them.
        learn: those that a scan may use.
        measured: those that the network is measured by.
    """

    request: TrainNetwork
    source: Source
    data: Dataset
    trusted: Dataset | None
    learn: Dataset | None
    measured: Dataset | None
    domain: Domain
    trainer: Trainer
    runtime: Runtime

    @cached_property
    def union(self) -> Dataset:
        """All that is trained on."""
        return concatenate(self.data, self.learn) if self.learn is not None else self.data

    @cached_property
    def checkpoint(self) -> Path:
        """Where the training is kept while it runs; another training has another folder."""
        parts = [fingerprint(self.union), self.domain, self.trainer, self.request.then,
                 self.request.network, self.request.seed]  # fmt: skip
        return self.request.out / f"unfinished-{place_of(*parts)}"

    @property
    def unfinished(self) -> bool:
        """Whether an earlier run left a part of this training."""
        return any(self.checkpoint.rglob("*.safetensors"))


def run(request: TrainNetwork) -> int:
    """Train, write the network and its card, and say what is known; gives the exit status."""
    check_flags(request)
    paths = [Path(where) for where in (request.path, request.trusted) if where]
    outcome.check(request.out, paths, request.force)
    try:
        job = prepare(request)
    except KeyboardInterrupt:
        note("stopped: nothing was written")
        return status.STOPPED
    answer.print_read(job.source, job.data, job.trusted)
    try:
        if not agreed(job):
            return status.STOPPED
        made = work_on(job)
    except KeyboardInterrupt:
        return stopped(job)
    outcome.write(made[0], kept_note(job), made[1], request.out, request.seed)
    shutil.rmtree(job.checkpoint, ignore_errors=True)
    return status.CLEAN


def check_flags(request: TrainNetwork) -> None:
    """Refuse at once what cannot be done."""
    if request.then not in THEN:
        raise MethodError(f"expected --then {', '.join(THEN)}; found {request.then!r}")
    if request.epochs is not None and request.epochs < 1:
        raise MethodError(f"expected at least 1 epoch, found {request.epochs}")
    if request.then == "none":
        return
    if request.trusted is None:
        raise MethodError(
            f"--then {request.then} needs --trusted: without trusted examples a scan names no "
            "example, so there is nothing to act on"
        )
    if request.then != "drop" and request.trainer != Standard.name():
        raise MethodError(
            f"--then {request.then} changes the network of the scan, which is trained by "
            f"{Standard.name()}; leave --trainer out, or say --then drop"
        )


def prepare(request: TrainNetwork) -> Job:
    """Read the data and settle how the network is trained."""
    runtime, given = Runtime(device=device_of(request.device)), parse_settings(request.set or [])
    trainer: Trainer = build(cast(Any, Trainer), request.trainer, given)
    options = {
        "size": request.size, "label": request.label, "content": request.content,
        "keep_going": request.keep_going,
    }  # fmt: skip
    source = find_source(request.path, request.split, **options)
    data = draw_examples(source.data, request.limit, request.seed, "suspect")
    trusted, learn, measured = None, None, None
    if request.trusted is not None:
        trusted = measured = trusted_beside(source, request.trusted, request.split, options)
        concatenate(data.subset([0]), trusted.subset([0]))  # refuses another shape
    if trusted is not None and request.then != "none":
        learn, measured = set_apart(trusted, request.apart, stream(request.seed, "train", "apart"))
    domain = flipped(source.domain, request.flip)
    domain.network(data, request.network, stream(request.seed, "name"))  # refuses an unknown name
    n = len(data) + (len(learn) if learn is not None else 0)
    return Job(
        request, source, data, trusted, learn, measured, domain,
        timed(trainer, n, request.epochs, set(given)), runtime,
    )  # fmt: skip


def timed(trainer: Trainer, n: int, epochs: int | None, said: set[str]) -> Trainer:
    """Let a trainer with a configuration train for as long as n examples need, as a scan does.

    Args:
        epochs: as asked for.
        said: settings that were given, which are kept.
    """
    fields = {f.name for f in dataclasses.fields(cast(Any, trainer))}
    config = getattr(trainer, "training", None)
    inside = isinstance(config, TrainingConfig)
    name = "training.epochs" if inside else "epochs"
    if epochs is not None and name in said:
        raise MethodError(f"--epochs and --set {name} say the same; leave one out")
    if epochs is not None and not inside and "epochs" not in fields:
        raise MethodError(f"{trainer.name()} has no epochs to choose; leave --epochs out")
    if not inside:
        return trainer if epochs is None else cast(Trainer, changed(trainer, epochs=epochs))
    usual = choose_training(n)
    wanted: dict[str, Any] = {"epochs": epochs or usual.epochs, "batch_size": usual.batch_size}
    free: dict[str, Any] = {
        field: value for field, value in wanted.items() if f"training.{field}" not in said
    }
    return cast(Trainer, changed(trainer, training=replace(cast(TrainingConfig, config), **free)))


def changed(method: Any, **fields: Any) -> Any:
    """Give the same method with other fields."""
    return replace(method, **fields)


def agreed(job: Job) -> bool:
    """Say how long the training will take, and ask before a long one."""
    if job.unfinished:
        note(f"going on with the training that is kept in {job.checkpoint}")
    what = f"training by {job.trainer.name()} on {job.runtime.device}"
    if job.request.then != "none":
        what += ", twice where the scan flags something"
    return terminal.agreed(what, estimate(job), job.request.yes)


def estimate(job: Job) -> float | None:
    """Estimate the seconds of one training from the same on a few batches; None where it fails."""
    union, rng = job.union, stream(job.request.seed, "estimate")
    config = getattr(job.trainer, "training", None)
    size, epochs = 64, 1
    trainer = job.trainer
    if isinstance(config, TrainingConfig):
        # what takes stages gets two epochs, since one can be too short to divide
        short = 1 if isinstance(trainer, Standard) else min(2, config.epochs)
        size, epochs = config.batch_size, config.epochs // short
        trainer = changed(trainer, training=replace(config, epochs=short))
    few = union.subset(rng.permutation(len(union))[: STEPS * size])
    seconds = 0.0
    with contextlib.suppress(MithridateError):
        run = TrainingRun(job.runtime)
        for _ in range(2):  # the first time, memory and kernels are still being prepared
            began = time.perf_counter()
            train(trainer, few, job.domain, network=job.request.network, run=run)
            seconds = time.perf_counter() - began
        return seconds * len(union) / len(few) * epochs
    return None


def work_on(job: Job) -> tuple[nn.Module, Work]:
    """Train, showing how far it is, and measure; gives the network and what was done."""
    request, trusted = job.request, job.trusted
    begun = Work(
        "train", job.trainer, request.network, job.data.classes, job.domain.name,
        {"data": request.path, "trusted": request.trusted or ""}, {},
        data=job.data, trusted=trusted, measured=job.measured, then=request.then,
        resumed=job.unfinished,
        rejected=tuple((each.name, each.reason) for each in job.source.rejected),
    )  # fmt: skip
    with Watch() as watch:
        if request.then == "none":
            before: nn.Module | None = None
            watch.step(f"training by {job.trainer.name()}")
            with Passes() as passes:
                trained = train(
                    job.trainer, job.data, job.domain, request.seed, network=request.network,
                    run=TrainingRun(job.runtime, watch.epochs, job.checkpoint),
                )  # fmt: skip
            model, notes, cost = trained.model, trained.notes, passes.cost()
        else:
            made = cleansed(job, watch)
            before, model, notes, cost = made.scan.model, made.model, made.notes, made.cost
            begun = replace(begun, scans=(made.scan,), ended=made.ended)
        if job.measured is not None:
            watch.step("measuring on trusted examples")
            found = damage(before, model, job.measured, job.domain, job.runtime)
            begun = replace(begun, damage=found)
    return model, replace(begun, notes={k: len(v) for k, v in notes.items()}, cost=cost)


def cleansed(job: Job, watch: Watch) -> Cleansed:
    """Scan, and act on what was flagged."""
    config = job.trainer.training if isinstance(job.trainer, Standard) else None
    scanner = DataScanner(network=job.request.network, training=config)
    how: Filtered | Unlearned
    if job.request.then == "drop":
        how = Filtered(scanner, None if config else job.trainer)
    else:
        how = Unlearned(scanner, cast(Literal["relabel", "unlearn"], job.request.then))
    return how.train(
        job.data, job.learn, job.domain, job.request.seed, runtime=job.runtime,
        progress=watch.epochs, step=watch.step, checkpoint=job.checkpoint,
    )  # fmt: skip


def kept_note(job: Job) -> kept_network.Note:
    """Say about the weights what is needed to use them again."""
    settings = parse_settings(job.request.set or [])
    return kept_network.Note(job.request.network, job.data.classes, job.trainer.name(), settings)


def stopped(job: Job) -> int:
    """Say how to go on after Ctrl-C."""
    kept = job.unfinished
    how = f"the training so far is kept in {job.checkpoint}, and " if kept else ""
    begins = "goes on from there" if kept else "begins again"
    note(f"stopped: {how}the same command {begins}:\n  {command_line()}")
    return status.STOPPED
