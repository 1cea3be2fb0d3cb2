"""How a class is called where people name it: in kebab case. Nothing heavy is imported here."""

from __future__ import annotations

import re

LETTER = r"(?<=[a-z0-9])(?=[A-Z])"
ACRONYM = r"(?<=[A-Z]{2})(?=[A-Z][a-z])"
"""Where a part of the name of a class begins: after a small letter, and after an acronym."""


def kebab(name: str) -> str:
    """Spell the name of a class: ActivationClustering is activation-clustering."""
    return re.sub(f"{LETTER}|{ACRONYM}", "-", name).lower()


def earliest(name: str) -> str:
    """Spell it by the first rule, which saw no end of an acronym; records and scripts hold it."""
    return re.sub(LETTER, "-", name).lower()
