"""`mithridate scan data PATH`: the flags; the work is in work/scan_data.py."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

Flag = typer.Option


@dataclass(frozen=True)
class ScanData:
    """Say whether a labelled data set carries a backdoor, and which examples do.

    Exit status: 0 clean, 1 flagged, 2 error, 3 cannot judge.
    """

    path: Annotated[
        str, typer.Argument(help="A folder, a file or a named set; cifar10:test names its split.")
    ]
    out: Annotated[Path, Flag(help="Where the report goes.")] = Path("mithridate-report")
    trusted: Annotated[
        str | None, Flag(help="Examples known to be clean: a path or a named set, as above.")
    ] = None
    trusted_count: Annotated[
        int | None, Flag(help="Use so many of the trusted examples, drawn at random.")
    ] = None
    model: Annotated[
        Path | None, Flag(help="Weights of a trained network, instead of training one.")
    ] = None
    model_saw: Annotated[
        str, Flag(help="What that network was trained on: neither, suspect or both.")
    ] = "suspect"
    detectors: Annotated[
        str, Flag(help="Names with commas between them; see `mithridate methods detector`.")
    ] = ""
    epochs: Annotated[int | None, Flag(help="Of the training; by default enough for n.")] = None
    seed: Annotated[int, Flag(help="Of everything that is drawn at random.")] = 0
    device: Annotated[str, Flag(help="auto, cpu or cuda.")] = "auto"
    split: Annotated[str | None, Flag(help="train, test or validation, of several.")] = None
    size: Annotated[int | None, Flag(help="Resize images to size x size.")] = None
    label: Annotated[str | None, Flag(help="The column of labels.")] = None
    content: Annotated[str | None, Flag(help="The column of images or texts.")] = None
    keep_going: Annotated[
        bool, Flag("--keep-going", help="List broken examples in the report and go on.")
    ] = False
    flip: Annotated[
        bool | None, Flag("--flip/--no-flip", help="Whether mirrored images keep their label.")
    ] = None
    limit: Annotated[int | None, Flag(help="Scan only so many examples, drawn at random.")] = None
    cleaned: Annotated[
        Path | None, Flag(help="Write a copy without the flagged examples, in the same format.")
    ] = None
    save_model: Annotated[Path | None, Flag(help="Keep the trained network, as safetensors.")] = (
        None
    )
    yes: Annotated[bool, Flag("--yes", "-y", help="Do not ask before a long training.")] = False
    settings: dict[str, Any] = field(default_factory=dict)
