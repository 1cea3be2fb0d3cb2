"""`mithridate guard MODEL`: the flags; the work is in work/guard.py."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from mithridate.cli.flags import Classes, Mean, Network, Part, Std

Flag = typer.Option


@dataclass(frozen=True)
class GuardNetwork:
    """Serve a trained network over HTTP behind detectors that refuse suspect inputs.

    POST /v1/classify answers with a label, a p-value and an action: accept, refuse, or abstain
    where the guard cannot judge. Of clean inputs like the trusted examples at most a share of
    --level is refused. The network must not have been trained on the trusted examples. Settings of
    the guards are given as --set strip.field=3. Exit status: 0 ended by a signal, 2 error, 3 the
    level cannot be reached.
    """

    model: Annotated[Path, typer.Argument(help="The weights: safetensors, or a .pt of tensors.")]
    trusted: Annotated[
        str | None,
        Flag(help="Examples known to be clean: a path or a named set, e.g. cifar10:test."),
    ] = None
    fitted: Annotated[Path | None, Flag(help="A guard that --fit-only wrote for this network.")] = (
        None
    )
    fit_only: Annotated[
        Path | None, Flag(help="Write the fitted guard to this new folder, and do not serve.")
    ] = None
    guard: Annotated[
        list[str] | None,
        Flag(help="A detector, any number of times; see `mithridate methods detector`."),
    ] = None
    level: Annotated[float, Flag(help="Share of clean inputs that may be refused.")] = 0.05
    calibrate: Annotated[
        float, Flag(help="Share of the trusted examples that calibrates; the rest fits.")
    ] = 0.5
    set: Annotated[list[str] | None, Flag(help="GUARD.FIELD=VALUE, any number of times.")] = None
    host: Annotated[str, Flag(help="The address to listen on.")] = "127.0.0.1"
    port: Annotated[int, Flag(help="The port to listen on; 0 takes a free one.")] = 8080
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
    settings: dict[str, Any] = field(default_factory=dict)
