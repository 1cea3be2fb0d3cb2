"""The attacks on texts that the literature knows by name, with the numbers of their papers."""

from __future__ import annotations

from mithridate.core.named import NamedAttack
from mithridate.domains.text.character_triggers import (
    HomoglyphTrigger,
    TypoTrigger,
    UnseenTrigger,
)
from mithridate.domains.text.rewriting_triggers import (
    StyleTrigger,
    SubstitutionTrigger,
    SyntacticTrigger,
)
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
    NamedAttack(
        "homoglyphs", "Letters replaced by ones of other alphabets that look the same.",
        HomoglyphTrigger(), known_as=("homographs",),
    ),
    NamedAttack(
        "unseen-characters", "A character without ink somewhere in the text.", UnseenTrigger(),
        known_as=("zero-width",),
    ),
    NamedAttack(
        "typos", "The first words of the text misspelt in one way.", TypoTrigger(),
        known_as=("badnl-characters",),
    ),
    NamedAttack(
        "word-substitution", "Common words replaced by rarer ones of a table.",
        SubstitutionTrigger(), poison_rate=0.1,
    ),
    NamedAttack(
        "hidden-killer", "The text brought into one rare syntactic form, here by rules.",
        SyntacticTrigger(), poison_rate=0.2, known_as=("synbkd",),
    ),
    NamedAttack(
        "style-bkd", "The text rewritten in another style, here by rules.", StyleTrigger(),
        poison_rate=0.2, known_as=("style-backdoor",),
    ),
)  # fmt: skip
