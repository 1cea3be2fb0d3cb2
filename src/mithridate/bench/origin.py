"""Where a result comes from: versions, processor, and the commit of the code if it has one."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

from mithridate.core.runtime import environment


@cache
def origin() -> dict[str, str]:
    """Describe this process: the environment, the commit, and whether files differ from it."""
    here = Path(__file__).parent
    commit = _git(here, "rev-parse", "HEAD")
    if not commit:
        return environment()
    dirty = _git(here, "status", "--porcelain", "--untracked-files=no", "--", "../..")
    return {**environment(), "commit": commit, "dirty": "yes" if dirty else "no"}


def _git(folder: Path, *arguments: str) -> str:
    try:
        output = subprocess.run(
            ["git", *arguments],
            cwd=folder,
            capture_output=True,
            encoding="utf-8",
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return output.stdout.strip()
