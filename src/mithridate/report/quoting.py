"""How hostile names and texts are shown: every character that could hide or act is spelled out."""

from __future__ import annotations

FORMULAS = "=+-@＝＋－＠"  # noqa: RUF001 - spreadsheets read the full-width forms too


def spell_invisible(text: str) -> str:
    r"""Spell out what a reader cannot see, e.g. a line break, a null, half a surrogate pair.

    Characters that change the direction of writing, have no width or control a terminal come out as
    an escape such as `\u202e`; everything printable stays.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def spell_surrogates(text: str) -> str:
    """Spell out halves of surrogate pairs, which file names can hold and UTF-8 cannot."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def cell(text: str) -> str:
    """Give a text as a cell of a spreadsheet that cannot be taken for a formula.

    A text that begins like a formula gets an apostrophe before it.
    """
    shown = spell_invisible(text)
    return f"'{shown}" if shown.lstrip()[:1] in tuple(FORMULAS) else shown


def shorten(text: str, limit: int = 80) -> str:
    """Leave out the middle of a long text, so that at most `limit` characters remain."""
    if len(text) <= limit:
        return text
    tail = limit // 3
    return f"{text[: limit - tail - 1]}…{text[-tail:]}"
