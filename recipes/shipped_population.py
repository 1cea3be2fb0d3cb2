"""The small population of clean networks that comes with the library: scikit-learn's digits.

    python recipes/shipped_population.py   # writes pipelines/populations/digits.json

A clean network is trained on the digits and scanned as anybody would, with 39 clean references; the
population.json beside the report is what `mithridate scan model --clean-scores digits` reads.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HOME = Path(__file__).resolve().parent.parent / "src" / "mithridate" / "pipelines" / "populations"
NETWORK = "resnet9:8"


def mithridate(*words: object) -> None:
    """Run the program."""
    code = "from mithridate.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code, *map(str, words)], check=False)
    if done.returncode not in (0, 1):
        raise SystemExit(done.returncode)


def main() -> None:
    """Train, scan and keep."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        mithridate("train", "digits", "--network", NETWORK, "--out", folder / "net", "--yes")
        mithridate(
            "scan", "model", folder / "net" / "model.safetensors", "--data", "digits",
            "--split", "test", "--references", 39, "--out", folder / "report", "--yes",
        )  # fmt: skip
        HOME.mkdir(exist_ok=True)
        shutil.copyfile(folder / "report" / "population.json", HOME / "digits.json")


if __name__ == "__main__":
    main()
