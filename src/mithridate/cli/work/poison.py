"""The work of `mithridate poison`: a poisoned data set, and the truth about it beside it.

Axes: n examples.
"""

from __future__ import annotations

import csv
import io
import json
import shlex
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mithridate.attacks.poisoning import Poisoning
from mithridate.cli import status
from mithridate.cli.answer import print_decisions
from mithridate.cli.asked_attack import attack_of, check_names
from mithridate.cli.groups import HowToComputeLong, HowToRead
from mithridate.cli.poison import WhichAttack
from mithridate.cli.sources import find_source, names_of
from mithridate.cli.terminal import Watch, agreed, note, say
from mithridate.core.data import Dataset, Poisoned
from mithridate.core.errors import DataError, MethodError
from mithridate.core.files import write_text
from mithridate.core.method import LearntTrigger, State
from mithridate.core.plain import plain
from mithridate.core.registry import find_attack
from mithridate.core.runtime import Runtime, device_of, environment
from mithridate.core.streams import stream
from mithridate.domains.formats import Source, write
from mithridate.domains.registry import laid_out_like
from mithridate.report.quoting import spell_invisible, spell_surrogates

PROBES = (32, 64, 256)
"""Examples that an estimate learns from: the time grows evenly with their number."""
MARK = "attack.json"
"""Written last: a folder that holds it is one of ours, and complete."""
SCHEMA = "mithridate-attack/1"


def run(
    *, path: str, out: Path, asked: WhichAttack, trap: str | None, computing: HowToComputeLong,
    reading: HowToRead, force: bool,
) -> int:  # fmt: skip
    """Poison a data set and write it with the truth; gives the exit status."""
    check_names(asked)
    source = find_source(path, reading)
    print_decisions(source)
    test = test_beside(source, trap, reading)
    attack = attack_of(asked, path, source)
    check_room(out, [source, *([test] if test else [])], force)
    try:
        state = learnt(attack, source.data, computing)
    except KeyboardInterrupt:
        state = None
    if state is None:
        note("stopped: nothing was written")
        return status.STOPPED
    poisoned = attack.poison(source.data, stream(computing.seed, "poison"), state)
    check_count(attack, poisoned)
    rng = stream(computing.seed, "trap")
    triggered = attack.triggered_test(test.data, rng, state) if test else None
    clear(out)
    written = write(poisoned.data, source.names, source, out / "data")
    write_text(out / "truth.csv", truth_table(poisoned, written))
    if test is not None and triggered is not None:
        write(triggered, names_of(test, triggered), test, out / "trap")
    name = find_attack(asked.attack).name if asked.attack else None
    described = {
        "schema": SCHEMA, "name": name, "attack": plain(attack.config()), "seed": computing.seed,
        "origin": spell_surrogates(path), **description(source, poisoned),
    }  # fmt: skip
    write_text(out / MARK, json.dumps(described, indent=1) + "\n")
    tell(out, described, triggered is not None)
    return status.CLEAN


def test_beside(source: Source, trap: str | None, reading: HowToRead) -> Source | None:
    """Read the test data, which have the classes of the training data."""
    test = find_source(trap, reading) if trap else None
    if test is not None and test.data.classes != source.data.classes:
        raise DataError(
            f"expected the classes of the training data in {trap!r}, "
            f"{list(source.data.classes)[:10]}, found {list(test.data.classes)[:10]}"
        )
    if test is None:
        return None
    inputs = laid_out_like(source.data.inputs, test.data.inputs)
    return replace(test, data=test.data.with_inputs(inputs))


def learnt(attack: Poisoning, data: Dataset, computing: HowToComputeLong) -> State | None:
    """Let the triggers learn what they need; None where somebody would rather not wait for it."""
    if not attack.learns:
        return {}
    parts = (attack.trigger, attack.test_trigger, attack.cover_trigger)
    names = dict.fromkeys(p.name() for p in parts if isinstance(p, LearntTrigger))
    runtime = Runtime(device=device_of(computing.device))
    what = f"learning {', '.join(names)} from {len(data):,} examples on {runtime.device}"
    if not agreed(what, estimate(attack, data, computing.seed, runtime), computing.yes):
        return None
    with Watch() as watch:
        watch.step(what)
        return attack.learn(data, stream(computing.seed, "learn"), runtime)


def estimate(attack: Poisoning, data: Dataset, seed: int, runtime: Runtime) -> float | None:
    """Estimate the seconds of learning from those of two small parts; None for little data."""
    trigger = next(t for t in (attack.trigger, attack.test_trigger, attack.cover_trigger)
                   if isinstance(t, LearntTrigger))  # fmt: skip
    if len(data) < 4 * PROBES[-1]:
        return None
    rows = stream(seed, "estimate").permutation(len(data))
    seconds = []
    for count in PROBES:  # the first one warms up
        began = time.perf_counter()
        try:
            attack.learn(data.subset(rows[:count]), stream(seed, "estimate"), runtime)
        except MethodError:  # a class may be missing among so few
            return None
        seconds.append(time.perf_counter() - began)
    each = max(0.0, seconds[-1] - seconds[-2]) / (PROBES[-1] - PROBES[-2])
    return seconds[-1] + each * max(0, trigger.uses(len(data)) - PROBES[-1])


def check_count(attack: Poisoning, poisoned: Poisoned) -> None:
    """Raise MethodError where nothing was poisoned, or nothing covers what should be covered."""
    n, covering, who = len(poisoned.data), ("cover", "cover_ratio"), attack.selection.name()
    if not bool(poisoned.truth.poisoned.any()):
        raise MethodError(
            f"{who} poisons none of {n:,} examples: the share rounds to nothing, or no example is "
            f"eligible; one example is the share {1 / n:.2g}, or --poison-rate 1"
        )
    asked = any(getattr(attack.selection, name, 0) for name in covering)
    if asked and not bool(poisoned.truth.cover.any()):
        raise MethodError(
            f"{who} covers with none of {n:,} examples: the share rounds to nothing; ask for more "
            "cover, or for none"
        )


def tell(out: Path, described: dict[str, Any], trapped: bool) -> None:
    """Say what was done and where it is."""
    say(
        f"poisoned {described['poisoned']:,} of {described['examples']:,} examples"
        + (f", with {described['cover']:,} cover examples" if described["cover"] else "")
    )
    for name in ("data", "truth.csv", MARK, *(["trap"] if trapped else [])):
        say(f"wrote {spell_invisible(str(out / name))}")


def check_room(out: Path, sources: Sequence[Source], force: bool) -> None:
    """Check that there is room for a poisoned set: a new place, or with `force` an earlier one's.

    Raises:
        DataError: where something else is in the way, or a source would be overwritten.
    """
    for source in sources:
        origin, place = source.origin.resolve(), out.resolve()
        if origin == place or place in origin.parents:
            raise DataError(f"{str(out)!r} holds the data to read; choose another folder for --out")
    if out.exists() and not out.is_dir():
        raise DataError(f"{str(out)!r}: expected a folder, found a file")
    if not out.exists() or not any(out.iterdir()):
        return
    if not (out / MARK).is_file():
        raise DataError(
            f"{str(out)!r} holds something that is no poisoned set; choose another folder"
        )
    if not force:
        raise DataError(f"{str(out)!r} holds a poisoned set already; --force replaces it")


def clear(out: Path) -> None:
    """Take away an earlier poisoned set, of which there may be none."""
    out.mkdir(parents=True, exist_ok=True)
    (out / MARK).unlink(missing_ok=True)
    (out / "truth.csv").unlink(missing_ok=True)
    for folder in ("data", "trap"):
        shutil.rmtree(out / folder, ignore_errors=True)


def truth_table(poisoned: Poisoned, names: Sequence[str]) -> str:
    """Write the truth as CSV: id in the input, name in the output, what was done, both labels."""
    data, truth = poisoned.data, poisoned.truth
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["id", "name", "poisoned", "cover", "label_before", "label"])
    columns = (data.ids, truth.poisoned, truth.cover, truth.labels, data.labels)
    for name, row in zip(names, zip(*(c.tolist() for c in columns), strict=True), strict=True):
        number, is_poisoned, is_cover, before, after = row
        classes = (spell_surrogates(data.classes[before]), spell_surrogates(data.classes[after]))
        table.writerow([number, spell_surrogates(name), int(is_poisoned), int(is_cover), *classes])
    return text.getvalue()


def description(source: Source, poisoned: Poisoned) -> dict[str, Any]:
    """Describe what was done to the data, as strict JSON can hold it."""
    return {
        "format": source.format,
        "examples": len(source.data),
        "poisoned": int(poisoned.truth.poisoned.sum()),
        "cover": int(poisoned.truth.cover.sum()),
        "command": spell_surrogates(shlex.join(["mithridate", *sys.argv[1:]])),
        "versions": environment(),
    }
