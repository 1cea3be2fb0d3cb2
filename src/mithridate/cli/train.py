"""`mithridate train PATH`: the flags; the work is in work/train.py."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

Flag = typer.Option


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
    trainer: Annotated[str, Flag(help="See `mithridate methods trainer`.")] = "standard"
    set: Annotated[list[str] | None, Flag(help="FIELD=VALUE, any number of times.")] = None
    trusted: Annotated[
        str | None, Flag(help="Examples known to be clean: a path or a named set, as above.")
    ] = None
    then: Annotated[
        str,
        Flag(help="What is done with examples that a scan flags: drop, relabel, unlearn or none."),
    ] = "none"
    apart: Annotated[
        float, Flag(help="Share of the trusted examples that a scan may not use: they measure.")
    ] = 0.3
    network: Annotated[str, Flag(help="Of the domain; empty for its default.")] = ""
    epochs: Annotated[int | None, Flag(help="Of the training; by default enough for n.")] = None
    seed: Annotated[int, Flag(help="Of everything that is drawn at random.")] = 0
    device: Annotated[str, Flag(help="auto, cpu or cuda.")] = "auto"
    split: Annotated[str | None, Flag(help="train, test or validation, of several.")] = None
    size: Annotated[int | None, Flag(help="Resize images to size x size.")] = None
    label: Annotated[str | None, Flag(help="The column of labels.")] = None
    content: Annotated[str | None, Flag(help="The column of images or texts.")] = None
    keep_going: Annotated[
        bool, Flag("--keep-going", help="Leave broken examples out and go on.")
    ] = False
    flip: Annotated[
        bool | None, Flag("--flip/--no-flip", help="Whether mirrored images keep their label.")
    ] = None
    limit: Annotated[int | None, Flag(help="Train on so many examples, drawn at random.")] = None
    force: Annotated[bool, Flag("--force", help="Replace an earlier result in OUT.")] = False
    yes: Annotated[bool, Flag("--yes", "-y", help="Do not ask before a long training.")] = False
