"""The work of `mithridate bench`: plan, run, status, verify, report and gc."""

from __future__ import annotations

import os
import shlex
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mithridate.bench.choose_executor import executor
from mithridate.bench.execute import Ended
from mithridate.bench.plan import Plan, TimeEstimate, estimate, make_plan, refusals, summary
from mithridate.bench.recipe import cells_of
from mithridate.bench.record import Record
from mithridate.bench.records import Outcomes, records
from mithridate.bench.run import Ran
from mithridate.bench.run import run as run_plan
from mithridate.bench.step import Step
from mithridate.bench.store import Store
from mithridate.bench.verify import find_unused
from mithridate.bench.verify import verify as verify_plan
from mithridate.cli import status as exits
from mithridate.cli.bench import WhichCells
from mithridate.cli.terminal import Watch, duration, go_on, grid, note, say, show
from mithridate.core.errors import MethodError
from mithridate.core.runtime import Runtime, device_of
from mithridate.core.streams import stream


def plan(*, asked: WhichCells, workers: int | None) -> int:
    """Say what a run would do."""
    store, chosen = _open(asked)
    missing = chosen.missing(store)
    _tell(chosen, missing, estimate(chosen, store, missing), workers or _cores())
    return 1 if _refuse(chosen) else 0


def run(*, asked: WhichCells, workers: int | None, on: str, device: str, yes: bool) -> int:
    """Run a sweep, and give the exit status."""
    store, chosen = _open(asked)
    missing, workers = chosen.missing(store), workers or _cores()
    if missing:
        expected = estimate(chosen, store, missing)
        _tell(chosen, missing, expected, workers)
        _refuse(chosen)
        if not go_on(expected.clock(workers), yes):
            return exits.STOPPED
    runtime = replace(Runtime(), device=device_of(device))
    folder = str(Path(asked.recipe.partition(":")[0]).resolve().parent)
    where = executor(on, store.folder.resolve(), runtime, workers, [folder])
    try:
        with Watch() as watch:
            watch.step(f"{len(missing)} steps")
            ran = run_plan(chosen, store, where, _shown(watch))
    except KeyboardInterrupt:
        note("stopped; the same command goes on where this one was")
        return exits.STOPPED
    finally:
        where.close()
    return _told(chosen, store, ran, workers)


def status(*, asked: WhichCells) -> int:
    """Say how the cells ended."""
    store, chosen = _open(asked)
    ended = records(chosen, store)
    counts = Counter(record.status for record in ended)
    table = grid("status", "cells", "of these, why")
    for name in ("done", "void", "skipped", "failed", "pending"):
        if counts[name]:
            whys = Counter(r.why for r in ended if r.status == name and r.why)
            reasons = "\n".join(f"{n} x {why}" for why, n in whys.most_common(5))
            table.add_row(name, str(counts[name]), "" if name == "pending" else reasons)
    show(table)
    return 1 if counts["failed"] else 0


def verify(*, asked: WhichCells, sample: int, seed: int) -> int:
    """Compute a sample again."""
    store, chosen = _open(asked)
    checks = verify_plan(chosen, store, sample, stream(seed, "verify"))
    wrong = [checked for checked in checks if not checked.same]
    for checked in wrong:
        say(f"{checked.key} {checked.kind}: {checked.what}")
    kinds = ", ".join(f"{n} {kind}" for kind, n in Counter(c.kind for c in checks).items())
    right = len(checks) - len(wrong)
    say(f"{right} of {len(checks)} steps are the same when computed again ({kinds})")
    return 1 if wrong else 0


def report(*, asked: WhichCells, out: Path, title: str, mlflow: str) -> int:
    """Write the site."""
    from mithridate.bench.export import to_mlflow, to_parquet
    from mithridate.report.bench.site import write_site

    store, chosen = _open(asked)
    ended = records(chosen, store)

    def reproduce(record: Record) -> str:
        recipe = shlex.quote(asked.recipe)
        return f"mithridate bench run {recipe} --store new --cell {record.key[:16]}"

    title = title or Path(asked.recipe.partition(":")[0]).stem
    index = write_site(ended, out, title, reproduce, Outcomes(chosen, store))
    to_parquet(ended, out / "records.parquet")
    say(f"{index}: {len(ended)} cells; the records are in {out / 'records.parquet'}")
    if mlflow:
        to_mlflow(ended, mlflow, title)
    return 0


def gc(*, recipes: list[str], store: Path, yes: bool) -> int:
    """Remove what no recipe needs."""
    kept = Store(store)
    plans = [make_plan(cells_of(recipe), kept) for recipe in recipes]
    for each in plans:
        each.missing(kept)  # what is known under an older key is kept under the new one
    keys = find_unused(plans, kept)
    size = sum(f.stat().st_size for k in keys for f in (kept.steps / k).iterdir())
    words = f"{len(keys)} of {len(kept.keys())} steps, {size / 1e6:.1f} MB"
    if not yes:
        say(f"{words}, are needed by none of the recipes; --yes removes them")
        return 0
    for key in keys:
        kept.remove(key)
    kept.forget_answers()
    kept.sweep_unfinished(older_than=3600.0)
    say(f"removed {words}")
    return 0


@dataclass(frozen=True)
class _Filter:
    """Which cells are asked for."""

    where: tuple[tuple[str, str], ...]
    cell: str

    def passes(self, axes: dict[str, Any], key: str) -> bool:
        """Whether a cell is asked for."""
        return key.startswith(self.cell) and all(_same(axes[a], v) for a, v in self.where)


def _same(value: Any, asked: str) -> bool:
    """Whether an axis has the value asked for; numbers may be spelt in any way."""
    if isinstance(value, (int, float)):
        try:
            return float(asked) == float(value)
        except ValueError:
            return False
    return str(value) == asked


def _open(asked: WhichCells) -> tuple[Store, Plan]:
    """The store, and the plan of the cells that are asked for."""
    store = Store(asked.store)
    return store, _chosen(asked, store)


def _chosen(asked: WhichCells, store: Store) -> Plan:
    """The plan of a recipe, or of the cells that are asked for."""
    every = make_plan(cells_of(asked.recipe), store)
    pairs = [(a, v) for a, _, v in (w.partition("=") for w in asked.where or [])]
    axes = dict(every.ends[0].cell)
    unknown = [name for name, _ in pairs if name not in axes]
    if unknown:
        raise MethodError(f"--where knows no axis {unknown[0]!r}; the axes: {', '.join(axes)}")
    filtered = _Filter(tuple(pairs), asked.cell)
    kept = [
        cell
        for cell, end in zip(every.cells, every.ends, strict=True)
        if filtered.passes(dict(end.cell), end.key)
    ]
    if not kept:
        raise MethodError("no cell of the recipe is like that; `bench status` lists what there is")
    return make_plan(kept, store) if len(kept) < len(every.cells) else every


def _cores() -> int:
    return max(1, len(os.sched_getaffinity(0)))


def _tell(chosen: Plan, missing: list[Step], expected: TimeEstimate, workers: int) -> None:
    counted = summary(chosen, missing)
    table = grid("step", "to compute", "about")
    for kind, (count, seconds) in expected.by_kind.items():
        table.add_row(kind, str(count), "?" if kind in expected.unknown else duration(seconds))
    say(
        f"{counted['cells']} cells ({counted['cells_done']} ended), {counted['steps']} distinct "
        f"steps, {counted['steps_cached']} cached"
    )
    if missing:
        show(table)
        least = "at least " if expected.unknown else ""
        say(f"{least}about {duration(expected.clock(workers))} with {workers} processes")


def _refuse(chosen: Plan) -> bool:
    """Say which defences may not take part, and why; True where there are any."""
    reasons = refusals(chosen)
    for why, cells in reasons.items():
        note(f"{cells} cell{'s' * (cells != 1)} will not be computed: {why}")
    return bool(reasons)


def _shown(watch: Watch) -> Any:
    def show_step(done: int, total: int, step: Step, ended: Ended) -> None:
        watch.epochs(done, total)
        if ended.status == "failed":
            note(f"failed: {step.kind()} {step.key[:12]}: {ended.why}")

    return show_step


def _told(chosen: Plan, store: Store, ran: Ran, workers: int) -> int:
    ended = records(chosen, store)
    counts = Counter(record.status for record in ended)
    cells = ", ".join(f"{n} {name}" for name, n in _ordered(counts))
    say(f"{sum(counts.values())} cells: {cells}")
    for why, number in Counter(r.why for r in ended if r.status == "skipped").most_common(5):
        note(f"{number} x skipped: {why}")
    if ran.computed:
        share = 1 - ran.computing / (ran.seconds * workers) if ran.seconds else 0.0
        say(
            f"{ran.computed} steps in {duration(ran.seconds)}; {share:.1%} of the processes' time "
            f"was not spent in steps; {ran.lost} workers were lost"
        )
    return 1 if counts["failed"] else 0


def _ordered(counts: Counter[str]) -> Iterable[tuple[str, int]]:
    return ((n, counts[n]) for n in ("done", "void", "skipped", "failed", "pending") if counts[n])
