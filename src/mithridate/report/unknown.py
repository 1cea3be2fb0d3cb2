"""What remains unknown about a network after it was trained or repaired, in plain sentences."""

from __future__ import annotations

from typing import Any

from mithridate.report.quoting import shorten
from mithridate.trainers.standard import Standard

ANSWERS = {
    "clean": "The scan named nothing. A backdoor that it could not see was learnt all the same.",
    "flagged": (
        "Poisoned examples that the scan did not flag were trained on as they are, and some of "
        "those that it flagged were clean."
    ),
    "cannot judge": "The scan could not judge the data, so what it missed was trained on.",
}


NOTHING_TRIED = (
    "A repair that lowers no accuracy on trusted examples may have removed nothing: no triggered "
    "input was tried, and whether there was a backdoor is not known."
)


def list_unknowns(content: dict[str, Any]) -> list[str]:
    """Say what the record of a card leaves open, the gravest first."""
    told = _of_training(content) if content["verb"] == "train" else _of_repair(content)
    return [*told, *_of_damage(content)]


def _of_training(content: dict[str, Any]) -> list[str]:
    told = ["No triggered input was tried: whether this network holds a backdoor is not known."]
    if content["then"] == "none":
        told.append("No scan was asked for: whether the data hold poison was not looked into.")
    else:
        told.append(ANSWERS[content["scans"][0]["answer"]])
    if content["then"] == "relabel" and content["scans"][0]["flagged"]:
        told.append(
            "The labels that flagged examples were given are predictions of a network that was "
            "trained without them; they may be wrong."
        )
    return told


def _of_repair(content: dict[str, Any]) -> list[str]:
    if content["undone"]:
        return [
            "Nothing was repaired: whatever the given network held is there as before. The damage "
            "shown is that of the repair which was undone."
        ]
    if content["own"]:
        told = [
            "What is left of its own backdoors says what the repair can do, and not that an "
            "unknown one is gone: that may have been learnt longer, or be of another kind."
        ]
    else:
        told = [NOTHING_TRIED]
    told.append(
        "The given network was trained on the trusted examples too, so its accuracy before is "
        "flattered and the damage looks larger than it is."
        if content["network"]["saw"] == "both"
        else "Trusted examples that the given network was trained on would flatter its accuracy "
        "before, and make the damage look larger than it is."
    )
    if not content["scans"]:
        told.append(
            "No suspects were given, so whether some examples stand apart for the repaired network "
            "was not asked."
        )
        return told
    told.append(
        "The two verdicts say how the same data look to two networks. The data have not changed, "
        "and “clean” after a repair does not make them clean."
    )
    if any(scan["answer"] == "cannot judge" for scan in content["scans"]):
        told.append("Where a verdict is “cannot judge”, nothing follows about the suspects.")
    return told


def _of_damage(content: dict[str, Any]) -> list[str]:
    damage = content["damage"]
    if damage is None:
        return ["No trusted examples were given, so damage was not measured."]
    told = []
    if content["method"]["name"] == Standard.name() and content["then"] == "none":
        told.append("Ordinary training does nothing against backdoors.")
    elif damage["before"] is None:
        told.append(
            "Nothing was trained in the ordinary way beside it, so what this training costs in "
            "accuracy is not known."
        )
    elif damage["lost"]["high"] > 0:
        told.append(
            f"Of inputs like the trusted ones, up to {100 * damage['lost']['high']:.1f} % may have "
            f"been called rightly before and wrongly now: with {damage['lost']['n']:,} examples no "
            "less can be said."
        )
    empty = [each["name"] for each in damage["classes"] if not each["after"]["n"]]
    if empty:
        told.append(
            f"No trusted example of {len(empty)} of {len(damage['classes'])} classes was set apart "
            f"to measure by, e.g. “{shorten(empty[0], 40)}”: damage there is not known."
        )
    told.append(
        "The trusted examples are taken at their word. If they are poisoned or come from "
        "elsewhere, the figures are about them and not about what the network will meet."
    )
    return told
