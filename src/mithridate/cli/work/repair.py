"""The work of `mithridate repair`: read, estimate, repair, measure, write.

Axes: n suspect and m trusted examples.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast, get_args

from mithridate.cli import outcome, status
from mithridate.cli.answer import print_decisions
from mithridate.cli.given_network import accuracy_told, reading_of
from mithridate.cli.groups import HowToComputeLong, HowToRead, WhichNetwork
from mithridate.cli.repair import WhichSuspects
from mithridate.cli.settings import parse_settings
from mithridate.cli.sources import find_source
from mithridate.cli.terminal import Watch, agreed, command_line, note, say
from mithridate.core.data import Dataset
from mithridate.core.errors import CannotJudge, MethodError
from mithridate.core.method import Repair
from mithridate.core.runtime import Runtime, device_of
from mithridate.core.settings import build
from mithridate.domains.formats import Source
from mithridate.pipelines.examples import beside
from mithridate.pipelines.given_network import GivenNetwork
from mithridate.pipelines.kept_network import Note
from mithridate.pipelines.mirroring import flipped
from mithridate.pipelines.ready_repair import ReadyRepair, check_repairable
from mithridate.pipelines.repaired import RepairOutcome
from mithridate.pipelines.scan import Saw
from mithridate.pipelines.suspect_file import SuspectFile
from mithridate.pipelines.weights_place import find_place
from mithridate.report.card import NetworkWork
from mithridate.report.quoting import spell_invisible
from mithridate.stats.intervals import Interval


def run(
    *, model: Path, trusted: str, out: Path, repair: str, set: list[str] | None,
    suspects: WhichSuspects, apart: float, max_loss: float, network: WhichNetwork,
    reading: HowToRead, flip: bool | None, computing: HowToComputeLong, force: bool,
) -> int:  # fmt: skip
    """Repair, write the network and its card, and say what is known; gives the exit status."""
    check_flags(model, suspects.model_saw)
    inputs = [model, *(Path(where) for where in (trusted, suspects.data) if where)]
    outcome.check(out, inputs, force)
    method: Repair = build(cast(Any, Repair), repair, parse_settings(set or []))
    try:
        source = find_source(trusted, reading)
        print_decisions(source)
        domain = flipped(source.domain, flip)
        given = GivenNetwork.of(model, reading_of(network), source.data, domain, computing.seed)
        job = ReadyRepair(
            repair=method, apart=apart, max_loss=max_loss, network=given,
            data=suspects_of(suspects.data, source, given.trusted, reading),
            saw=cast(Saw, suspects.model_saw), seed=computing.seed,
            runtime=Runtime(device=device_of(computing.device)),
        )  # fmt: skip
        place = find_place(cast(SuspectFile, given.file).path, given.model, network.part)
        what_was_read(source, given.trusted, job.data)
        accuracy = accuracy_told(given, job.runtime, job.seed)
        what = f"repairing by {method.name()} on {job.runtime.device}"
        if not agreed(what, job.seconds(), computing.yes):
            return status.STOPPED
        with Watch() as watch:
            repaired = job.repaired(watch.step)
    except CannotJudge as reason:
        note(f"nothing was written; cannot judge: {spell_invisible(str(reason))}")
        return status.CANNOT_JUDGE
    except KeyboardInterrupt:
        note("stopped: nothing was written, and the same command begins again:")
        note(f"  {command_line()}")
        return status.STOPPED
    described = described_by(given)
    origins = {"model": str(model), "trusted": trusted, "data": suspects.data or ""}
    work = work_of(job, repaired, described.network, origins, accuracy)
    outcome.write(repaired.model, described, work, out, computing.seed, place)
    if repaired.weak and not repaired.undone:
        say("HARDLY REPAIRED: a backdoor of its own still works too often")
    return status.NOT_REPAIRED if repaired.undone or repaired.weak else status.CLEAN


def check_flags(model: Path, saw: str) -> None:
    """Refuse at once, and not after the work, what cannot be done."""
    if saw not in get_args(Saw):
        raise MethodError(f"expected --model-saw {', '.join(get_args(Saw))}; found {saw!r}")
    check_repairable(model)


def described_by(given: GivenNetwork) -> Note:
    """Give what is to be kept about the network in the file."""
    file = cast(SuspectFile, given.file)
    return replace(file.note, network=file.network, classes=given.trusted.classes)


def suspects_of(
    where: str | None, source: Source, trusted: Dataset, reading: HowToRead
) -> Dataset | None:
    """Read what the network may have been trained on, with the classes of the trusted examples."""
    if where is None:
        return None
    return beside(source, find_source(where, reading), "suspect", trusted.classes)


def what_was_read(source: Source, trusted: Dataset, data: Dataset | None) -> None:
    """Describe the examples."""
    note(
        f"read {len(trusted):,} trusted examples ({source.domain.name}, {source.format}), "
        f"{len(trusted.classes)} classes; suspect examples: {0 if data is None else len(data):,}"
    )


def work_of(
    job: ReadyRepair, outcome: RepairOutcome, network: str, origins: dict[str, str],
    accuracy: Interval | None,
) -> NetworkWork:  # fmt: skip
    """Put what was done into a card."""
    return NetworkWork(
        "repair", job.repair, network, job.network.trusted.classes, job.network.domain.name,
        origins, outcome.cost, data=job.data, trusted=job.network.trusted,
        measured=outcome.measured, damage=outcome.damage,
        scans=outcome.scans or (), changed=outcome.changed, used=outcome.used,
        saw=job.saw, accuracy=accuracy, undone=outcome.undone, max_loss=job.max_loss,
        own=outcome.own, ended=outcome.ended,
    )  # fmt: skip
