"""What share of planted backdoors a scan found: in words, and as plain values for a record."""

from __future__ import annotations

from typing import Any

from mithridate.pipelines.planted import Power, Powers

PLANTED = (
    "planted: known backdoors in copies of the suspects, one for a class, that were scanned in the "
    "same way; other kinds may be found less often"
)


def rows(powers: Powers | None) -> list[tuple[str, str, str, str, str]]:
    """Give kind, amount, examples, score and interval of each; amounts too small for any once."""
    lines, small = [], set()
    for each in powers.measured if powers else ():
        if each.of or each.amount not in small:
            kind = each.kind if each.of else "any"
            lines.append((kind, each.amount.told(), each.carriers, each.score, interval(each)))
        small |= set() if each.of else {each.amount}
    return lines


def interval(power: Power) -> str:
    """Give the exact interval of the share that is found."""
    if not power.of:
        return "-"
    share = power.share
    return f"{100 * share.low:.0f} to {100 * share.high:.0f} %"


def figures(powers: Powers | None) -> dict[str, Any] | None:
    """Give what was measured as plain values for a record; None where nothing was."""
    if powers is None:
        return None
    return {
        "enough": powers.enough,
        "asked": {"share": powers.asked.share, "of": "data"},
        "copies": powers.copies,
        "looks": powers.looks,
        "why_not": powers.why_not,
        "planted": [
            {
                "kind": each.kind,
                "share": each.amount.share,
                "of": "data" if each.amount.of_all else "class",
                "fewest": each.fewest,
                "most": each.most,
                "found": each.hits,
                "tried": each.of,
                "low": round(each.share.low, 4),
                "high": round(each.share.high, 4),
                "without_network": each.quick,
            }
            for each in powers.measured
        ],
    }
