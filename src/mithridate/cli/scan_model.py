"""`mithridate scan model FILE`: the flags; the work is in work/scan_model.py."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from mithridate.cli.groups import HowToComputeLong, HowToRead, WhichNetwork

Flag = typer.Option


@dataclass(frozen=True)
class HowToJudge:
    """Who scans the model, and how strictly."""

    precision: Annotated[
        str,
        Flag(
            help="The precision in which the model is deployed: fp32, bf16, int8-dynamic, "
            "int8-static, int8-weights or int4-weights."
        ),
    ] = "fp32"
    scanners: Annotated[
        str, Flag(help="Names with commas between them; see `mithridate methods scanner`.")
    ] = ""
    level: Annotated[
        float,
        Flag(
            help='The probability, between 0 and 1, of the verdict "flagged" for a clean model '
            "like the references."
        ),
    ] = 0.05
    quick: Annotated[
        bool,
        Flag(
            "--quick",
            help="Ask the two scanners that see most for their time; how often such scans "
            "were right is said.",
        ),
    ] = False


@dataclass(frozen=True)
class WhichReferences:
    """Which clean networks the model is compared with."""

    references: Annotated[int, Flag(help="How many clean networks are trained, at least 2.")] = 19
    clean_models: Annotated[
        Path | None, Flag(help="A folder of weights of clean networks, instead of training any.")
    ] = None
    clean_scores: Annotated[
        str | None,
        Flag(
            help="The population.json or report.json of an earlier scan, for its clean networks; "
            "or `digits`, which comes with the library."
        ),
    ] = None
    apart: Annotated[
        float,
        Flag(
            help="The share, between 0 and 1, of the trusted examples that scanners see; the "
            "references are trained on the rest."
        ),
    ] = 0.3
    epochs: Annotated[
        int | None,
        Flag(
            help="How many epochs each reference is trained; by default as many as the number of "
            "examples asks for."
        ),
    ] = None
    varied: Annotated[
        bool,
        Flag(
            "--varied/--one-way",
            help="Whether each reference is trained in a way of its own, for a model from "
            "elsewhere, or all as `mithridate train` does.",
        ),
    ] = True


@dataclass(frozen=True)
class WhatArrived:
    """Inputs that the model was given, and who watches them."""

    inputs: Annotated[
        str | None,
        Flag(help="Inputs that arrived, labelled or not, for guards to watch: a path or a set."),
    ] = None
    guards: Annotated[
        str,
        Flag(help="Names with commas between them; see `mithridate methods detector`."),
    ] = "strip,model-mutation"


@dataclass(frozen=True)
class ScanModel:
    """Say whether a trained model carries a backdoor, in the precision in which it is deployed.

    The model is compared with clean networks of the same form, which are trained here on a part of
    the trusted examples, or are yours. Writes report.html and report.json, and what is known of the
    clean networks to population.json.
    Exit status: 0 clean, 1 flagged, 2 error, 3 cannot judge.
    """

    file: Annotated[
        Path,
        typer.Argument(
            help="Weights as safetensors, .pt, .npz or .h5, ONNX, or a folder of Hugging Face."
        ),
    ]
    data: Annotated[
        str, Flag(help="Examples known to be clean: a path or a named set, e.g. cifar10:test.")
    ]
    count: Annotated[
        int | None,
        Flag(help="Use so many of the trusted examples, drawn at random; by default all."),
    ] = None
    out: Annotated[Path, Flag(help="The folder for the report.")] = Path("mithridate-report")
    judging: HowToJudge = field(default_factory=HowToJudge)
    clean: WhichReferences = field(default_factory=WhichReferences)
    arriving: WhatArrived = field(default_factory=WhatArrived)
    network: WhichNetwork = field(default_factory=WhichNetwork)
    reading: HowToRead = field(default_factory=HowToRead)
    computing: HowToComputeLong = field(default_factory=HowToComputeLong)
