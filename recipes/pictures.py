"""Take the pictures of the documentation anew, from what its own pages make.

    python recipes/pictures.py home tutorials   # needs chromium; a quarter of an hour of one core

The pictures of a tutorial are of the reports that its own text leaves. The one of the home page is
of a scan of some of CIFAR-10 with a white square, by a narrow network. They are taken in light
colours and kept with few of them, so that they stay small.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
TUTORIALS = {
    "scan_a_folder": "mithridate-report/report.html",
    "scan_a_text_file": "mithridate-report/report.html",
    "scan_a_checkpoint": "mithridate-report/report.html",
    "train_and_repair": "safe/card.html",
}
"""The page that each picture shows, in the folder in which the tutorial ran."""

HOME = (
    "poison cifar10 --out received --attack badnets --set trigger.size=5 --set trigger.row=-6 "
    "--set trigger.column=-6 --set trigger.style=white --poison-rate 0.02",
    "scan data received/data --trusted cifar10:test --limit 8000 --trusted-count 2500 "
    "--network resnet9:16 --epochs 8 --out report --yes",
)
"""The commands behind the picture of the home page."""

COLOURS, LEVEL = 64, 64
"""Colours of a picture, and the distance of its greys, so that colours are left for photographs."""


def show(page: Path, picture: Path, height: int) -> None:
    """Open a page in a browser and keep what is seen of it."""
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder, "whole.png")
        flags = (
            "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
            "--blink-settings=preferredColorScheme=1", f"--user-data-dir={folder}/profile",
            f"--window-size=1280,{height}", f"--screenshot={whole}",
        )  # fmt: skip
        subprocess.run(["chromium", *flags, page.as_uri()], check=True, capture_output=True)
        with Image.open(whole) as seen:
            few = few_greys(seen).quantize(COLOURS, dither=Image.Dither.NONE)
            few.save(picture, optimize=True)
    print(picture, picture.stat().st_size, flush=True)


def few_greys(seen: Image.Image) -> Image.Image:
    """Round the greys of text; what is light or has a colour stays."""
    pixels = np.asarray(seen.convert("RGB")).astype(int)
    grey = pixels.mean(2, keepdims=True)
    plain = (np.ptp(pixels, axis=2, keepdims=True) < 24) & (grey < 215)
    rounded = np.minimum(LEVEL * np.round(grey / LEVEL), 255)
    return Image.fromarray(np.where(plain, rounded, pixels).astype(np.uint8))


def home(folder: Path) -> None:
    """Take the picture of the home page and the README."""
    program = [sys.executable, "-c", "from mithridate.cli import main; main()"]
    for command in HOME:
        done = subprocess.run([*program, *command.split()], cwd=folder, check=False)
        assert done.returncode in (0, 1), command
    show(folder / "report" / "report.html", ROOT / "docs" / "images" / "report.png", 2300)


def tutorial(name: str, folder: Path) -> None:
    """Run a tutorial from its own text and take its picture."""
    text = ROOT / "docs" / "tutorials" / f"{name}.md"
    paths = os.pathsep.join([str(ROOT / "tests"), *sys.path])
    runner = [sys.executable, ROOT / "tests" / "docs" / "tutorial.py", text, folder]
    subprocess.run(runner, check=True, env=os.environ | {"PYTHONPATH": paths})
    show(folder / TUTORIALS[name], text.with_suffix(".png"), 1000)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="+", choices=["home", "tutorials", *TUTORIALS])
    wanted = set(parser.parse_args().what)
    for name in ("home", *TUTORIALS):
        if name in wanted or (name != "home" and "tutorials" in wanted):
            with tempfile.TemporaryDirectory() as folder:
                home(Path(folder)) if name == "home" else tutorial(name, Path(folder))


if __name__ == "__main__":
    main()
