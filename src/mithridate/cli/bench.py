"""`mithridate bench ...`: the flags; the work is in work/bench.py."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from mithridate.cli.groups import Device, Yes

Flag = typer.Option
StoreFlag = Annotated[Path, Flag("--store", help="The folder of results.")]
HOME = Path("mithridate-bench")


@dataclass(frozen=True)
class WhichCells:
    """A sweep, where its results are kept, and which of its cells are asked for."""

    recipe: Annotated[
        str, typer.Argument(help="A Python file with a function `sweep`, or FILE.py:FUNCTION.")
    ]
    store: StoreFlag = HOME
    where: Annotated[
        list[str] | None,
        Flag("--where", help="Only cells with this AXIS=VALUE, as attack=badnets; repeatable."),
    ] = None
    cell: Annotated[str, Flag("--cell", help="Only the cell whose key begins so.")] = ""


@dataclass(frozen=True)
class BenchPlan:
    """Say what a sweep will compute, what it has already, and how long the rest will take.

    Exit status: 0, 1 where a defence may not take part, 2 on an error.
    """

    asked: WhichCells
    workers: Annotated[int | None, Flag(help="Processes; by default one for each core.")] = None


@dataclass(frozen=True)
class BenchRun:
    """Compute every cell of a sweep that the store lacks.

    It can be stopped, killed and begun again anywhere. Exit status: 0 where every cell ended, 1
    where some failed, 2 on an error, 130 where it was stopped.
    """

    asked: WhichCells
    workers: Annotated[int | None, Flag(help="Processes; by default one for each core.")] = None
    on: Annotated[
        str,
        Flag(
            help="Where steps run: local, serial, ray, ray:auto, ray:HOST:PORT or ray://HOST:PORT."
        ),
    ] = "local"
    device: Device = "auto"
    yes: Yes = False


@dataclass(frozen=True)
class BenchStatus:
    """Say how the cells of a sweep ended, and why some did not."""

    asked: WhichCells


@dataclass(frozen=True)
class BenchVerify:
    """Compute a random sample of the stored steps again and compare them.

    Exit status: 0 where all are the same, 1 where some differ, 2 on an error.
    """

    asked: WhichCells
    sample: Annotated[int, Flag(min=1, help="How many steps are computed again.")] = 20
    seed: Annotated[int, Flag(help="The seed by which the sample is drawn.")] = 0


@dataclass(frozen=True)
class BenchReport:
    """Write the tables as a static site, with the records as Parquet beside them."""

    asked: WhichCells
    out: Annotated[Path, Flag(help="The folder of the site.")] = Path("mithridate-site")
    title: Annotated[
        str, Flag(help="The title of the site; by default the name of the recipe.")
    ] = ""
    mlflow: Annotated[str, Flag(help="Also log every cell to MLflow at this URI.")] = ""


@dataclass(frozen=True)
class BenchGc:
    """Remove stored steps that none of the recipes needs, e.g. since their code changed."""

    recipes: Annotated[list[str], typer.Argument(help="Every recipe whose results are kept.")]
    store: StoreFlag = HOME
    yes: Annotated[bool, Flag("--yes", "-y", help="Remove them, instead of only saying so.")] = (
        False
    )
