"""What a scan checks before it answers: who is on both sides, and whether both are of one source.

Axes: n suspect examples.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mithridate.pipelines.drawing import CheckedDraw
from mithridate.pipelines.exchange import Difference
from mithridate.pipelines.finding import DataScan
from mithridate.pipelines.overlap import Overlap
from mithridate.report.quoting import shorten, spell_surrogates
from mithridate.stats.intervals import proportion

NAMED = 20
"""Examples that are named in a sentence or a record."""

OFTEN = 10
"""How often one example must occur for that to be said."""


def sentences(overlap: Overlap | None, names: Sequence[str]) -> list[str]:
    """Say in words what was found; nothing where every content is on one side and occurs once.

    Args:
        overlap: What was found, None where none was sought.
        names: Of the n suspects.

    """
    if overlap is None:
        return []
    return [*_common(overlap), *_relabelled(overlap, names), *_repeated(overlap)]


def describe_checked(checked: CheckedDraw | None) -> str:
    """Say what became of the examples that were drawn for somebody to check.

    Args:
        checked: None where they were drawn from other data.

    """
    if checked is None:
        return "note: the trusted examples were drawn from other data than these"
    gone = len(checked.rejected)
    kept = f"{checked.drawn - gone:,} of {checked.drawn:,} drawn examples were kept as checked"
    if not gone:
        return kept
    few = ", ".join(shorten(name, 40) for name in checked.rejected[:3])
    share = proportion(gone, checked.drawn)
    return (
        f"{kept}; {gone:,} are gone or were changed, so somebody rejected them ({few}"
        f"{', ...' if gone > 3 else ''}): they are not trusted and stay among the suspects, of "
        f"which {share.low:.1%} to {share.high:.1%} are of their kind (95 % interval)"
    )


def drawn(checked: CheckedDraw | None) -> dict[str, Any] | None:
    """Give what became of the drawn examples as plain values for a record."""
    if checked is None:
        return None
    rejected = [spell_surrogates(name) for name in checked.rejected]
    return {"examples": checked.drawn, "rejected": rejected}


def checked_first(scan: DataScan, names: Sequence[str]) -> list[str]:
    """Say all that was found before suspects and trusted examples were compared."""
    return [
        *sentences(scan.overlap, names),
        *(
            each.told() + ("" if each.is_large else "; too little to refuse an answer for it")
            for each in scan.differ
        ),
    ]


def apart(differ: Sequence[Difference]) -> list[dict[str, Any]]:
    """Give the properties that differ as plain values for a record."""
    return [
        {
            "property": each.name,
            "auc": round(each.auc, 4),
            "p_value": each.p_value,
            "large": each.is_large,
        }
        for each in differ
    ]


def figures(overlap: Overlap | None) -> dict[str, Any] | None:
    """Give what was found as plain values for a record; positions count the suspects from 0."""
    if overlap is None:
        return None
    return {
        "exact": overlap.exact,
        "near": overlap.near,
        "natural": overlap.natural,
        "vouched": overlap.vouched.nonzero().flatten().tolist(),
        "apart": overlap.apart.nonzero().flatten().tolist(),
        "relabelled": overlap.relabelled.tolist(),
        "repeats": overlap.repeats,
        "most": overlap.most,
        "most_class": spell_surrogates(overlap.most_class),
    }


def _common(overlap: Overlap) -> list[str]:
    copies = overlap.exact + overlap.near
    if not copies:
        return []
    near = f", {overlap.near:,} of them encoded or written anew" if overlap.near else ""
    if overlap.natural:
        apart = int(overlap.apart.sum())
        return [
            f"{copies:,} trusted examples have the content of a suspect{near}, about as many as "
            f"recur among the suspects themselves: what is on both sides ({apart:,} suspects) was "
            "not compared and is not named"
        ]
    vouched = int(overlap.vouched.sum())
    return [
        f"{copies:,} trusted examples are copies of suspects{near}: those {vouched:,} suspects "
        "count as trusted and the others were compared with them; the answer is about these others "
        "and holds if somebody has checked the copies"
    ]


def _relabelled(overlap: Overlap, names: Sequence[str]) -> list[str]:
    rows = overlap.relabelled.tolist()
    if not rows:
        return []
    few = ", ".join(shorten(names[row], 40) for row in rows[:3])
    more = ", ..." if len(rows) > 3 else ""
    return [
        f"{len(rows):,} suspects have the content of a trusted example and another label; look at "
        f"them first: {few}{more}"
    ]


def _repeated(overlap: Overlap) -> list[str]:
    said = []
    if overlap.repeats:
        said.append(
            f"{overlap.repeats:,} suspects repeat another one: a content counts once, however "
            "often it occurs"
        )
    if overlap.most >= OFTEN:
        said.append(
            f"one example of class {shorten(overlap.most_class, 40)!r} occurs {overlap.most:,} "
            "times; as one content it cannot be told from chance, so look at it"
        )
    return said
