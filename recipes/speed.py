"""What does not grow with the work, how the rest grows, and a scan of a million examples.

    python recipes/speed.py             # all of it, and the tables; resumes where it was stopped
    python recipes/speed.py fixed       # what a command costs before it scans, before and after
    python recipes/speed.py growth      # detectors against examples, classes and features
    python recipes/speed.py scanners    # scanners of models against classes
    python recipes/speed.py features    # a scan of a million given features, from a mapped file
    python recipes/speed.py table       # the tables from the records

Both ways of a comparison take turns in one process, on one thread, so that whatever else the
machine does meets both. Processor seconds are compared, user and system together, and each record
says how many processes wanted a core. Each measurement of growth has a process of its own, whose
largest memory is its own. Needs CIFAR-10 where the ways of reading are compared. The ratios to ART
are those of `benchmark_detectors.py`, whose tables stand on the same page.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

from benchmark_detectors import origin, spread_of, timed
from cells import DOMAIN, RESULTS, done, markdown, records, save
from mithridate.core.data import Dataset, dataset
from mithridate.core.errors import MithridateError
from mithridate.core.method import Detector
from mithridate.core.registry import find
from mithridate.core.runtime import Runtime
from mithridate.core.scanner import Scanner
from mithridate.core.streams import stream
from mithridate.core.view import View
from mithridate.detectors import controls
from mithridate.domains.catalogue import open_source
from mithridate.pipelines import advice
from mithridate.pipelines.drawing import draw_examples, drawing
from mithridate.pipelines.given_features import scan_features
from mithridate.stats import enrichment

FOLDER = "speed"
TURNS = 5
READ = "cifar10"
LIMITS = (2_000,)

EXAMPLES, CLASSES, WIDTHS = (1_500, 3_000, 6_000, 12_000), (5, 10, 20, 40), (32, 64, 128, 256)
USUAL = {"examples": 3_000, "classes": 10, "features": 64}
"""What is held where something else grows."""

OF_A_MODEL = (3, 6, 12)
"""Numbers of classes of the networks that scanners look at."""

ENOUGH = 10.0
"""Processor seconds after which a method is not asked about more."""

LONGEST = 120.0
"""Processor seconds in which it must answer."""

COMMANDS = {
    "--help": ["--help"],
    "sets": ["sets"],
    "a wrong path": ["scan", "data", "/nowhere/at/all"],
}


def one_by_one(data: Dataset, rankings: int) -> object:
    """Try every number of trusted examples with tails computed one by one, as it was before."""
    sizes = torch.bincount(data.labels).numpy()
    with patch.object(enrichment, "TABLE", 0):
        for m in advice.numbers_to_try(sizes):
            seen = advice.visible_with(sizes, m, rankings, 0.05, 0)
            if seen <= 0.01 * len(data):
                return advice.Needed(m, seen / len(data))
    return advice.Needed(None, math.inf)


@contextmanager
def keeping(folder: str, megabytes: int) -> Iterable[None]:
    """Keep decoded pictures in a folder of its own, or none."""
    with patch.dict(os.environ, XDG_CACHE_HOME=folder, MITHRIDATE_PIXELS=str(megabytes)):
        yield


def comparisons(folder: str) -> dict[str, dict[str, Callable[[], object]]]:
    """What is timed: by what is done, the ways before and after."""
    some = dataset(torch.zeros(10_000, 1), torch.arange(10_000) % 10)

    def read(count: int | None, ahead: bool, megabytes: int) -> object:
        with keeping(folder, megabytes):
            if ahead:
                return open_source(READ, draw=drawing(count, 0, "suspect")).data
            return draw_examples(open_source(READ).data, count, 0, "suspect")

    found: dict[str, dict[str, Callable[[], object]]] = {
        f"read {count:,} of {READ}": {
            "decode all": lambda count=count: read(count, False, 0),
            "decode what is drawn": lambda count=count: read(count, True, 0),
            "decoded before": lambda count=count: read(count, True, 1024),
        }
        for count in LIMITS
    }
    found[f"read all of {READ}"] = {
        "decode all": lambda: read(None, False, 0),
        "decoded before": lambda: read(None, False, 1024),
    }
    found["say how many trusted examples are needed"] = {
        "one by one": lambda: one_by_one(some, 4),
        "near an estimate": lambda: advice.trusted_needed(some, 4, 0.01, 0.05, 0),
    }
    return found


def fixed(turns: int) -> None:
    """Time the ways by turns, after one turn that does not count, and the start of commands."""
    seconds: dict[str, dict[str, list[dict[str, float]]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        compared = comparisons(folder)
        for turn in range(turns + 1):
            for name, ways in compared.items():
                for way, work in ways.items() if turn % 2 else [*ways.items()][::-1]:
                    spent = timed(work)
                    print(f"{turn} {name}, {way}: {spent['cpu']:.3f} s", flush=True)
                    if turn:
                        seconds.setdefault(name, {}).setdefault(way, []).append(spent)
            for name, arguments in COMMANDS.items():
                if turn:
                    ways_of = seconds.setdefault(f"mithridate: {name}", {})
                    ways_of.setdefault("start to end", []).append(started(arguments))
            if turn:
                save(FOLDER, "fixed", {"seconds": seconds, **origin()})


def started(arguments: list[str]) -> dict[str, float]:
    """Run a command in a process of its own; gives its processor seconds."""
    before, load = resource.getrusage(resource.RUSAGE_CHILDREN), os.getloadavg()[0]
    wall = time.perf_counter()
    code = "from mithridate.cli import main; main()"
    subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"cpu": cpu, "wall": time.perf_counter() - wall, "load": load}


def features_of(examples: int, classes: int, features: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Features float32[n, d] whose variance falls as 1 / i, in classes about means of their own."""
    rng = torch.Generator().manual_seed(0)
    spread = torch.arange(1, features + 1) ** -0.5
    labels = torch.arange(examples) % classes
    means = 3 * torch.randn(classes, features, generator=rng) * spread
    return (torch.randn(examples, features, generator=rng) * spread + means[labels]), labels


def alone(work: Callable[[], object], longest: float = LONGEST) -> dict[str, float] | str:
    """Do some work in a process of its own.

    Gives its processor seconds and the memory in MB that it took beyond what was there, or why it
    could not be done.
    """
    there, here = multiprocessing.Pipe(duplex=False)
    child = multiprocessing.get_context("fork").Process(
        target=_measured, args=(work, here, longest)
    )
    child.start()
    here.close()
    answer: dict[str, float] | str = f"ended after {longest:.0f} s"
    try:
        answer = there.recv() if there.poll(60 * longest) else answer
    except EOFError:
        answer = "ended without an answer"
    child.terminate()
    child.join()
    return answer


def _measured(work: Callable[[], object], answer: Any, longest: float) -> None:
    limit = int(time.process_time() + longest)
    resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
    before, began = _resident(), time.process_time()
    try:
        work()
    except MithridateError as error:
        answer.send(str(error))
        return
    spent = time.process_time() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    answer.send({"cpu": spent, "mb": max(0.0, peak - before), "load": os.getloadavg()[0]})


def _resident() -> float:
    """Memory in MB that this process has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def growth() -> None:
    """Measure every detector that asks for no more than features and labels."""
    for name, kind in find(Detector).items():
        if done(FOLDER, f"growth-{name}") or kind.__module__ == controls.__name__:
            continue
        points: list[dict[str, float]] = []
        for axis, sizes in (("examples", EXAMPLES), ("classes", CLASSES), ("features", WIDTHS)):
            points += along(name, kind, axis, [s for s in sizes if s != USUAL[axis] or not points])
        if points:
            save(FOLDER, f"growth-{name}", {"method": name, "points": points, **origin()})


def along(
    name: str, kind: type[Detector], axis: str, sizes: Iterable[int]
) -> list[dict[str, float]]:
    """Measure a detector while one size grows, until it takes too long or refuses."""
    points: list[dict[str, float]] = []
    for size in sizes:
        given = {**USUAL, axis: size}
        rows, labels = features_of(**given)
        view = View(features=rows, labels=labels)
        spent = alone(lambda view=view: kind().judge(view))
        if isinstance(spent, str):
            return points
        print(f"{name} {given}: {spent['cpu']:.2f} s, {spent['mb']:.0f} MB", flush=True)
        points.append({**given, **spent})
        if spent["cpu"] > ENOUGH:
            return points
    return points


def model_of(classes: int) -> tuple[torch.nn.Module, Dataset]:
    """An untrained network of some classes, and 20 examples of each: bytes of 16 x 16."""
    rng = stream(0, "speed", classes)
    labels = np.arange(20 * classes) % classes
    pixels = torch.from_numpy(rng.integers(0, 256, (len(labels), 3, 16, 16), dtype=np.uint8))
    data = dataset(pixels, labels)
    return DOMAIN.network(data, "resnet9:4", rng).eval(), data


def scanners() -> None:
    """Measure every scanner of models against the number of classes."""
    for name, kind in find(Scanner).items():
        if done(FOLDER, f"scanner-{name}"):
            continue
        points = []
        for classes in OF_A_MODEL:
            model, data = model_of(classes)
            view = View(data, domain=DOMAIN, model=model, runtime=Runtime(), clean=data)
            rng = stream(0, "speed", "scan")
            spent = alone(lambda v=view, k=kind, r=rng: k().scan(v, r))
            if isinstance(spent, str):
                break
            print(f"{name} {classes} classes: {spent['cpu']:.2f} s", flush=True)
            points.append({"classes": classes, **spent})
            if spent["cpu"] > ENOUGH:
                break
        if points:
            save(FOLDER, f"scanner-{name}", {"method": name, "points": points, **origin()})


def features(count: int) -> None:
    """Scan features that lie in a file, in a process of its own."""
    if done(FOLDER, f"features-{count}"):
        return
    width = 128
    with tempfile.TemporaryDirectory() as folder:
        labels = np.arange(count) % 10
        rows = np.lib.format.open_memmap(
            Path(folder) / "rows.npy", "w+", np.float32, (count, width)
        )
        for at in range(0, count, 50_000):
            part = min(50_000, count - at)
            rows[at : at + part] = features_of(part, 10, width)[0].numpy()
        rows.flush()
        del rows
        trusted, known = features_of(2_000, 10, width)
        mapped = np.load(Path(folder) / "rows.npy", mmap_mode="r")

        def scan() -> None:
            scan_features(
                mapped, labels, trusted, known,
                step=lambda what: print(f"{time.process_time():.1f} {what}", flush=True),
            )  # fmt: skip

        before = _resident()
        spent = alone(scan, longest=10 * LONGEST)
    if isinstance(spent, str):
        raise SystemExit(spent)
    record = {"examples": count, "features": width, "before_mb": before, **spent}
    save(FOLDER, f"features-{count}", {**record, **origin()})


def exponent(points: list[Any], axis: str, of: str = "cpu") -> str:
    """The slope of the logarithm of a cost against that of what grows, by least squares."""
    others = [name for name in USUAL if name != axis and name in points[0]]
    chosen = [p for p in points if all(p[name] == USUAL[name] for name in others)]
    if len(chosen) < 2 or min(p[of] for p in chosen) <= 0:
        return "-"
    x, y = ([math.log(p[key]) for p in chosen] for key in (axis, of))
    slope = round(float(np.polyfit(x, y, 1)[0]), 1)
    return f"{slope + 0.0:.1f}"  # never -0.0


def fixed_table(found: list[Any]) -> str:
    """Seconds of each way, and how many times faster it is than the first."""
    rows = []
    for record in found:
        for name, ways in record["seconds"].items():
            first = next(iter(ways.values()))
            for way, turns in ways.items():
                ratio = [a["cpu"] / b["cpu"] for a, b in zip(first, turns, strict=True)]
                times = "1" if turns is first else spread_of(ratio)
                load = spread_of([turn["load"] for turn in turns])
                cpu = spread_of([turn["cpu"] for turn in turns], 2)
                rows.append([name, way, cpu, times, load, str(len(turns))])
    header = ["what", "way", "cpu s", "times faster than the first", "load", "turns"]
    return markdown(header, rows)


def growth_table(found: list[Any]) -> str:
    """Cost at the usual size, and the exponents."""
    rows = []
    for record in found:
        points = record["points"]
        usual = next(p for p in points if all(p[name] == USUAL[name] for name in USUAL))
        most = max(points, key=lambda p: p["examples"])
        slopes = [exponent(points, axis) for axis in USUAL]
        cells = [f"{usual['cpu']:.2f}", f"{most['cpu']:.2f}", f"{most['mb']:.0f}", *slopes]
        rows.append([record["method"], *cells])
    names = ["method", f"cpu s, {USUAL['examples']:,} examples", f"cpu s, {EXAMPLES[-1]:,}",
             "MB more", "exponent: examples", "classes", "features"]  # fmt: skip
    return markdown(names, rows)


def scanner_table(found: list[Any]) -> str:
    """Cost by the number of classes, and the exponent."""
    rows = []
    for record in found:
        by_classes = {point["classes"]: point for point in record["points"]}
        cells = [f"{by_classes[c]['cpu']:.1f}" if c in by_classes else "-" for c in OF_A_MODEL]
        rows.append([record["method"], *cells, exponent(record["points"], "classes")])
    header = ["method", *(f"cpu s, {c} classes" for c in OF_A_MODEL), "exponent"]
    return markdown(header, rows)


def features_table(found: list[Any]) -> str:
    """A scan of given features."""
    rows = [
        [f"{r['examples']:,} x {r['features']}", f"{r['cpu']:.0f}",
         f"{r['before_mb'] + r['mb']:,.0f}", f"{r['load']:.1f}"]
        for r in sorted(found, key=lambda r: r["examples"])
    ]  # fmt: skip
    return markdown(["features", "cpu s", "peak, MB", "load"], rows)


def said(fixed_found: list[Any], features_found: list[Any]) -> list[str]:
    """The sentences of the page, each from the records."""
    sentences = []
    for record in fixed_found:
        for name, ways in record["seconds"].items():
            first, *others = ways
            for way in others:
                pairs = zip(ways[first], ways[way], strict=True)
                times = median(a["cpu"] / b["cpu"] for a, b in pairs)
                cpu = median(turn["cpu"] for turn in ways[way])
                sentences.append(
                    f"- To {name}: {cpu:.2f} s ({way}), {times:.1f} times faster than to "
                    f"{first}." if first.startswith("decode")
                    else f"- To {name}: {cpu:.2f} s ({way}), {times:.1f} times faster than {first}."
                )  # fmt: skip
            if not others:
                cpu = median(turn["cpu"] for turn in ways[first])
                sentences.append(f"- `{name.replace(': ', ' ')}` takes {cpu:.2f} s of a processor.")
    sentences += [
        f"- {r['examples']:,} examples of {r['features']} given features are scanned in "
        f"{r['cpu']:.0f} s of a processor and {r['before_mb'] + r['mb']:,.0f} MB."
        for r in sorted(features_found, key=lambda r: r["examples"])
    ]
    return sentences


def table() -> None:
    """Write the tables and what they say from the records."""
    known = {name: records(FOLDER, f"{name}*") for name in
             ("fixed", "growth-", "scanner-", "features-")}  # fmt: skip
    parts = {
        "What a command costs before it scans: median over turns, and their range.": fixed_table(
            known["fixed"]
        ),
        "How detectors grow, each with its defaults, on features whose variance falls: exponents "
        "of processor seconds against one size while the others stay at "
        f"{USUAL['examples']:,} examples, {USUAL['classes']} classes, {USUAL['features']} "
        "features.": growth_table(known["growth-"]),
        "How scanners of models grow with the classes: an untrained network, 20 trusted examples "
        "of each class.": scanner_table(known["scanner-"]),
        "A scan of given features by spectral-signatures, activation-clustering and "
        "nearest-neighbours, calibrated on 2,000 trusted examples.": features_table(
            known["features-"]
        ),
    }
    text = "\n".join(f"{title}\n\n{body}" for title, body in parts.items() if body.count("\n") > 2)
    sentences = said(known["fixed"], known["features-"])
    text += "\nWhat these say, written from the same records:\n\n" + "\n".join(sentences) + "\n"
    (RESULTS / FOLDER).mkdir(parents=True, exist_ok=True)
    (RESULTS / FOLDER / "table.md").write_text(text)
    print(text)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parts = ["fixed", "growth", "scanners", "features", "table"]
    parser.add_argument("what", nargs="?", default="all", choices=["all", *parts])
    parser.add_argument("--turns", type=int, default=TURNS)
    parser.add_argument("--count", type=int, default=1_000_000)
    given = parser.parse_args()
    torch.set_num_threads(1)
    print(f"load {os.getloadavg()[0]:.1f}, {given.turns} turns", flush=True)
    if given.what in ("all", "fixed") and not (given.what == "all" and done(FOLDER, "fixed")):
        fixed(given.turns)
    if given.what in ("all", "growth"):
        growth()
    if given.what in ("all", "scanners"):
        scanners()
    if given.what in ("all", "features"):
        features(given.count)
    table()


if __name__ == "__main__":
    main()
