"""`mithridate methods` and `mithridate sets`: what there is."""

from __future__ import annotations

import warnings
from typing import Annotated, Any

import typer
from rich.table import Table

from mithridate.cli import status
from mithridate.cli.completing import NAMED, kinds_for_the_shell
from mithridate.cli.terminal import grid, note, say, show


def methods(
    kind: Annotated[
        str,
        typer.Argument(
            help="Only these: attack, detector, goal, named-attack, repair, trigger, ...",
            autocompletion=kinds_for_the_shell,
        ),
    ] = "",
) -> None:
    """List the methods and the attacks of the literature, with their names, settings and papers."""
    from mithridate.core.registry import BrokenEntryPoint, broken_entry_points, kinds
    from mithridate.core.settings import name_near

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BrokenEntryPoint)  # told once, below the tables
        broken = broken_entry_points()
    known: dict[str, Any] = {each.kind: each for each in kinds()}
    tables = {**dict.fromkeys(known, _methods), NAMED: _named_attacks}
    if kind and kind not in tables:
        note(f"error: unknown kind {kind!r}: {name_near(kind, sorted(tables))}")
        raise typer.Exit(status.ERROR)
    for name in [kind] if kind else sorted(tables):
        show(tables[name](name, known.get(name)))
    for point, why in broken.items():
        note(f"entry point {point} {why}")


def _methods(name: str, kind: Any) -> Table:
    """The table of the methods of a kind."""
    import dataclasses
    from typing import cast

    from mithridate.core.registry import comes_with_us, find
    from mithridate.report.catalogue import default

    table = grid("name", "settings", "what it does, and where it was published", title=name)
    for method_name, method in find(kind).items():
        fields = dataclasses.fields(cast(Any, method))
        settings = "\n".join(f"{field.name}={default(field)}" for field in fields)
        also = method.aliases() if comes_with_us(method) else (f"from {method.__module__}",)
        names = "\n  ".join((method_name, *also))
        source = (method.summary(), method.paper, *method.links)
        table.add_row(names, settings, "\n".join(filter(None, source)))
    return table


def _named_attacks(name: str, kind: Any) -> Table:
    """The table of the attacks of the literature."""
    from mithridate.attacks.named import named_attack
    from mithridate.core.registry import domain_of, find_attacks, reference

    columns = ("name", "data", "has in hand", "what it does, and where it was published")
    table = grid(*columns, title=f"{name}: mithridate poison DATA --attack NAME, those on data")
    for attack in find_attacks().values():
        paper, links = reference(attack)
        names = "\n  ".join((attack.name, *attack.known_as))
        made = named_attack(attack.name)
        table.add_row(
            names, domain_of(attack) or "any", made.controls,
            "\n".join(filter(None, (attack.summary, paper, *links))),
        )  # fmt: skip
    return table


def sets(
    forget_pixels: Annotated[
        bool,
        typer.Option("--forget-pixels", help="Delete the decoded pictures that are kept."),
    ] = False,
) -> None:
    """List the data sets that are known by name, where they are looked for, and what is kept."""
    from mithridate.domains.kept_pixels import forget
    from mithridate.domains.named_sets import SETS, places

    if forget_pixels:
        say(f"Deleted {forget() / 2**20:.1f} MiB of decoded pictures.")
        return
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
    _say_kept()


def _say_kept() -> None:
    """Say how many decoded pictures are kept, and how to have fewer."""
    from mithridate.domains.kept_pixels import VARIABLE, bytes_allowed, bytes_kept, folder_of_pixels

    say(
        f"Decoded pictures are kept in {folder_of_pixels()}: {bytes_kept() / 2**20:.1f} of at "
        f"most {bytes_allowed() / 2**20:.0f} MiB. {VARIABLE} sets this size, 0 keeps none; "
        "--forget-pixels deletes them."
    )
