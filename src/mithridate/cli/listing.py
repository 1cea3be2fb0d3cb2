"""`mithridate methods` and `mithridate sets`: what there is."""

from __future__ import annotations

from typing import Annotated

import typer

from mithridate.cli import status
from mithridate.cli.terminal import grid, note, say, show


def methods(
    kind: Annotated[
        str, typer.Argument(help="Only these: attack, detector, goal, selection, trigger, ...")
    ] = "",
) -> None:
    """List the methods, with their settings and defaults."""
    import dataclasses
    import difflib
    from typing import Any, cast

    from mithridate.core.registry import find, kinds
    from mithridate.report.catalogue import default

    known = {each.kind: each for each in kinds()}
    if kind and kind not in known:
        near = difflib.get_close_matches(kind, known, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        note(f"error: unknown kind {kind!r}: {hint}available: {', '.join(known)}")
        raise typer.Exit(status.ERROR)
    for name in [kind] if kind else known:
        table = grid("name", "settings", "what it does", title=name)
        for method_name, method in find(cast(Any, known[name])).items():
            fields = dataclasses.fields(cast(Any, method))
            settings = "\n".join(f"{field.name}={default(field)}" for field in fields)
            table.add_row(method_name, settings, method.summary())
        show(table)


def sets() -> None:
    """List the data sets that are known by name, and where they are looked for."""
    from mithridate.domains.catalogue import SETS, places

    table = grid("name", "splits", "from the network")
    for name, known in SETS.items():
        official = sorted({file.url for files in known.splits.values() for file in files})
        fetched = "\n".join(official) or ("comes with scikit-learn" if name == "digits" else "no")
        table.add_row(name, ", ".join(known.splits), fetched)
    show(table)
    say("Looked for as NAME/SPLIT.parquet, or as the official files, in:")
    for place in places():
        say(f"  {place}")
    say("The environment variable MITHRIDATE_DATA names a folder that is looked in first.")
