"""`mithridate scan model FILE`: the flags; the work is in work/scan_model.py."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from mithridate.cli.flags import Classes, Mean, Network, Part, Std

Flag = typer.Option


@dataclass(frozen=True)
class ScanModel:
    """Say whether a trained model carries a backdoor, in the precision in which it is deployed.

    The model is compared with clean networks of the same form, which are trained here on a part of
    the trusted examples, or are yours. Writes report.html and report.json.
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
    out: Annotated[Path, Flag(help="Where the report goes.")] = Path("mithridate-report")
    precision: Annotated[
        str, Flag(help="fp32, bf16, int8-dynamic, int8-static, int8-weights or int4-weights.")
    ] = "fp32"
    scanners: Annotated[
        str, Flag(help="Names with commas between them; see `mithridate methods scanner`.")
    ] = ""
    references: Annotated[int, Flag(help="How many clean networks to train.")] = 19
    clean_models: Annotated[
        Path | None, Flag(help="A folder of weights of clean networks, instead of training any.")
    ] = None
    clean_scores: Annotated[
        str | None,
        Flag(help="The report.json of an earlier scan, for its clean networks; or `digits`."),
    ] = None
    inputs: Annotated[
        str | None, Flag(help="Inputs that arrived, to be watched by guards: a path or a set.")
    ] = None
    guards: Annotated[str, Flag(help="Who watches them; see `mithridate methods detector`.")] = (
        "strip,model-mutation"
    )
    level: Annotated[
        float, Flag(help='Probability of "flagged" for a clean model like the references.')
    ] = 0.05
    count: Annotated[
        int | None, Flag(help="Use so many of the trusted examples, drawn at random.")
    ] = None
    apart: Annotated[
        float, Flag(help="Share of the trusted examples that scanners see; the rest trains.")
    ] = 0.3
    epochs: Annotated[int | None, Flag(help="Of the references; by default enough for n.")] = None
    mean: Mean = ""
    std: Std = ""
    network: Network = ""
    classes: Classes = ""
    part: Part = ""
    seed: Annotated[int, Flag(help="Of everything that is drawn at random.")] = 0
    device: Annotated[str, Flag(help="auto, cpu or cuda.")] = "auto"
    split: Annotated[str | None, Flag(help="train, test or validation, of several.")] = None
    size: Annotated[int | None, Flag(help="Resize images to size x size.")] = None
    label: Annotated[str | None, Flag(help="The column of labels.")] = None
    content: Annotated[str | None, Flag(help="The column of images or texts.")] = None
    yes: Annotated[bool, Flag("--yes", "-y", help="Do not ask before a long scan.")] = False
