"""`mithridate demo`: the flags; the work is in work/demo.py."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer


@dataclass(frozen=True)
class Demo:
    """Poison, scan, clean and retrain on the digits of scikit-learn; no download, a minute or two.

    BadNets on a known share of 1,000 digits, beside a clean twin; 400 trusted digits; one table
    and one report.
    """

    out: Annotated[Path, typer.Option(help="Where the report goes.")] = Path("mithridate-demo")
    seeds: Annotated[int, typer.Option(min=1, help="How many times, each with another seed.")] = 3
