"""Kill a sweep of a thousand cells ten times and compare it with one that was left alone.

    python recipes/sweep_survival.py run --folder /tmp/survival   # half an hour on two cores
    python recipes/sweep_survival.py idle --folder /tmp/idle      # what the engine itself costs
    python recipes/sweep_survival.py table

The sweep's own process gets SIGKILL at random moments; its workers must go with it. Afterwards both
stores are compared step by step and bit by bit, costs and versions aside.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from cells import markdown, records, save
from mithridate.bench.origin import origin
from mithridate.bench.plan import Plan, make_plan
from mithridate.bench.recipe import cells_of
from mithridate.bench.store import Store
from mithridate.bench.verify import difference
from mithridate.core.streams import stream
from worlds import keep_table

FOLDER, RECIPE, KILLS = "sweep_survival", "recipes/thousand.py", 10


def command(store: Path, workers: int) -> list[str]:
    """The sweep as a user runs it."""
    program = str(Path(sys.executable).with_name("mithridate"))
    return [
        program,
        "bench",
        "run",
        RECIPE,
        "--store",
        str(store),
        "--workers",
        str(workers),
        "--yes",
    ]


def finish(store: Path, workers: int) -> dict[str, Any]:
    """Run to the end, and read what the program says of itself."""
    began = time.perf_counter()
    done = subprocess.run(command(store, workers), capture_output=True, text=True, check=True)
    seconds = time.perf_counter() - began
    steps = re.search(r"(\d+) steps in", done.stdout)
    overhead = re.search(r"([-\d.]+)% of the processes' time", done.stdout)
    return {
        "seconds": seconds,
        "steps": int(steps[1]) if steps else 0,
        "overhead_percent": float(overhead[1]) if overhead else None,
        "said": done.stdout.splitlines()[-2:],
    }


def killed(store: Path, workers: int, longest: float, seed: int) -> list[dict[str, Any]]:
    """Begin the sweep and kill it, ten times over."""
    rng, found = stream(seed, "kill"), []
    for _ in range(KILLS):
        process = subprocess.Popen(
            command(store, workers), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait = float(rng.uniform(8.0, longest))  # the first seconds are spent on imports
        time.sleep(wait)
        ended = process.poll()
        workers_before = children(process.pid)
        process.send_signal(signal.SIGKILL)
        process.wait()
        began = time.perf_counter()
        while any(alive(pid) for pid in workers_before) and time.perf_counter() - began < 60:
            time.sleep(0.05)
        steps = len(Store(store).keys())
        found.append({
            "after_seconds": wait, "had_ended": ended is not None, "steps_in_store": steps,
            "workers": len(workers_before), "workers_gone_after": time.perf_counter() - began,
        })  # fmt: skip
        print(found[-1], flush=True)
    return found


def children(pid: int) -> list[int]:
    """The processes that a process started."""
    listed = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True
    )
    return [int(word) for word in listed.stdout.split()]


def alive(pid: int) -> bool:
    """Whether a process still runs."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def compared(plan: Plan, first: Store, second: Store) -> dict[str, Any]:
    """Compare two stores of one plan."""
    needed = {step.key for step in plan.steps}
    a, b = set(first.keys()), set(second.keys())
    differing = []
    for key in sorted(needed & a & b):
        mine, other = first.entry(key), second.entry(key)
        what = "" if mine.status == other.status else f"{mine.status} against {other.status}"
        if mine.status == other.status == "done":
            what = difference(first.output(key), second.output(key))
        if what:
            differing.append(f"{mine.kind} {key[:12]}: {what}")
    ends = [end.key for end in plan.ends]
    return {
        "cells": len(ends),
        "cells_lost": sum(key not in a for key in ends),
        "cells_doubled": len(ends) - len(set(ends)),
        "steps": len(needed),
        "steps_lost": len(needed - a),
        "steps_too_many": len(a - needed),
        "steps_that_differ": len(differing),
        "examples": differing[:5],
        "statuses": dict(Counter(first.entry(key).status for key in sorted(needed & a))),
    }


def run(folder: Path, workers: int, seed: int) -> None:
    """Run both sweeps and keep the record."""
    alone, torn = folder / "alone", folder / "killed"
    whole = finish(alone, workers)
    print(whole, flush=True)
    kills = killed(torn, workers, max(20.0, 1.6 * whole["seconds"] / KILLS), seed)
    rest = finish(torn, workers)
    again = finish(torn, workers)
    plan = make_plan(cells_of(RECIPE))
    found = {
        "uninterrupted": whole, "kills": kills, "rest": rest, "second_run": again,
        "compared": compared(plan, Store(torn), Store(alone)), "workers": workers,
        "cores": len(os.sched_getaffinity(0)), "environment": origin(),
    }  # fmt: skip
    save(FOLDER, f"seed{seed}", found)


def idle(folder: Path, workers: int) -> None:
    """Run once, on a machine that does nothing else, and a second time over the full store."""
    whole, again = finish(folder / "idle", workers), finish(folder / "idle", workers)
    store = Store(folder / "idle")
    keys = store.keys()
    inside = sum(store.entry(key).cost["seconds"] for key in keys)
    save(FOLDER, "idle", {
        "whole": whole, "second_run": again, "seconds_in_steps": inside,
        "share_outside": 1 - inside / (whole["seconds"] * workers), "workers": workers,
        "environment": origin(),
    })  # fmt: skip


def table() -> str:
    """Write the figures."""
    rows = []
    for r in records(FOLDER, "seed*"):
        c, gone = r["compared"], [k["workers_gone_after"] for k in r["kills"]]
        rows += [
            ["cells, distinct steps", f"{c['cells']}, {c['steps']}"],
            ["kills by SIGKILL", str(len(r["kills"]))],
            ["longest time that workers outlived the sweep", f"{max(gone):.1f} s"],
            ["cells lost, doubled", f"{c['cells_lost']}, {c['cells_doubled']}"],
            ["steps lost, too many", f"{c['steps_lost']}, {c['steps_too_many']}"],
            ["steps that differ from the uninterrupted sweep", str(c["steps_that_differ"])],
            ["uninterrupted sweep, on a busy machine", f"{r['uninterrupted']['seconds']:.0f} s"],
            ["time of its processes not spent in steps",
             f"{r['uninterrupted']['overhead_percent']:.1f} %"],
            ["a second run: steps, seconds",
             f"{r['second_run']['steps']}, {r['second_run']['seconds']:.1f}"],
            ["processes, cores", f"{r['workers']}, {r['cores']}"],
        ]  # fmt: skip
    for r in records(FOLDER, "idle"):
        whole, again = r["whole"], r["second_run"]
        rows += [
            ["nothing else on the machine: uninterrupted sweep", f"{whole['seconds']:.0f} s"],
            ["- time of its processes not spent in steps", f"{whole['overhead_percent']:.1f} %"],
            ["- the same of the whole command, imports and plan included",
             f"{100 * r['share_outside']:.1f} %"],
            ["- a second run: steps, seconds", f"{again['steps']}, {again['seconds']:.1f}"],
        ]  # fmt: skip
    return markdown(["what", "figure"], rows)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["run", "idle", "table"])
    parser.add_argument("--folder", type=Path, default=Path("survival"))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.what == "run":
        run(arguments.folder, arguments.workers, arguments.seed)
    if arguments.what == "idle":
        idle(arguments.folder, arguments.workers)
    keep_table(FOLDER, table())


if __name__ == "__main__":
    main()
