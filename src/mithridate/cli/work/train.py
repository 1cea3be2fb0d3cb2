"""The work of `mithridate train`: read, estimate, train, measure, write.

Axes: n suspect and m trusted examples.
"""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
from collections.abc import Mapping, Sized
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, cast

from torch import nn

from mithridate.cli import answer, outcome, status, terminal
from mithridate.cli.encoding import flipped
from mithridate.cli.groups import HowToComputeLong, HowToReadOn, HowToTrain
from mithridate.cli.settings import parse_settings
from mithridate.cli.sources import draw_examples, find_source, trusted_beside
from mithridate.cli.terminal import Watch, note, stopped
from mithridate.cli.train import HowToCleanse, WhichTrainer
from mithridate.core.data import Dataset, concatenate
from mithridate.core.domain import Domain
from mithridate.core.errors import MethodError, MithridateError
from mithridate.core.fingerprint import fingerprint, place_of
from mithridate.core.fit import TrainingConfig
from mithridate.core.method import Trainer
from mithridate.core.runtime import Runtime, device_of
from mithridate.core.settings import build
from mithridate.core.streams import stream
from mithridate.core.timing import extrapolate
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
STEPS = 2  # batches of the smaller of the two pieces that an estimate trains on


@dataclass(frozen=True, eq=False)
class ReadyTraining:
    """A training that is ready to begin.

    Attributes:
        trainer: Who trains.
        network: The name of the network, "" is the default of the domain.
        then: What follows a scan; "none" where nothing is scanned.
        data: The suspects.
        learn: Trusted examples that a scan may use, or None.
        measured: Trusted examples that the network is measured by, or None.
        domain: Of all examples.
        seed: Of everything that is drawn at random.
        runtime: Where it is computed.
        home: The folder in which an unfinished training is kept.

    """

    trainer: Trainer
    network: str
    then: str
    data: Dataset
    learn: Dataset | None
    measured: Dataset | None
    domain: Domain
    seed: int
    runtime: Runtime
    home: Path

    @cached_property
    def union(self) -> Dataset:
        """All that is trained on."""
        return concatenate(self.data, self.learn) if self.learn is not None else self.data

    @cached_property
    def checkpoint(self) -> Path:
        """Where the training is kept while it runs; another training has another folder."""
        parts = (fingerprint(self.union), self.domain, self.trainer, self.then, self.network,
                 self.seed)  # fmt: skip
        return self.home / f"unfinished-{place_of(*parts)}"

    @property
    def unfinished(self) -> bool:
        """Whether an earlier run left a part of this training."""
        return any(self.checkpoint.rglob("*.safetensors"))

    def seconds(self) -> float | None:
        """Estimate how long one training takes by a few batches of it; None where that fails."""
        order = stream(self.seed, "estimate").permutation(len(self.union))
        config = getattr(self.trainer, "training", None)
        size, epochs, trainer = 64, 1, self.trainer
        if isinstance(config, TrainingConfig):
            # what takes stages gets two epochs, since one can be too short to divide
            short = 1 if isinstance(trainer, Standard) else min(2, config.epochs)
            size, epochs = config.batch_size, config.epochs // short
            trainer = changed(trainer, training=replace(config, epochs=short))

        def on_few(count: int) -> None:
            few, run = self.union.subset(order[:count]), TrainingRun(self.runtime)
            train(trainer, few, self.domain, network=self.network, run=run)

        with contextlib.suppress(MithridateError):
            return extrapolate(on_few, STEPS * size, len(self.union)) * epochs
        return None

    def trained(self, watch: Watch) -> Made:
        """Train in the ordinary way of the trainer."""
        watch.step(f"training by {self.trainer.name()}")
        with Passes() as passes:
            trained = train(
                self.trainer, self.data, self.domain, self.seed, network=self.network,
                run=TrainingRun(self.runtime, watch.epochs, self.checkpoint),
            )  # fmt: skip
        return Made(trained.model, noted(trained.notes), passes.cost())

    def cleansed(self, watch: Watch) -> Made:
        """Scan, and act on what was flagged."""
        config = self.trainer.training if isinstance(self.trainer, Standard) else None
        scanner = DataScanner(network=self.network, training=config)
        how: Filtered | Unlearned
        if self.then == "drop":
            how = Filtered(scanner, None if config else self.trainer)
        else:
            how = Unlearned(scanner, cast(Literal["relabel", "unlearn"], self.then))
        made = how.train(
            self.data, self.learn, self.domain, self.seed, runtime=self.runtime,
            progress=watch.epochs, step=watch.step, checkpoint=self.checkpoint,
        )  # fmt: skip
        return Made(made.model, noted(made.notes), made.cost, made)


@dataclass(frozen=True, eq=False)
class Made:
    """A network that was trained: how many examples were noted as what, and what it cost.

    Attributes:
        model: The network.
        notes: Numbers of examples that the trainer noted, by name.
        cost: Seconds, and examples passed.
        cleansed: How it came about where a scan was asked for.

    """

    model: nn.Module
    notes: dict[str, int]
    cost: dict[str, float]
    cleansed: Cleansed | None = None


def run(
    *,
    path: str,
    out: Path,
    trainer: WhichTrainer,
    cleansing: HowToCleanse,
    training: HowToTrain,
    limit: int | None,
    reading: HowToReadOn,
    computing: HowToComputeLong,
    force: bool,
) -> int:
    """Train, write the network and its card, and say what is known; gives the exit status."""
    check_flags(trainer.trainer, cleansing)
    outcome.check(out, [Path(p) for p in (path, cleansing.trusted) if p], force)
    given = parse_settings(trainer.set or [])
    method: Trainer = build(cast(Any, Trainer), trainer.trainer, given)
    try:
        source = find_source(path, reading)
        data = draw_examples(source.data, limit, computing.seed, "suspect")
        trusted = trusted_of(cleansing.trusted, source, reading, data)
        learn, measured = divided(trusted, cleansing, computing.seed)
        domain = flipped(source.domain, training.flip)
        n = len(data) + (0 if learn is None else len(learn))
        job = ReadyTraining(
            timed(method, n, training.epochs, set(given)), trainer.network, cleansing.then, data,
            learn, measured, domain, computing.seed,
            Runtime(device=device_of(computing.device)), out,
        )  # fmt: skip
        domain.network(data, job.network, stream(job.seed, "name"))  # refuses an unknown name
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
    kept = kept_network.Note(job.network, data.classes, job.trainer.name(), given)
    outcome.write(model, kept, work, out, job.seed)
    shutil.rmtree(job.checkpoint, ignore_errors=True)
    return status.CLEAN


def check_flags(trainer: str, cleansing: HowToCleanse) -> None:
    """Refuse at once what cannot be done."""
    then = cleansing.then
    if then not in THEN:
        raise MethodError(f"expected --then {', '.join(THEN)}; found {then!r}")
    if then == "none":
        return
    if cleansing.trusted is None:
        raise MethodError(
            f"--then {then} needs --trusted: without trusted examples a scan names no "
            "example, so there is nothing to act on"
        )
    if then != "drop" and trainer != Standard.name():
        raise MethodError(
            f"--then {then} changes the network of the scan, which is trained by "
            f"{Standard.name()}; leave --trainer out, or say --then drop"
        )


def trusted_of(
    where: str | None, source: Source, reading: HowToReadOn, data: Dataset
) -> Dataset | None:
    """Read the trusted examples, which have the classes and the shape of the suspects."""
    if where is None:
        return None
    trusted = trusted_beside(source, where, reading)
    concatenate(data.subset([0]), trusted.subset([0]))  # refuses another shape
    return trusted


def divided(
    trusted: Dataset | None, cleansing: HowToCleanse, seed: int
) -> tuple[Dataset | None, Dataset | None]:
    """Give the trusted examples that a scan may use, and those that the network is measured by."""
    if trusted is None or cleansing.then == "none":
        return None, trusted
    return set_apart(trusted, cleansing.apart, stream(seed, "train", "apart"))


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
) -> tuple[nn.Module, Work]:  # fmt: skip
    """Train, showing how far it is, and measure; gives the network and what was done."""
    resumed, harm = job.unfinished, None
    with Watch() as watch:
        made = job.trained(watch) if job.then == "none" else job.cleansed(watch)
        scan = None if made.cleansed is None else made.cleansed.scan
        if job.measured is not None:
            watch.step("measuring on trusted examples")
            before = None if scan is None else scan.model
            harm = damage(before, made.model, job.measured, job.domain, job.runtime)
    work = Work(
        "train", job.trainer, job.network, job.data.classes, job.domain.name, origins, made.cost,
        data=job.data, trusted=trusted, measured=job.measured, damage=harm,
        scans=() if scan is None else (scan,), then=job.then,
        ended="" if made.cleansed is None else made.cleansed.ended,
        notes=made.notes, rejected=rejected, resumed=resumed,
    )  # fmt: skip
    return made.model, work


def noted(notes: Mapping[str, Sized]) -> dict[str, int]:
    """Count the examples that a trainer noted, by name."""
    return {name: len(rows) for name, rows in notes.items()}
