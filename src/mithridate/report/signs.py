"""Simple features as evidence, in words: where a feature occurs, and under which labels."""

from __future__ import annotations

from typing import Any

from mithridate.core.data import Dataset
from mithridate.pipelines.finding import DataScan, Sign
from mithridate.report.quoting import shorten, spell_invisible, spell_surrogates

NAME, CLASS = 120, 40
"""Characters shown of the name of a feature and of a class."""


def in_words(sign: Sign, data: Dataset, trusted: int) -> str:
    """Say how many suspects carry a feature, of which class, and how many of the trusted."""
    name = shorten(spell_invisible(data.classes[sign.label]), CLASS)
    total, inside = sum(sign.suspects), sign.suspects[sign.label]
    share = f"all of class {name}" if inside == total else f"{inside:,} of them of class {name}"
    told = f"{shorten(spell_invisible(sign.name), NAME)}: in {total:,} suspects, {share}"
    return f"{told}; in {sum(sign.trusted):,} of {trusted:,} trusted examples" if trusted else told


def signs_of(scan: DataScan, data: Dataset) -> list[dict[str, Any]]:
    """Give the signs of a scan as plain values, the strongest first.

    suspects, trusted: carriers of each class, by its position.
    """
    return [
        {
            "name": spell_surrogates(sign.name),
            "class": spell_surrogates(data.classes[sign.label]),
            "strength": float(f"{sign.strength:.6g}"),
            "suspects": list(sign.suspects),
            "trusted": list(sign.trusted),
        }
        for sign in scan.signs
    ]
