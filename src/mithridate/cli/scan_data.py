"""`mithridate scan data PATH`: the flags; the work is in work/scan_data.py."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from mithridate.cli.groups import HowToComputeLong, HowToReadOn, HowToTrain

Flag = typer.Option


@dataclass(frozen=True)
class WhichTrusted:
    """Which examples are known to be clean."""

    trusted: Annotated[
        str | None, Flag(help="Examples known to be clean: a path or a named set, as above.")
    ] = None
    trusted_count: Annotated[
        int | None,
        Flag(help="Use so many of the trusted examples, drawn at random; by default all."),
    ] = None


@dataclass(frozen=True)
class WhichModel:
    """Which network looks at the examples."""

    model: Annotated[
        Path | None, Flag(help="The weights of a trained network, instead of training one.")
    ] = None
    model_saw: Annotated[
        str, Flag(help="What that network was trained on: neither, suspect or both.")
    ] = "suspect"


@dataclass(frozen=True)
class WhatToWrite:
    """What is written, and where."""

    out: Annotated[Path, Flag(help="The folder for the report.")] = Path("mithridate-report")
    cleaned: Annotated[
        Path | None,
        Flag(help="A new folder for a copy without the flagged examples, in the same format."),
    ] = None
    save_model: Annotated[
        Path | None, Flag(help="The file in which the trained network is kept, as safetensors.")
    ] = None


@dataclass(frozen=True)
class ScanData:
    """Say whether a labelled data set carries a backdoor, and which examples do.

    Exit status: 0 clean, 1 flagged, 2 error, 3 cannot judge.
    """

    path: Annotated[
        str, typer.Argument(help="A folder, a file or a named set; cifar10:test names its split.")
    ]
    limit: Annotated[
        int | None, Flag(help="Scan only so many examples, drawn at random; by default all.")
    ] = None
    trusted: WhichTrusted = field(default_factory=WhichTrusted)
    model: WhichModel = field(default_factory=WhichModel)
    writing: WhatToWrite = field(default_factory=WhatToWrite)
    detectors: Annotated[
        str,
        Flag(
            help="Names with commas between them; see `mithridate methods detector`. By default "
            "those of an ordinary scan."
        ),
    ] = ""
    quick: Annotated[
        bool, Flag("--quick", help="Look at simple features only: seconds, and no network.")
    ] = False
    strongest: Annotated[
        bool,
        Flag(
            "--strongest",
            help="Ask only which features the data teach most strongly, natural or not; needs no "
            "trusted examples.",
        ),
    ] = False
    training: HowToTrain = field(default_factory=HowToTrain)
    reading: HowToReadOn = field(default_factory=HowToReadOn)
    computing: HowToComputeLong = field(default_factory=HowToComputeLong)
