"""The work of `mithridate repair`: read, estimate, repair, measure, write.

Axes: n suspect and m trusted examples.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast, get_args

from torch import nn

from mithridate.cli import outcome, status
from mithridate.cli.answer import print_decisions
from mithridate.cli.encoding import flipped, set_encoding
from mithridate.cli.given_network import accuracy_as_read, with_classes_of
from mithridate.cli.groups import HowToComputeLong, HowToRead, WhichNetwork
from mithridate.cli.repair import WhichSuspects
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
from mithridate.core.timing import extrapolate
from mithridate.core.view import View
from mithridate.domains.formats import Source
from mithridate.pipelines import kept_network
from mithridate.pipelines.announcing import Announce
from mithridate.pipelines.repaired import MeasuredRepair, RepairOutcome
from mithridate.pipelines.scan import Saw
from mithridate.pipelines.weights_place import find_place
from mithridate.report.card import Work
from mithridate.report.quoting import spell_invisible
from mithridate.stats.intervals import Interval

FEW, BATCH = 16, 128
"""The fewest examples of an estimate, and those of a batch where a repair does not say it."""


@dataclass(frozen=True, eq=False)
class ReadyRepair:
    """A repair that is ready to begin.

    Attributes:
        repair: The repair.
        apart: The share of the trusted examples that it never sees.
        max_loss: The accuracy that it may cost, as a share.
        model: The network.
        trusted: Examples known to be clean.
        data: What the network may have been trained on, or None.
        saw: Which of both it was trained on.
        domain: Of all examples.
        seed: Of everything that is drawn at random.
        runtime: Where it is computed.

    """

    repair: Repair
    apart: float
    max_loss: float
    model: nn.Module
    trusted: Dataset
    data: Dataset | None
    saw: Saw
    domain: Domain
    seed: int
    runtime: Runtime

    def seconds(self) -> float | None:
        """Estimate how long it takes by the same with few examples; None where that fails."""
        n = max(1, round((1 - self.apart) * len(self.trusted)))
        order = stream(self.seed, "estimate").permutation(len(self.trusted))

        def with_few(count: int) -> None:
            few = self.trusted.subset(order[:count])
            view = View(few if self.data is not None else None, domain=self.domain,
                        model=self.model, clean=few, runtime=self.runtime)  # fmt: skip
            self.repair.mend(view, stream(self.seed, "estimate", "repair"))

        batch = int(getattr(self.repair, "batch_size", BATCH))
        with contextlib.suppress(MithridateError):
            return extrapolate(with_few, max(FEW, min(batch, n // 4)), n)
        return None

    def repaired(self, step: Announce) -> RepairOutcome:
        """Repair, saying what is being done, and measure."""
        return MeasuredRepair(self.repair, apart=self.apart, max_loss=self.max_loss).repair(
            self.model, self.trusted, self.domain, self.seed, suspects=self.data,
            saw=self.saw, runtime=self.runtime, step=step,
        )  # fmt: skip


def run(
    *,
    model: Path,
    trusted: str,
    out: Path,
    repair: str,
    set: list[str] | None,
    suspects: WhichSuspects,
    apart: float,
    max_loss: float,
    network: WhichNetwork,
    reading: HowToRead,
    flip: bool | None,
    computing: HowToComputeLong,
    force: bool,
) -> int:
    """Repair, write the network and its card, and say what is known; gives the exit status."""
    check_flags(model, suspects.model_saw)
    inputs = [model, *(Path(where) for where in (trusted, suspects.data) if where)]
    outcome.check(out, inputs, force)
    method: Repair = build(cast(Any, Repair), repair, parse_settings(set or []))
    try:
        source = find_source(trusted, reading)
        print_decisions(source)
        kept, clean = with_classes_of(model, network, source.data)
        data = suspects_of(suspects.data, source, clean, reading)
        domain = fed(source.domain, flip, network)
        rng = stream(computing.seed, "weights")
        job = ReadyRepair(
            repair=method, apart=apart, max_loss=max_loss, data=data, trusted=clean, domain=domain,
            model=kept_network.load(model, domain, clean, network.network, rng, network.part),
            saw=cast(Saw, suspects.model_saw), seed=computing.seed,
            runtime=Runtime(device=device_of(computing.device)),
        )  # fmt: skip
        place = find_place(model, job.model, network.part)
        what_was_read(source, clean, data)
        accuracy = accuracy_as_read(job.model, clean, domain, job.runtime, job.seed)
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
    described = replace(kept, network=kept.named(network.network), classes=clean.classes)
    origins = {"model": str(model), "trusted": trusted, "data": suspects.data or ""}
    work = work_of(job, repaired, described.network, origins, accuracy)
    outcome.write(repaired.model, described, work, out, computing.seed, place)
    return status.NOT_REPAIRED if repaired.undone else status.CLEAN


def check_flags(model: Path, saw: str) -> None:
    """Refuse at once, and not after the work, what cannot be done."""
    if saw not in get_args(Saw):
        raise MethodError(f"expected --model-saw {', '.join(get_args(Saw))}; found {saw!r}")
    if kept_network.is_onnx(model):
        raise MethodError(
            f"{str(model)!r} is an ONNX graph, in which layers are folded together for "
            "answering and nothing can be trained; repair the network that it was exported from, "
            "as weights with --network, and export it again"
        )


def fed(domain: Domain, flip: bool | None, network: WhichNetwork) -> Domain:
    """Feed examples as the flags say."""
    return set_encoding(flipped(domain, flip), network.network, network.mean, network.std)


def suspects_of(
    where: str | None, source: Source, trusted: Dataset, reading: HowToRead
) -> Dataset | None:
    """Read what the network may have been trained on, with the classes of the trusted examples."""
    if where is None:
        return None
    read = find_source(where, reading)
    if read.origin == source.origin and read.names == source.names:
        raise DataError(
            f"{where!r} are the trusted examples themselves; --data is what the network may "
            "have been trained on, and may be left out"
        )
    return of_classes(read.data, trusted.classes, "suspect")


def what_was_read(source: Source, trusted: Dataset, data: Dataset | None) -> None:
    """Describe the examples."""
    note(
        f"read {len(trusted):,} trusted examples ({source.domain.name}, {source.format}), "
        f"{len(trusted.classes)} classes; suspect examples: {0 if data is None else len(data):,}"
    )


def work_of(
    job: ReadyRepair, outcome: RepairOutcome, network: str, origins: dict[str, str],
    accuracy: Interval | None,
) -> Work:  # fmt: skip
    """Put what was done into a card."""
    return Work(
        "repair", job.repair, network, job.trusted.classes, job.domain.name, origins, outcome.cost,
        data=job.data, trusted=job.trusted, measured=outcome.measured, damage=outcome.damage,
        scans=outcome.scans or (), changed=outcome.changed, used=outcome.used,
        saw=job.saw, accuracy=accuracy, undone=outcome.undone, max_loss=job.max_loss,
    )  # fmt: skip
