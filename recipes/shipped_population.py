"""The small population of clean networks that comes with the library: scikit-learn's digits.

    python recipes/shipped_population.py   # writes pipelines/populations/digits.json

39 networks learn the training digits as `mithridate train` teaches them, and are scanned as anybody
would scan them, on the test digits, beside a further one; the population.json beside the report is
what `mithridate scan model --clean-scores digits` reads. With --store FOLDER networks stay there.
Networks that each learnt in a way of their own were tried: some were right on 58 % of the digits,
and a 2x2 patch in a network of `mithridate train` did not stand out among them (p = 0.35). One that
was made otherwise, by fewer epochs say, gets "cannot judge".
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from mithridate.core.data import Dataset
from mithridate.domains.catalogue import load_named
from mithridate.pipelines import kept_network
from mithridate.pipelines.references import References

HOME = Path(__file__).resolve().parent.parent / "src" / "mithridate" / "pipelines" / "populations"
NETWORK, COUNT = "resnet9:8", 39


def mithridate(*words: object) -> None:
    """Run the program; no verdict says that the population was not written."""
    code = "from mithridate.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code, *map(str, words)], check=False)
    if done.returncode not in (0, 1, 3):
        raise SystemExit(done.returncode)


def train(number: int, data: Dataset, path: Path) -> None:
    """Train one of the networks, if it is not there."""
    if path.exists():
        return
    named = load_named("digits")
    model = References(network=NETWORK, varied=False).trained(number, data, named.domain)
    path.parent.mkdir(parents=True, exist_ok=True)
    kept_network.save(model, path, kept_network.Note(NETWORK, data.classes))
    print(path, flush=True)


def main() -> None:
    """Train, scan and keep."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--store", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = given.store or Path(name)
        data = load_named("digits").data
        for number in range(COUNT):
            train(number, data, folder / "clean" / f"{number}.safetensors")
        train(COUNT, data, folder / "suspect.safetensors")
        mithridate(
            "scan", "model", folder / "suspect.safetensors", "--data", "digits", "--split", "test",
            "--clean-models", folder / "clean", "--out", folder / "report", "--yes",
        )  # fmt: skip
        HOME.mkdir(exist_ok=True)
        shutil.copyfile(folder / "report" / "population.json", HOME / "digits.json")


if __name__ == "__main__":
    main()
