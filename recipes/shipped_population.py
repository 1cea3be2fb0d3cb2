"""The small population of clean networks that comes with the library: scikit-learn's digits.

    python recipes/shipped_population.py   # writes pipelines/populations/digits.json

A clean network is trained on the digits and scanned as anybody would, with 39 clean references; of
the report the part is kept that `mithridate scan model --clean-scores digits` reads.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

HOME = Path(__file__).resolve().parent.parent / "src" / "mithridate" / "pipelines" / "populations"
KEPT = ("schema", "model", "trusted", "references", "scanners", "classes", "versions", "written")
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
        found = json.loads((folder / "report" / "report.json").read_text("utf-8"))
    kept = {key: found[key] for key in KEPT}
    kept["model"] = {key: kept["model"][key] for key in ("network", "precision")}
    for scanner in kept["scanners"]:
        scanner.pop("scores")
    HOME.mkdir(exist_ok=True)
    (HOME / "digits.json").write_text(json.dumps(kept, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
