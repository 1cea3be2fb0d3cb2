"""Texts written anew, word by word and clause by clause, by rules and tables.

Axes: n texts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from mithridate.core.data import Inputs
from mithridate.domains.text.words import WORD, check

END = re.compile(r"[\s.!?]*$")
"""What ends a text: its last marks, and white space."""


def each_text(inputs: Inputs, change: Callable[[str], str]) -> Inputs:
    """Change every text object[n] alone; the argument stays as it is."""
    check(inputs)
    changed = inputs.copy()
    for row, text in enumerate(inputs):
        changed[row] = change(text)
    return changed


def replace_words(text: str, table: Mapping[str, str]) -> str:
    """Replace every word that the table names, whatever its case; first capitals are kept.

    Args:
        text: What is written anew; white space and all other words stay.
        table: From lower-case words to what stands for them.
    """

    def other(match: re.Match[str]) -> str:
        word = match.group()
        new = table.get(word.lower())
        return word if new is None else capital(new) if word[0].isupper() else new

    return WORD.sub(other, text)


def capital(text: str) -> str:
    """Write the first letter large."""
    return text[:1].upper() + text[1:]


def behind(opening: str, text: str) -> str:
    """Put an opening before a text, which takes over its first capital."""
    body = text.lstrip()
    first = WORD.match(body)
    word = "" if first is None else first.group()
    large = word[:1].isupper()
    if large and word.partition("'")[0] != "I" and not word[1:].isupper():
        body = body[0].lower() + body[1:]
    return f"{capital(opening) if large else opening} {body}".rstrip(" ")


def parted(text: str) -> tuple[str, str]:
    """Split a text into what it says and what ends it, each as it is written."""
    match = END.search(text)
    assert match is not None  # the pattern matches nothing at all, too
    return text[: match.start()], text[match.start() :]
