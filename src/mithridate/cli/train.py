"""`mithridate train PATH`: the flags; the work is in work/train.py."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from mithridate.cli.groups import HowToComputeLong, HowToReadOn, HowToTrain

Flag = typer.Option


@dataclass(frozen=True)
class WhichTrainer:
    """Who trains which network."""

    trainer: Annotated[
        str, Flag(help="The name of the trainer; see `mithridate methods trainer`.")
    ] = "standard"
    set: Annotated[
        list[str] | None, Flag(help="A setting as FIELD=VALUE, any number of times.")
    ] = None
    network: Annotated[
        str, Flag(help="The name of the network; by default that of the domain.")
    ] = ""


@dataclass(frozen=True)
class HowToCleanse:
    """What is done against poison, and with which trusted examples."""

    trusted: Annotated[
        str | None, Flag(help="Examples known to be clean: a path or a named set, as above.")
    ] = None
    then: Annotated[
        str,
        Flag(help="What is done with examples that a scan flags: drop, relabel, unlearn or none."),
    ] = "none"
    apart: Annotated[
        float,
        Flag(
            help="The share, between 0 and 1, of the trusted examples that a scan may not use, "
            "since they measure the network."
        ),
    ] = 0.3


@dataclass(frozen=True)
class TrainNetwork:
    """Train a network on data that cannot be trusted, and say what is known about it.

    Writes OUT/model.safetensors, and OUT/card.html with OUT/card.json: what was done, what it costs
    in accuracy on trusted examples, and what remains unknown. Settings of the trainer are given as
    --set gamma=0.5 --set training.learning_rate=0.1;
    `mithridate methods trainer` lists them. Exit status: 0
    done, 2 error.
    """

    path: Annotated[
        str, typer.Argument(help="A folder, a file or a named set; cifar10:test names its split.")
    ]
    out: Annotated[Path, Flag(help="A new folder for the network and its card.")]
    trainer: WhichTrainer = field(default_factory=WhichTrainer)
    cleansing: HowToCleanse = field(default_factory=HowToCleanse)
    training: HowToTrain = field(default_factory=HowToTrain)
    computing: HowToComputeLong = field(default_factory=HowToComputeLong)
    reading: HowToReadOn = field(default_factory=HowToReadOn)
    limit: Annotated[
        int | None, Flag(help="Train on so many examples, drawn at random; by default all.")
    ] = None
    force: Annotated[bool, Flag("--force", help="Replace an earlier result in OUT.")] = False
