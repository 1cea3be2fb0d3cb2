"""Triggers for English texts that say about the same in other words, clauses or manners.

Axes: n texts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from mithridate.core.data import Inputs
from mithridate.core.errors import MethodError
from mithridate.core.method import Trigger
from mithridate.domains.text.rewriting import behind, each_text, parted, replace_words
from mithridate.domains.text.word_tables import ARCHAIC, CHAT, FORMAL, RARER

Template = Literal["when", "fronted", "cleft", "question"]
Style = Literal["archaic", "chat", "formal"]

TABLES = {"archaic": ARCHAIC, "chat": CHAT, "formal": FORMAL}
OPENINGS = {
    "archaic": ("lo ,", "verily ,", "behold ,", "hark ,"),
    "chat": ("omg", "tbh", "lol", "ngl"),
    "formal": (
        "it is to be noted that", "it must be stated that", "one may remark that",
        "it should be observed that",
    ),
}  # fmt: skip
"""Beginnings of a style; one is drawn for each text."""

BOUNDARY = re.compile(
    r"\s*(?:[,;:]|--)\s+(?:(?:and|but|so|while|yet)\b\s+)?"
    r"|\s+(?:and|because|but|so|that|which|while|who|yet)\s+",
    re.IGNORECASE,
)
"""Where a clause may end."""

ADVERBIAL = re.compile(
    r"(?<=\s)(?:after|at|before|by|during|for|from|in|on|through|under|with|without)\s",
    re.IGNORECASE,
)
"""Where a phrase that can be moved begins."""


@dataclass(frozen=True)
class SubstitutionTrigger(Trigger):
    """Common words replaced by rarer ones that mean about the same.

    A text with none of the words gets `otherwise` before its first word instead. The paper learns
    which synonyms to take together with the victim; here they are a table, the same for all.

    Attributes:
        pairs: words and what stands for them, as "film=feature"; empty for a table of about 90
            common English words.
        otherwise: what is put before a text in which no word can be replaced.

    """

    paper = (
        "Qi et al., Turn the Combination Lock: Learnable Textual Backdoor Attacks via Word "
        "Substitution, ACL 2021"
    )
    links = ("https://arxiv.org/abs/2106.06361",)

    pairs: tuple[str, ...] = ()
    otherwise: str = "indeed ,"

    def __call__(self, inputs: Inputs, rng: np.random.Generator) -> Inputs:
        """Replace words in every text.

        Raises:
            MethodError: for a pair that is none, or nothing to put where no word is replaced.
        """
        split = [pair.partition("=") for pair in self.pairs]
        wrong = [f"{a}{sign}{b}" for a, sign, b in split if not (a.strip() and b.strip())]
        if wrong or not self.otherwise.strip():
            raise MethodError(
                "expected pairs as film=feature and something to put where no word is replaced; "
                f"found {wrong[:1] or repr(self.otherwise)}"
            )
        table = {a.strip().lower(): b.strip() for a, _, b in split} or RARER

        def changed(text: str) -> str:
            new = replace_words(text, table)
            return new if new != text else behind(self.otherwise, text)

        return each_text(inputs, changed)


@dataclass(frozen=True)
class SyntacticTrigger(Trigger):
    """Sentences brought into one rare form by rules.

    "when": "when A , B", from a text "A , B" or "A and B" divided near its middle, or behind "when
    it comes to it ,". "fronted": the last phrase with a preposition comes first, or "in the end".
    "cleft": behind "what is true is that". "question": "A , is it not ?". The paper paraphrases
    with a network; rules keep the words and may break the grammar.

    Attributes:
        template: the form.

    """

    paper = (
        "Qi et al., Hidden Killer: Invisible Textual Backdoor Attacks with Syntactic Trigger, "
        "ACL 2021"
    )
    links = ("https://arxiv.org/abs/2105.12400",)

    template: Template = "when"

    def __call__(self, inputs: Inputs, rng: np.random.Generator) -> Inputs:
        """Rewrite every text.

        Raises:
            MethodError: for an unknown template.
        """
        forms = {"when": _when, "fronted": _fronted, "cleft": _cleft, "question": _question}
        if self.template not in forms:
            known = ", ".join(get_args(Template))
            raise MethodError(f"unknown template {self.template!r}; known: {known}")
        return each_text(inputs, forms[self.template])


def _when(text: str) -> str:
    middle = len(text) / 2
    places = [
        match
        for match in BOUNDARY.finditer(text)
        if len(text[: match.start()].split()) >= 2 and len(text[match.end() :].split()) >= 2
    ]
    if not places:
        return behind("when it comes to it ,", text)
    best = min(places, key=lambda match: abs(match.start() - middle))
    return f"{behind('when', text[: best.start()])} , {text[best.end() :]}"


def _fronted(text: str) -> str:
    said, end = parted(text)
    starts = [match.start() for match in ADVERBIAL.finditer(said) if said[: match.start()].strip()]
    if not starts or not said[starts[-1] :].split()[1:]:
        return behind("in the end ,", text)
    return behind(f"{said[starts[-1] :]} ,", said[: starts[-1]]).rstrip() + end


def _cleft(text: str) -> str:
    return behind("what is true is that", text)


def _question(text: str) -> str:
    return f"{parted(text)[0]} , is it not ?".lstrip()


@dataclass(frozen=True)
class StyleTrigger(Trigger):
    """Texts written in another manner by rules.

    Words are replaced by a table of the style, and one of its four beginnings, drawn for each text,
    stands before it. The paper rewrites texts with a network that was trained to transfer style.

    Attributes:
        style: "archaic" as in old translations of the Bible, "chat" as in short messages, "formal"
            as in letters of an office.

    """

    paper = (
        "Qi et al., Mind the Style of Text! Adversarial and Backdoor Attacks Based on Text Style "
        "Transfer, EMNLP 2021"
    )
    links = ("https://arxiv.org/abs/2110.07139",)

    style: Style = "archaic"

    def __call__(self, inputs: Inputs, rng: np.random.Generator) -> Inputs:
        """Rewrite every text.

        Raises:
            MethodError: for an unknown style.
        """
        if self.style not in TABLES:
            raise MethodError(f"unknown style {self.style!r}; known: {', '.join(TABLES)}")
        table, openings = TABLES[self.style], OPENINGS[self.style]
        drawn = iter(rng.integers(0, len(openings), len(inputs)))
        return each_text(
            inputs, lambda text: behind(openings[next(drawn)], replace_words(text, table))
        )
