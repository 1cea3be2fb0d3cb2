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
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mithridate.attacks.goals import Goal
from mithridate.attacks.poisoning import Poisoning
from mithridate.attacks.selections import Selection
from mithridate.cli import status
from mithridate.cli.poison import PoisonData
from mithridate.cli.settings import split
from mithridate.cli.sources import find_source, names_of
from mithridate.cli.terminal import say
from mithridate.core.data import Poisoned
from mithridate.core.errors import DataError
from mithridate.core.files import write_text
from mithridate.core.method import Trigger
from mithridate.core.plain import plain
from mithridate.core.runtime import environment
from mithridate.core.settings import build
from mithridate.core.streams import stream
from mithridate.domains.formats import Source, write
from mithridate.report.quoting import spell_invisible, spell_surrogates

MARK = "attack.json"
"""Written last: a folder that holds it is one of ours, and complete."""


def run(request: PoisonData) -> int:
    """PoisonData a data set and write it with the truth; gives the exit status."""
    attack = attack_of(request)
    options = {"size": request.size, "label": request.label, "content": request.content}
    source = find_source(request.path, request.split, **options)
    test = find_source(request.trap, request.split, **options) if request.trap else None
    if test is not None and test.data.classes != source.data.classes:
        raise DataError(
            f"expected the classes of the training data in {request.trap!r}, "
            f"{list(source.data.classes)[:10]}, found {list(test.data.classes)[:10]}"
        )
    poisoned = attack.poison(source.data, stream(request.seed, "poison"))
    trapped = attack.triggered_test(test.data, stream(request.seed, "trap")) if test else None
    clear(request.out, [source, *([test] if test else [])], request.force)
    written = write(poisoned.data, source.names, source, request.out / "data")
    write_text(request.out / "truth.csv", truth_table(poisoned, written))
    if test is not None and trapped is not None:
        write(trapped, names_of(test, trapped), test, request.out / "trap")
    described = description(request, attack, source, poisoned)
    write_text(request.out / MARK, json.dumps(described, indent=1) + "\n")
    say(
        f"poisoned {described['poisoned']:,} of {len(source.data):,} examples"
        + (f", with {described['cover']:,} cover examples" if described["cover"] else "")
    )
    for name in ("data", "truth.csv", MARK, *(["trap"] if test else [])):
        say(f"wrote {spell_invisible(str(request.out / name))}")
    return status.CLEAN


def attack_of(request: PoisonData) -> Poisoning:
    """Build the attack from the names and settings of its parts."""
    names = {"trigger": request.trigger, "goal": request.goal, "selection": request.selection}
    if request.test_trigger is not None:
        names["test_trigger"] = request.test_trigger
    given = split(request.set or [], names)
    kind: Any = Trigger  # mypy takes a class that leaves a method to others for abstract
    return Poisoning(
        trigger=build(kind, request.trigger, given["trigger"]),
        goal=build(Goal, request.goal, given["goal"]),
        selection=build(Selection, request.selection, given["selection"]),
        test_trigger=build(kind, request.test_trigger, given["test_trigger"])
        if request.test_trigger is not None
        else None,
    )


def clear(out: Path, sources: Sequence[Source], force: bool) -> None:
    """Make room for a poisoned set: in a new place, or with `force` in that of an earlier one.

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
        out.mkdir(parents=True, exist_ok=True)
        return
    if not (out / MARK).is_file():
        raise DataError(
            f"{str(out)!r} holds something that is no poisoned set; choose another folder"
        )
    if not force:
        raise DataError(f"{str(out)!r} holds a poisoned set already; --force replaces it")
    (out / MARK).unlink()
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


def description(
    request: PoisonData, attack: Poisoning, source: Source, poisoned: Poisoned
) -> dict[str, Any]:
    """Describe what was done, as strict JSON can hold it."""
    return {
        "schema": "mithridate-attack/1",
        "attack": plain(attack.config()),
        "seed": request.seed,
        "origin": spell_surrogates(request.path),
        "format": source.format,
        "examples": len(source.data),
        "poisoned": int(poisoned.truth.poisoned.sum()),
        "cover": int(poisoned.truth.cover.sum()),
        "command": spell_surrogates(shlex.join(["mithridate", *sys.argv[1:]])),
        "versions": environment(),
    }
