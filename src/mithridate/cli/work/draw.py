"""The work of `mithridate draw`: read, draw, write, say what comes next."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from mithridate.cli import answer, status
from mithridate.cli.groups import HowToRead
from mithridate.cli.places import empty_folder
from mithridate.cli.sources import find_source, names_of
from mithridate.cli.terminal import say
from mithridate.domains.formats import write
from mithridate.domains.registry import show_inputs
from mithridate.pipelines.drawing import DATA, RECORD, Drawn, draw_by_class


def run(*, path: str, out: Path, count: int, reading: HowToRead, seed: int) -> int:
    """Draw examples and write them; gives the exit status."""
    empty_folder(out, "what is drawn")
    source = find_source(path, reading)
    chosen = draw_by_class(source.data, count, seed)
    shown = show_inputs(chosen.inputs).kind == "pictures"
    like = replace(source, format="tree") if shown else source
    out.mkdir(parents=True, exist_ok=True)
    write(chosen, names_of(source, chosen), like, out / DATA)
    Drawn.of(source.data, chosen, seed).write(out)
    answer.print_decisions(source)
    say(
        f"Drew {len(chosen):,} of {len(source.data):,} examples. Look at every one, delete those "
        "whose label is wrong or that were tampered with, and scan with --trusted and this folder."
    )
    answer.print_places([out / DATA, out / RECORD])
    return status.CLEAN
