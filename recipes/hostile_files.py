"""Scan hundreds of broken and malicious model files, each in a process with limits.

    python recipes/hostile_files.py [--seed 0] [--out results/hostile_files]

All files are made here from a seed. What a malicious one would do is harmless: it creates an empty
file, the marker, whose absence at the end is the proof that nothing was run. Good files of every
format must stay without a danger. The record counts answers by kind, and gives peak memory and the
slowest file.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from hostile_code import deep, malicious, programs
from hostile_disguises import disguised
from hostile_formats import archives, damaged, graphs, tensors
from hostile_good import Sample, good_files, network, scripted_bytes
from mithridate.artifacts.inspect import inspect_file
from mithridate.core.errors import MithridateError
from mithridate.core.runtime import environment
from mithridate.core.streams import stream

MEMORY, SECONDS = 6 << 30, 40
"""Address space beside what the process has, and processor time, of each scan."""


def samples(seed: int, marker: str, rounds: int = 4, cuts: int = 2) -> Iterator[Sample]:
    """All files, good ones first."""
    rng = stream(seed, "hostile files")
    fine = list(good_files(rng, rounds))
    good = {sample.kind.removeprefix("good "): sample.words for sample in fine[::-1]}
    good["torchscript"] = scripted_bytes(network(rng))
    yield from fine
    yield from damaged(rng, [s for s in fine if s.name == "0"], cuts)
    yield from malicious(rng, marker, good)
    yield from programs(marker, good)
    yield from archives(good)
    yield from tensors(rng)
    yield from graphs(rng)
    yield from deep(rng)
    yield from disguised(marker)


def scanned(path: Path, code: bool = True) -> dict[str, Any]:
    """Scan a file in a child with limits; gives the answer, the memory in KiB and the seconds."""
    read, write = os.pipe()
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        try:
            has = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (has + MEMORY, has + MEMORY))
            resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
            signal.alarm(10 * SECONDS)
            os.write(write, json.dumps(answer(path, code)).encode()[:60_000])
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        words = pipe.read()
    _, status, used = os.wait4(child, 0)
    found = json.loads(words) if words else {"answer": f"the scan died ({status})", "what": ""}
    return {**found, "kib": used.ru_maxrss, "seconds": time.monotonic() - began,
            "cpu": used.ru_utime + used.ru_stime}  # fmt: skip


def answer(path: Path, code: bool = True) -> dict[str, str]:
    """The worst that is found in a file, or the error that says why it is refused."""
    try:
        report = inspect_file(path, code=code)
    except MithridateError as error:
        return {"answer": type(error).__name__, "what": str(error)[:300]}
    except BaseException as error:
        return {"answer": "a bug", "what": repr(error)[:300]}
    if not report.findings:
        return {"answer": "clean", "what": ""}
    worst = report.findings[0]
    return {"answer": worst.severity, "what": f"{worst.what} | {worst.where}"[:300]}


ENDS = {"danger", "warning", "unknown", "note", "clean", "DataError", "UnsafeData"}


def wrong(sample: Sample, found: dict[str, Any]) -> str:
    """Say what is wrong with an answer; "" where it is right."""
    if found["answer"] not in ENDS:
        return f"no clear end: {found['what']}"
    if sample.good:
        return "a good file is no danger" if found["answer"] not in ("clean", "note") else ""
    allowed = {"danger": ("danger", "UnsafeData"),
               "flagged": ("danger", "warning", "UnsafeData", "DataError")}  # fmt: skip
    if sample.must and found["answer"] not in allowed[sample.must]:
        return f"expected {sample.must}"
    return ""


def main() -> None:
    """Make the files, scan them and write the record."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("results/hostile_files"))
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    kinds: dict[str, dict[str, int]] = {}
    failures, slowest, peak = [], {"seconds": 0.0}, {"kib": 0}
    with tempfile.TemporaryDirectory() as folder:
        marker, count = Path(folder) / "marker", 0
        (Path(folder) / "in").mkdir()
        for sample in samples(chosen.seed, str(marker)):
            path = Path(folder) / "in" / "file"
            path.write_bytes(sample.words)
            found = {**scanned(path, sample.code), "file": f"{sample.kind}: {sample.name}"}
            answers = kinds.setdefault(sample.kind, {})
            answers[found["answer"]] = answers.get(found["answer"], 0) + 1
            count += 1
            slowest = max(slowest, found, key=lambda f: f["seconds"])
            peak = max(peak, found, key=lambda f: f["kib"])
            why = wrong(sample, found) or ("the marker is there" if marker.exists() else "")
            if why:
                failures.append({"why": why, **found})
                print("WRONG", why, found, flush=True)
                marker.unlink(missing_ok=True)
        base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    record = {
        "seed": chosen.seed, "files": count, "failures": failures, "markers": 0 if not failures
        else sum(f["why"].startswith("the marker") for f in failures), "kinds": kinds,
        "peak": peak, "parent_kib": base, "slowest": slowest, "environment": environment(),
    }  # fmt: skip
    chosen.out.mkdir(parents=True, exist_ok=True)
    (chosen.out / f"seed{chosen.seed}.json").write_text(json.dumps(record, indent=1) + "\n")
    print(json.dumps({k: record[k] for k in ("files", "markers", "peak", "slowest")}, indent=1))
    if failures:
        raise SystemExit(f"{len(failures)} of {count} files ended wrongly")


if __name__ == "__main__":
    main()
