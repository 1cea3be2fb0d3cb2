"""Which defences may take part: none that is told, or reaches for, what only the attacker knows."""

from __future__ import annotations

import ast
import dataclasses
import inspect
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


def admit(defence: Method) -> None:
    """Refuse a defence that peeks; raises NotDone, "skipped", with the reason.

    A setting may not be named after a secret, and the file of a defence may import neither the
    truth nor the attackers nor the referee. Python cannot lock its memory: what reaches for the
    truth by other ways (the stack, the store's files) is found by reading, as these are.
    """
    names = {f.name for f in dataclasses.fields(cast(Any, defence))}
    secrets = sorted(names & SECRETS)
    if secrets:
        raise NotDone("skipped", f"refused: {defence.name()} asks for {secrets[0]!r}, a secret")
    source = inspect.getsourcefile(type(defence))
    reached = _reached(Path(source)) if source else []
    if reached and not type(defence).__module__.startswith(CLOSED):
        raise NotDone("skipped", f"refused: {defence.name()} imports {reached[0]}")


def _reached(file: Path) -> list[str]:
    """What a file names of the truth, the stack, or a closed package."""
    found = []
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(CLOSED):
            found.append(str(node.module))
        elif isinstance(node, ast.ImportFrom):
            found += [a.name for a in node.names if a.name == "Truth"]
        elif isinstance(node, ast.Import):
            found += [a.name for a in node.names if a.name.startswith((*CLOSED, "gc"))]
        elif isinstance(node, ast.Attribute) and node.attr in ("Truth", "_getframe", "get_objects"):
            found.append(node.attr)
    return found
