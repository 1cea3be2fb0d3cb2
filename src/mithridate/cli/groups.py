"""Flags that several verbs share: a request holds a group of them as one field.

Every group says in one place what its flags mean and gives them their defaults.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated, Any

import typer

from mithridate.core.errors import MethodError

Flag = typer.Option


@dataclass(frozen=True)
class HowToRead:
    """How files of data are read; a named set needs none of it."""

    split: Annotated[
        str | None,
        Flag(help="Which part of data that has several is read: train, test or validation."),
    ] = None
    size: Annotated[
        int | None,
        Flag(help="Images are resized to this many pixels in height and width; by default not."),
    ] = None
    label: Annotated[
        str | None, Flag(help="The column that holds the labels; by default it is sought by name.")
    ] = None
    content: Annotated[
        str | None,
        Flag(
            help="The column that holds the images or texts; by default it is sought by name. "
            "Columns of texts with commas between them, title,body, are joined; columns of numbers "
            "and categories, port,bytes, are read as a table of these alone."
        ),
    ] = None
    delimiter: Annotated[
        str | None,
        Flag(help="What stands between the cells of a CSV file, such as ; or tab; else found."),
    ] = None
    header: Annotated[
        bool | None,
        Flag("--header/--no-header", help="Whether the first line of a CSV names its columns."),
    ] = None
    columns: Annotated[
        str | None,
        Flag(help="The names of the columns of a CSV without a header, such as id,label,text."),
    ] = None
    hidden_label: Annotated[
        str | None,
        Flag(
            help="The label that means unknown, such as -1; its rows are left out. none: no such."
        ),
    ] = None

    categories: Annotated[
        str | None,
        Flag(help="Columns of a table that hold categories though they look like numbers: a,b."),
    ] = None
    without: Annotated[
        str | None, Flag(help="Columns of a table that are left out, such as ids or answers: a,b.")
    ] = None

    def options(self) -> dict[str, Any]:
        """Give them by the names that `domains.formats.read` has for them, without the split."""
        names = [field.name for field in fields(self) if field.name != "split"]
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class HowToReadOn(HowToRead):
    """How files of data are read by a verb that can leave out what is broken."""

    keep_going: Annotated[
        bool,
        Flag("--keep-going", help="Examples that are broken are left out and listed, not an end."),
    ] = False


Seed = Annotated[
    int, Flag(help="The seed of everything that is drawn at random; the same seed draws the same.")
]
Device = Annotated[
    str, Flag(help="Where to compute: cpu, cuda, or auto for the first GPU if there is one.")
]
Yes = Annotated[
    bool, Flag("--yes", "-y", help="Work of more than ten minutes begins without a question.")
]


Flip = Annotated[
    bool | None,
    Flag(
        "--flip/--no-flip",
        help="Whether images may be mirrored while training, so that they must keep their label "
        "then; by default as the data set asks for.",
    ),
]


@dataclass(frozen=True)
class HowToCompute:
    """Where something is computed, and from which seed."""

    seed: Seed = 0
    device: Device = "auto"


@dataclass(frozen=True)
class HowToComputeLong(HowToCompute):
    """Where something is computed that may take long."""

    yes: Yes = False


@dataclass(frozen=True)
class WhichNetwork:
    """What network a file of weights is for, and how inputs enter it."""

    network: Annotated[
        str,
        Flag(
            help="The network, where the file does not say it: a name of the domain's networks, "
            "timm:NAME or python:FILE.py:FUNCTION."
        ),
    ] = ""
    part: Annotated[
        str,
        Flag(
            help="Which network of a checkpoint that holds several is taken, such as netC, ema or "
            "student; by default the one that fits."
        ),
    ] = ""
    classes: Annotated[
        str,
        Flag(
            help="The classes in the order of the network's outputs, where the file does not say "
            "it: names with commas between them, or a file with one on each line."
        ),
    ] = ""
    mean: Annotated[
        str,
        Flag(
            help="Numbers with commas between them, such as 0.5,0.4,0.3: a network from elsewhere "
            "takes (x / 255 - mean) / std."
        ),
    ] = ""
    std: Annotated[
        str,
        Flag(help="See --mean; without both an ONNX model takes bytes as they are."),
    ] = ""
    tree_columns: Annotated[
        str,
        Flag(
            help="The columns that boosted trees read, in their order, where the file does not "
            "name them: names with commas between them, a file with one on each line, or `data` "
            "for those of the data."
        ),
    ] = ""


@dataclass(frozen=True)
class HowToTrain:
    """How long a network is trained, and how its examples vary."""

    epochs: Annotated[
        int | None,
        Flag(
            help="How many epochs the training takes; by default as many as the number of examples "
            "asks for."
        ),
    ] = None
    flip: Flip = None

    def __post_init__(self) -> None:
        if self.epochs is not None and self.epochs < 1:
            raise MethodError(f"expected at least 1 epoch, found {self.epochs}")
