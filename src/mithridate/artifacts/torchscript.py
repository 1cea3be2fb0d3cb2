"""TorchScript archives: programs, which are read as text and as pickles and never loaded here."""

from __future__ import annotations

import re

from mithridate.artifacts.archives import Archive
from mithridate.artifacts.findings import Log
from mithridate.artifacts.torch_files import look_at_script

BUILT_IN = frozenset({"aten", "prim", "prims", "quantized", "mkldnn", "profiler", "_quantized"})
FILES = re.compile(rb"\b(?:torch|ops\.aten)\.(save|from_file|load)\s*\(")
OPERATORS = re.compile(rb"\bops\.(\w+)\.(\w+)")


def look_at_torchscript(members: Archive, size: int, log: Log, values: bool) -> None:
    """Check a TorchScript archive."""
    look_at_script(members, size, log, values)
    for name, member in members.members.items():
        if "code/" not in name or not name.endswith(".py"):
            continue
        words = members.read(member, log.limits.words, log)
        for match in FILES.finditer(words or b""):
            log.danger(f"the program calls torch.{match[1].decode()}, which touches files", name)
        for space, operator in set(OPERATORS.findall(words or b"")):
            if space.decode() not in BUILT_IN:
                log.warning(
                    f"the program calls {(space + b'.' + operator).decode()}, an operator that "
                    "torch does not bring", name, "ask where it comes from",
                )  # fmt: skip
