"""`mithridate guard MODEL`: the flags; the work is in work/guard.py."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from mithridate.cli.groups import HowToCompute, HowToRead, WhichNetwork

Flag = typer.Option


@dataclass(frozen=True)
class HowToFit:
    """Which detectors make the guard, and on what it is fitted."""

    trusted: Annotated[
        str | None,
        Flag(help="Examples known to be clean: a path or a named set, e.g. cifar10:test."),
    ] = None
    fit_only: Annotated[
        Path | None, Flag(help="Write the fitted guard to this new folder, and do not serve.")
    ] = None
    guard: Annotated[
        list[str] | None,
        Flag(help="A detector, any number of times; see `mithridate methods detector`."),
    ] = None
    set: Annotated[
        list[str] | None, Flag(help="A setting as GUARD.FIELD=VALUE, any number of times.")
    ] = None
    level: Annotated[
        float, Flag(help="The share, between 0 and 1, of clean inputs that may be refused.")
    ] = 0.05
    calibrate: Annotated[
        float,
        Flag(
            help="The share, between 0 and 1, of the trusted examples that calibrates the guard; "
            "the rest fits it."
        ),
    ] = 0.5


@dataclass(frozen=True)
class WhereToServe:
    """Where the guarded network answers."""

    host: Annotated[str, Flag(help="The address to listen on.")] = "127.0.0.1"
    port: Annotated[int, Flag(help="The port to listen on; 0 takes a free one.")] = 8080


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
    fitting: HowToFit = field(default_factory=HowToFit)
    fitted: Annotated[Path | None, Flag(help="A guard that --fit-only wrote for this network.")] = (
        None
    )
    serving: WhereToServe = field(default_factory=WhereToServe)
    network: WhichNetwork = field(default_factory=WhichNetwork)
    computing: HowToCompute = field(default_factory=HowToCompute)
    reading: HowToRead = field(default_factory=HowToRead)
