"""The attacks on texts that the literature knows by name, with the numbers of their papers."""

from __future__ import annotations

from mithridate.core.named import NamedAttack
from mithridate.domains.text.triggers import SentenceTrigger, WordTrigger

ATTACKS = (
    NamedAttack(
        "badnets-words", "A rare word somewhere in the text.", WordTrigger(),
        known_as=("rare-words", "badnets-text"),
    ),
    NamedAttack(
        "addsent", "A whole sentence somewhere in the text.", SentenceTrigger(),
        known_as=("insertsent", "badnets-sentence"),
    ),
)  # fmt: skip
