"""The main job at full size: all of CIFAR-10, 1 % poisoned, judged by the truth; where time goes.

    mithridate poison cifar10 --out out/poisoned --trigger patch-trigger --set selection.amount=0.01
    mithridate scan data out/poisoned/data --out out/scan --trusted cifar10:test
    python recipes/cifar10_scan.py out/poisoned/truth.csv out/scan/report.json

The record here was made with a white patch (`--set trigger.style=white`) and mirrored images
(`--flip`), and 2,500 trusted examples (`--trusted-count 2500`).
"""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

from cells import RESULTS, markdown, save

FOLDER = "cifar10_scan"


def main() -> None:
    """Judge a finished scan and write the record and its table."""
    with Path(sys.argv[1]).open(newline="") as truth:
        poisoned = {int(row["id"]) for row in csv.DictReader(truth) if row["poisoned"] == "1"}
    report = json.loads(Path(sys.argv[2]).read_text())
    examples = report["examples"]
    pairs = zip(examples["ids"], examples["flagged"], strict=True)
    named = {number for number, flagged in pairs if flagged}
    found = {
        "n": len(examples["ids"]),
        "poisons": len(poisoned),
        "named": len(named),
        "named_poisons": len(named & poisoned),
        "verdict": report["verdict"],
        "classes": report["classes"],
        "cost": report["cost"],
        "environment": report["versions"],
    }
    save(FOLDER, "scan", found)
    rows = [[step.removesuffix("_seconds"), f"{s:.1f}"] for step, s in found["cost"].items()]
    text = markdown(["step", "seconds of one thread"], rows)
    text += (
        f"\nVerdict {found['verdict']['answer']}, p = {found['verdict']['p_value']}; "
        f"{found['named']} of {found['n']:,} examples named, among them "
        f"{found['named_poisons']} of {found['poisons']} poisons.\n"
    )
    (RESULTS / FOLDER / "table.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
