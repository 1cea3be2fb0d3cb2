"""`mithridate poison PATH`: the flags; the work is in work/poison.py."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from mithridate.cli.completing import names_of
from mithridate.cli.groups import HowToComputeLong, HowToRead

Flag = typer.Option


@dataclass(frozen=True)
class WhichAttack:
    """Which attack, by its name or by its parts."""

    attack: Annotated[
        str | None,
        Flag(
            help="An attack of the literature: badnets, wanet, narcissus, ...; see `mithridate "
            "methods named-attack`.",
            autocompletion=names_of("named-attack"),
        ),
    ] = None
    trigger: Annotated[
        str | None,
        Flag(help="Without --attack: the trigger.", autocompletion=names_of("trigger")),
    ] = None
    goal: Annotated[
        str | None,
        Flag(
            help="Which label triggered inputs get; by default all-to-one, class 0.",
            autocompletion=names_of("goal"),
        ),
    ] = None
    selection: Annotated[
        str | None,
        Flag(
            help="Which examples are poisoned; by default random-selection, or the attack's own.",
            autocompletion=names_of("selection"),
        ),
    ] = None
    poison_rate: Annotated[
        float | None,
        Flag(help="Share of the data to poison if below 1, else the number of examples."),
    ] = None
    test_trigger: Annotated[
        str | None,
        Flag(
            help="Another trigger for --trap, as an adaptive attacker uses.",
            autocompletion=names_of("trigger"),
        ),
    ] = None
    cover_trigger: Annotated[
        str | None,
        Flag(
            help="Another trigger for cover examples, which keep their label.",
            autocompletion=names_of("trigger"),
        ),
    ] = None
    set: Annotated[list[str] | None, Flag(help="PART.FIELD=VALUE, any number of times.")] = None


@dataclass(frozen=True)
class PoisonData:
    """Poison a labelled data set, to try a defence on it.

    Either by an attack of the literature, --attack wanet, or by parts: --trigger patch-trigger,
    with a goal and a selection. Settings of the parts are given as --set trigger.size=3
    --set goal.target=NAME --set selection.cover=0.01; `mithridate methods` lists all of them. A
    trigger that must learn first learns from the data.

    Writes the poisoned set to OUT/data in the format of the input, and the truth beside it: which
    examples were changed in truth.csv, the attack in attack.json.
    """

    path: Annotated[
        str, typer.Argument(help="A folder, a file or a named set; cifar10:test names its split.")
    ]
    out: Annotated[Path, Flag(help="A new folder for the poisoned set and the truth.")]
    asked: WhichAttack = field(default_factory=WhichAttack)
    trap: Annotated[
        str | None, Flag(help="Test data to write with the trigger on, to OUT/trap.")
    ] = None
    computing: HowToComputeLong = field(default_factory=HowToComputeLong)
    reading: HowToRead = field(default_factory=HowToRead)
    force: Annotated[bool, Flag("--force", help="Replace an earlier poisoned set in OUT.")] = False
