"""`mithridate poison PATH`: the flags; the work is in work/poison.py."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

Flag = typer.Option


@dataclass(frozen=True)
class PoisonData:
    """Poison a labelled data set, to try a defence on it.

    Writes the poisoned set to OUT/data in the format of the input, and the truth beside it: which
    examples were changed in truth.csv, the attack in attack.json. Settings of the attack's parts
    are given as --set trigger.size=3 --set goal.target=0 --set selection.amount=0.01; `mithridate
    methods trigger` lists them.
    """

    path: Annotated[
        str, typer.Argument(help="A folder, a file or a named set; cifar10:test names its split.")
    ]
    out: Annotated[Path, Flag(help="A new folder for the poisoned set and the truth.")]
    trigger: Annotated[str, Flag(help="The name of the trigger.")]
    goal: Annotated[str, Flag(help="What triggered inputs are to be called.")] = "all-to-one"
    selection: Annotated[str, Flag(help="Which examples are poisoned.")] = "random-selection"
    test_trigger: Annotated[
        str | None, Flag(help="Another trigger for --trap, as an adaptive attacker uses.")
    ] = None
    set: Annotated[list[str] | None, Flag(help="PART.FIELD=VALUE, any number of times.")] = None
    trap: Annotated[
        str | None, Flag(help="Test data to write with the trigger on, to OUT/trap.")
    ] = None
    seed: Annotated[int, Flag(help="Of everything that is drawn at random.")] = 0
    split: Annotated[str | None, Flag(help="train, test or validation, of several.")] = None
    size: Annotated[int | None, Flag(help="Resize images to size x size.")] = None
    label: Annotated[str | None, Flag(help="The column of labels.")] = None
    content: Annotated[str | None, Flag(help="The column of images or texts.")] = None
    force: Annotated[bool, Flag("--force", help="Replace an earlier poisoned set in OUT.")] = False
