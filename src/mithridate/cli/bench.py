"""`mithridate bench ...`: the flags; the work is in benching.py."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from mithridate.cli.flags import command

Flag = typer.Option
Recipe = Annotated[
    str, typer.Argument(help="A Python file with a function `sweep`, or FILE.py:FUNCTION.")
]
StoreFlag = Annotated[Path, Flag("--store", help="The folder of results.")]
Where = Annotated[
    list[str] | None,
    Flag("--where", help="Only cells with this AXIS=VALUE, as attack=badnets; may be repeated."),
]
Cell = Annotated[str, Flag("--cell", help="Only the cell whose key begins so.")]
HOME = Path("mithridate-bench")


@dataclass(frozen=True)
class Plan:
    """Say what a sweep will compute, what it has already, and how long the rest will take.

    Exit status: 0, or 2 on an error.
    """

    recipe: Recipe
    store: StoreFlag = HOME
    where: Where = None
    cell: Cell = ""
    workers: Annotated[int | None, Flag(help="Processes; by default one for each core.")] = None


@dataclass(frozen=True)
class Run:
    """Compute every cell of a sweep that the store lacks.

    It can be stopped, killed and begun again anywhere. Exit status: 0 where every cell ended, 1
    where some failed, 2 on an error, 130 where it was stopped.
    """

    recipe: Recipe
    store: StoreFlag = HOME
    where: Where = None
    cell: Cell = ""
    workers: Annotated[int | None, Flag(help="Processes; by default one for each core.")] = None
    on: Annotated[
        str, Flag(help="local, serial, ray, ray:auto, ray:HOST:PORT or ray://HOST:PORT.")
    ] = "local"
    device: Annotated[str, Flag(help="auto, cpu or cuda.")] = "auto"
    yes: Annotated[bool, Flag("--yes", "-y", help="Do not ask before a long run.")] = False


@dataclass(frozen=True)
class Status:
    """Say how the cells of a sweep ended, and why some did not."""

    recipe: Recipe
    store: StoreFlag = HOME
    where: Where = None
    cell: Cell = ""


@dataclass(frozen=True)
class Verify:
    """Compute a random sample of the stored steps again and compare them.

    Exit status: 0 where all are the same, 1 where some differ, 2 on an error.
    """

    recipe: Recipe
    store: StoreFlag = HOME
    where: Where = None
    cell: Cell = ""
    sample: Annotated[int, Flag(min=1, help="How many steps.")] = 20
    seed: Annotated[int, Flag(help="Of the sample.")] = 0


@dataclass(frozen=True)
class Report:
    """Write the tables as a static site, with the records as Parquet beside them."""

    recipe: Recipe
    store: StoreFlag = HOME
    where: Where = None
    cell: Cell = ""
    out: Annotated[Path, Flag(help="The folder of the site.")] = Path("mithridate-site")
    title: Annotated[str, Flag(help="Of the site; by default the recipe's name.")] = ""
    mlflow: Annotated[str, Flag(help="Also log every cell to MLflow at this URI.")] = ""


@dataclass(frozen=True)
class Gc:
    """Remove stored steps that none of the recipes needs, e.g. since their code changed."""

    recipes: Annotated[list[str], typer.Argument(help="Every recipe whose results are kept.")]
    store: StoreFlag = HOME
    yes: Annotated[bool, Flag("--yes", "-y", help="Remove them, instead of only saying so.")] = (
        False
    )


def _verb(name: str) -> Callable[[Any], int]:
    def run(request: Any) -> int:
        """Do it, and give the exit status."""
        # before any library is loaded that reads it; another number of threads rounds otherwise
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        from mithridate.cli import benching

        verb: Callable[[Any], int] = getattr(benching, name)
        return verb(request)

    return run


app = typer.Typer(
    help="Sweep attacks x defences, so that the numbers can be believed.", no_args_is_help=True
)
for request in (Plan, Run, Status, Verify, Report, Gc):
    verb = request.__name__.lower()
    app.command(verb)(command(request, _verb(verb)))


@app.callback()
def bench() -> None:
    """Sweep attacks x defences, so that the numbers can be believed."""
