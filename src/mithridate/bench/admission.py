"""Which defences may take part: none that is told, or reaches for, what only the attacker knows."""

from __future__ import annotations

import ast
import dataclasses
import inspect
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, cast

from mithridate.bench.step import NotDone
from mithridate.core.method import Method

SECRETS = frozenset({
    "poison_rate", "poisoning_rate", "rate_poisoned", "n_poison", "target", "target_label",
    "target_class", "source_class", "trigger", "attack", "truth", "poisoned",
})  # fmt: skip
"""Names of settings that only an attacker could fill in."""

CLOSED = ("mithridate.attacks", "mithridate.bench")
"""Packages that hold the truth or the attacker."""

REACHING = frozenset({
    "Truth", "_getframe", "get_objects", "get_referrers", "currentframe", "gc", "inspect",
})  # fmt: skip
"""Names by which the truth could be found in memory."""


def admit(defence: Method) -> None:
    """Refuse a defence that peeks; raises NotDone, "skipped", with the reason and what to do.

    A setting may not be named after a secret, and the file of a defence may import neither the
    truth nor the attackers nor the referee; the same holds for methods among its settings. Python
    cannot lock its memory: what reaches for the truth by other ways is found by reading, as these
    are.
    """
    for part in _methods(defence):
        names = {f.name for f in dataclasses.fields(cast(Any, part))}
        secrets = sorted(names & SECRETS)
        if secrets:
            raise NotDone(
                "skipped",
                f"refused: {part.name()} asks for {secrets[0]!r}, which only an attacker knows; "
                "rename or drop the setting",
            )
        source = inspect.getsourcefile(type(part))
        reached = _find_reaches(Path(source)) if source else []
        if reached and not type(part).__module__.startswith(CLOSED):
            raise NotDone(
                "skipped",
                f"refused: {part.name()} imports {reached[0]}; put the defence into a file of its "
                "own that imports neither the truth nor attackers nor the referee",
            )


def _methods(value: Any) -> Iterator[Method]:
    """A method and the methods inside it."""
    if isinstance(value, Method):
        yield value
    inside: Iterable[Any] = ()
    if isinstance(value, (tuple, list)):
        inside = value
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        inside = (getattr(value, f.name) for f in dataclasses.fields(value))
    for item in inside:
        yield from _methods(item)


def _find_reaches(file: Path) -> list[str]:
    """What a file names of the truth, the stack, or a closed package."""
    reasons: list[str] = []
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom):
            every = [f"{node.module}.{alias.name}" for alias in node.names]
            reasons += [str(node.module) for name in every if name.startswith(CLOSED)]
            reasons += [alias.name for alias in node.names if alias.name in REACHING]
            reasons += [str(node.module)] if node.module in REACHING else []
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
            reasons += [n for n in names if n.startswith(CLOSED) or n in REACHING]
        elif isinstance(node, ast.Attribute) and node.attr in REACHING:
            reasons.append(node.attr)
    return reasons
