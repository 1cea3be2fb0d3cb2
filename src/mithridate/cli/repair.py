"""`mithridate repair MODEL`: the flags; the work is in work/repair.py."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from mithridate.cli.flags import Classes, Mean, Network, Part, Std

Flag = typer.Option


@dataclass(frozen=True)
class RepairNetwork:
    """Take a backdoor out of a trained network, and say what that costs.

    Reads weights and writes OUT/model.safetensors, and OUT/card.html with OUT/card.json: what was
    done, what it costs in accuracy on trusted examples that the repair never saw, and what remains
    unknown. Settings of the repair are given as --set epochs=3; `mithridate methods repair` lists
    them. Exit status: 0 done, 2 error.
    """

    model: Annotated[Path, typer.Argument(help="The weights: safetensors, or a .pt of tensors.")]
    trusted: Annotated[
        str, Flag(help="Examples known to be clean: a path or a named set, e.g. cifar10:test.")
    ]
    out: Annotated[Path, Flag(help="A new folder for the repaired network and its card.")]
    repair: Annotated[str, Flag(help="See `mithridate methods repair`.")] = "fine-tuning"
    set: Annotated[list[str] | None, Flag(help="FIELD=VALUE, any number of times.")] = None
    data: Annotated[
        str | None,
        Flag(help="What the network may have been trained on; scanned before and after."),
    ] = None
    model_saw: Annotated[
        str, Flag(help="Which of --data and --trusted it was trained on: neither, suspect or both.")
    ] = "suspect"
    apart: Annotated[
        float, Flag(help="Share of the trusted examples that the repair never sees: they measure.")
    ] = 0.3
    network: Network = ""
    classes: Classes = ""
    part: Part = ""
    mean: Mean = ""
    std: Std = ""
    seed: Annotated[int, Flag(help="Of everything that is drawn at random.")] = 0
    device: Annotated[str, Flag(help="auto, cpu or cuda.")] = "auto"
    split: Annotated[str | None, Flag(help="train, test or validation, of several.")] = None
    size: Annotated[int | None, Flag(help="Resize images to size x size.")] = None
    label: Annotated[str | None, Flag(help="The column of labels.")] = None
    content: Annotated[str | None, Flag(help="The column of images or texts.")] = None
    flip: Annotated[
        bool | None, Flag("--flip/--no-flip", help="Whether mirrored images keep their label.")
    ] = None
    force: Annotated[bool, Flag("--force", help="Replace an earlier result in OUT.")] = False
    yes: Annotated[bool, Flag("--yes", "-y", help="Do not ask before a long repair.")] = False
