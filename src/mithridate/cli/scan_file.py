"""`mithridate scan file FILE`: the flags; the work is in work/scan_file.py."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer


@dataclass(frozen=True)
class ScanFile:
    """Say whether a model file could harm whoever opens it; nothing in it is run.

    A warning of something that harms nobody, such as a number of NumPy beside the weights, is
    told and leaves a file clean. Exit status: 0 clean, 1 flagged, 2 error, 3 cannot judge.
    """

    path: Annotated[str, typer.Argument(help="A model file of any format, whatever its name.")]
    json: Annotated[Path | None, typer.Option(help="Write the findings there, as JSON.")] = None
    code: Annotated[
        bool,
        typer.Option("--code", help="Expect a program: TorchScript or .pt2 is no danger then."),
    ] = False
    values: Annotated[
        bool,
        typer.Option("--values/--no-values", help="Read all weights to find NaN and infinity."),
    ] = True
