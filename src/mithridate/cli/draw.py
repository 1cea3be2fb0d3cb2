"""`mithridate draw PATH`: the flags; the work is in work/draw.py."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from mithridate.cli.groups import HowToRead, Seed

Flag = typer.Option


@dataclass(frozen=True)
class DrawExamples:
    """Draw examples of a data set at random, so that somebody checks them and a scan trusts them.

    Writes them to OUT/data, pictures in a folder for each class and texts in the format of the
    input, and which they are to OUT/drawn.json. Look at each of them, delete those that are wrong,
    and scan with --trusted OUT.
    """

    path: Annotated[
        str, typer.Argument(help="A folder, a file or a named set; cifar10:test names its split.")
    ]
    out: Annotated[Path, Flag(help="A new folder for what is drawn.")]
    count: Annotated[
        int, Flag(help="How many examples; every class gets its share of them, and at least one.")
    ] = 400
    reading: HowToRead = field(default_factory=HowToRead)
    seed: Seed = 0
