"""`mithridate repair MODEL`: the flags; the work is in work/repair.py."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from mithridate.cli.groups import Flip, HowToComputeLong, HowToRead, WhichNetwork

Flag = typer.Option


@dataclass(frozen=True)
class WhichSuspects:
    """What the network may have been trained on."""

    data: Annotated[
        str | None,
        Flag(help="What the network may have been trained on; scanned before and after."),
    ] = None
    model_saw: Annotated[
        str,
        Flag(help="Which of --data and --trusted it was trained on: neither, suspect or both."),
    ] = "suspect"


@dataclass(frozen=True)
class RepairNetwork:
    """Take a backdoor out of a trained network, and say what that costs.

    Reads weights and writes OUT/model.safetensors, under the names that the weights have in the
    given file (and OUT/model.pt where that is a file of torch), and OUT/card.html with
    OUT/card.json: what was done, what it costs in accuracy on trusted examples that the repair
    never saw, and what remains unknown. The default repair plants backdoors of its own in a copy
    of the network and chooses by them; the card says what is left of them. A repair that costs
    more than --max-loss gives the old weights back. Settings of the repair are given as
    --set epochs=3; `mithridate methods repair` lists them. Exit status: 0 done, 1 not repaired, 2
    error, 3 cannot judge.
    """

    model: Annotated[Path, typer.Argument(help="The weights: safetensors, or a .pt of tensors.")]
    trusted: Annotated[
        str, Flag(help="Examples known to be clean: a path or a named set, e.g. cifar10:test.")
    ]
    out: Annotated[Path, Flag(help="A new folder for the repaired network and its card.")]
    repair: Annotated[
        str, Flag(help="The name of the repair; see `mithridate methods repair`.")
    ] = "auto"
    set: Annotated[
        list[str] | None, Flag(help="A setting as FIELD=VALUE, any number of times.")
    ] = None
    suspects: WhichSuspects = field(default_factory=WhichSuspects)
    apart: Annotated[
        float,
        Flag(
            help="The share, between 0 and 1, of the trusted examples that the repair never sees, "
            "since they measure what it costs."
        ),
    ] = 0.3
    max_loss: Annotated[
        float,
        Flag(
            help="The accuracy that the repair may cost, as a share, on the trusted examples that "
            "it never sees; where it costs more, the old weights come back and the status is 1."
        ),
    ] = 0.05
    network: WhichNetwork = field(default_factory=WhichNetwork)
    computing: HowToComputeLong = field(default_factory=HowToComputeLong)
    reading: HowToRead = field(default_factory=HowToRead)
    flip: Flip = None
    force: Annotated[bool, Flag("--force", help="Replace an earlier result in OUT.")] = False
