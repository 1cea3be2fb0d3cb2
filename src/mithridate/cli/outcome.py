"""The folder that `train` and `repair` write, and what they say at the end.

Axes: n trusted examples that were set apart.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from mithridate.cli.answer import print_places
from mithridate.cli.terminal import command_line, say
from mithridate.core.errors import DataError
from mithridate.core.spelling import option
from mithridate.pipelines import kept_network
from mithridate.pipelines.weights_place import WeightsPlace
from mithridate.report.card import SCHEMA, NetworkWork, write_card
from mithridate.report.quoting import shorten, spell_invisible

MARK = "card.json"
"""Written last: a folder that holds it is one of ours, and complete."""


def check(out: Path, inputs: Sequence[Path], force: bool) -> None:
    """Refuse at once, and not after the work, to write over what is not ours.

    Only what this program left there may be in the way: unfinished work, and with `force` an
    earlier result, which stays until the new one is there.
    Raises DataError.
    """
    _keep_inputs(out, inputs)
    if out.exists() and not out.is_dir():
        raise DataError(f"{str(out)!r}: expected a folder, found a file")
    if not out.exists() or all(path.name.startswith("unfinished-") for path in out.iterdir()):
        return
    if not ours(out):
        raise DataError(
            f"{str(out)!r} holds something that is no result of train or repair; choose another "
            "folder for --out"
        )
    if not force:
        raise DataError(f"{str(out)!r} holds a result already; --force replaces it")


def _keep_inputs(out: Path, inputs: Sequence[Path]) -> None:
    """Raise DataError where the folder holds something that is to be read."""
    place = out.resolve()
    for each in inputs:
        origin = each.resolve()
        if each.exists() and (origin == place or place in origin.parents):
            raise DataError(
                f"{str(out)!r} holds {str(each)!r}, which is to be read; choose another folder "
                "for --out"
            )


def ours(out: Path) -> bool:
    """Tell whether a folder holds what `write` has written."""
    try:
        mark: Any = json.loads((out / MARK).read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(mark, dict) and mark.get("schema") == SCHEMA


def write(
    model: nn.Module, kept: kept_network.Note, work: NetworkWork, out: Path, seed: int,
    place: WeightsPlace | None = None,
) -> None:  # fmt: skip
    """Write the network and its card, each file whole or not at all, and say what is known.

    Args:
        model: The network.
        kept: What its file says of it.
        work: What was done.
        out: The folder.
        seed: Of everything that was drawn at random.
        place: Where its weights came from, so that they go back under the names that they had.
    """
    written = kept_network.save(model, out / "model.safetensors", kept, place)
    if len(written) == 1:
        (out / "model.pt").unlink(missing_ok=True)  # of an earlier result
    digest = hashlib.sha256((out / "model.safetensors").read_bytes()).hexdigest()
    content = write_card(work, out, sha256=digest, command=command_line(), seed=seed)
    for sentence in content["done"]:
        say(spell_invisible(sentence))
    for sentence in damage_told(content):
        say(sentence)
    for number, scan in enumerate(content["scans"]):
        whose = "" if work.verb == "train" else (" before", " by the repaired network")[number]
        why = f": {spell_invisible(scan['why'])}" if scan["why"] else ""
        say(f"Verdict{whose}: {scan['answer']}{why}")
    say("\nWhat remains unknown:")
    for sentence in content["unknown"]:
        say(f"- {spell_invisible(sentence)}")
    print_places([*written, out / "card.html", out / MARK])


def damage_told(figures: dict[str, Any]) -> list[str]:
    """Give the figures of the damage in words; nothing where it was not measured."""
    damage = figures["damage"]
    if damage is None:
        return []
    worst, was = damage["worst"], damage["before"]
    before = f"{spelled(was)} before, " if was else ""
    worst_before = f"{spelled(worst['before'])} before, " if was else ""
    told = [
        f"Accuracy on {damage['after']['n']:,} trusted examples set apart: "
        f"{before}{spelled(damage['after'])} now",
        f"Worst class, {shorten(spell_invisible(worst['name']), 40)}: "
        f"{worst_before}{spelled(worst['after'])} now",
    ]
    if was:
        told.append(f"Accuracy lost, in points: {points(damage['loss'])}")
        told.append(f"Called otherwise than before: {spelled(damage['changed'])}")
    if figures["undone"]:
        told.append(undone_told(figures))
    elif damage["destroyed"]:
        told.append("The network was badly damaged: it is of little use, with or without backdoor")
    return told


def undone_told(figures: dict[str, Any]) -> str:
    """Say that a repair was undone, and what else to try."""
    return (
        f"NOT REPAIRED: that is more than {option('max_loss', figures['max_loss'])} allows, so the "
        "weights that were written are the old ones, with whatever they hold. Trust more examples, "
        "take another repair or milder settings, or allow more"
    )


def points(interval: dict[str, Any]) -> str:
    """Spell a fall of the accuracy and its interval in points; a rise is negative."""
    value, low, high = (100 * interval[key] for key in ("value", "low", "high"))
    return f"{value:.1f} ({low:.1f} to {high:.1f})".replace("-0.0", "0.0")


def spelled(interval: dict[str, Any]) -> str:
    """Spell a share and its interval in percent."""
    value, low, high = (100 * interval[key] for key in ("value", "low", "high"))
    return f"{value:.1f} % ({low:.1f} to {high:.1f})"
