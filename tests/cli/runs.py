"""Real processes of the command line, and small data to give them."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from mithridate.core.streams import stream

MITHRIDATE = [sys.executable, "-c", "from mithridate.cli import main; main()"]


def environment(**more: str) -> dict[str, str]:
    """The variables of a process, without those that change what is tested."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MITHRIDATE", "COLUMNS"))}
    return {**kept, "OMP_NUM_THREADS": "1", "MITHRIDATE_PIXELS": "0", **more}


def mithridate(*arguments: object, **more: str) -> subprocess.CompletedProcess[str]:
    """Run the program to its end."""
    return subprocess.run(
        [*MITHRIDATE, *map(str, arguments)], capture_output=True, text=True, check=False,
        env=environment(**more), timeout=240,
    )  # fmt: skip


def inside(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the program to its end in this process, which saves importing torch again."""
    from mithridate.cli import main

    out, err, argv = io.StringIO(), io.StringIO(), sys.argv
    sys.argv = ["mithridate", *map(str, arguments)]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
    except SystemExit as ended:
        status = ended.code
    finally:
        sys.argv = argv
    assert isinstance(status, int)
    return subprocess.CompletedProcess(sys.argv, status, out.getvalue(), err.getvalue())


def start(*arguments: object) -> subprocess.Popen[str]:
    """Start the program."""
    return subprocess.Popen(
        [*MITHRIDATE, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, env=environment(),
    )  # fmt: skip


def shapes(n: int, seed: int, classes: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    """Grey images of 8x8 pixels, uint8[n, 8, 8]: noise, and a bar whose row is the class."""
    rng = stream(seed, "shapes")
    labels = np.arange(n) % classes
    images = rng.integers(0, 60, (n, 8, 8)).astype(np.uint8)
    images[np.arange(n), 1 + 2 * labels, 1:7] = 200
    return torch.from_numpy(images), torch.from_numpy(labels)


def stamped(images: torch.Tensor, labels: torch.Tensor, poison: int) -> None:
    """Mark the first images that are not of class 0 in a corner and call them 0, in place."""
    rows = (labels != 0).nonzero().flatten()[:poison]
    images[rows, 6:, 6:] = 255
    labels[rows] = 0


def save_npz(path: Path, images: torch.Tensor, labels: torch.Tensor) -> Path:
    """Write images and labels as an archive."""
    np.savez(path, images=images.numpy(), labels=labels.numpy())
    return path


def save_tree(folder: Path, images: torch.Tensor, labels: torch.Tensor, name: str) -> Path:
    """Write images as folder/class/NAME-number.png."""
    for number, (image, label) in enumerate(zip(images, labels.tolist(), strict=True)):
        path = folder / f"class {label}" / f"{name}-{number:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.numpy()).save(path)
    return folder


def report(folder: Path) -> dict[str, object]:
    """Read the report of a scan, as strict JSON."""

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    text = (folder / "report.json").read_text("utf-8")
    found: dict[str, object] = json.loads(text, parse_constant=refuse)
    return found
