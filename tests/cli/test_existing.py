"""What is not there is said before torch is imported, so in a moment."""

import subprocess
import sys

import pytest

from cli.runs import environment

HEAVY = ("torch", "numpy", "scipy", "pyarrow", "sklearn")

WRONG = {
    ("scan", "data", "nosuch/"): "no such file or folder, and no data set of that name",
    ("scan", "data", "digit"): "did you mean 'digits'?",
    ("scan", "data", "digits", "--trusted", "nosuch:test"): "'nosuch:test': no such file",
    ("scan", "data", "digits", "--model", "nosuch.pt"): "'nosuch.pt': no such file",
    ("scan", "model", "nosuch.pt", "--data", "digits"): "'nosuch.pt': no such file",
    ("guard", "nosuch.pt", "--trusted", "digits"): "'nosuch.pt': no such file",
    ("repair", "nosuch.pt", "--trusted", "digits", "--out", "o"): "'nosuch.pt': no such file",
    ("train", "nosuch", "--out", "o"): "'nosuch': no such file or folder",
    ("poison", "nosuch", "--out", "o"): "'nosuch': no such file or folder",
    ("sets",): "",
    ("--help",): "",
}

PROGRAM = f"""
import sys
from mithridate.cli import main
try:
    main()
finally:
    print("imported:", [name for name in {HEAVY} if name in sys.modules], file=sys.stderr)
"""


@pytest.mark.parametrize("arguments", WRONG, ids=" ".join)
def test_nothing_heavy_is_imported_before_a_wrong_path_is_said(arguments):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, check=False,
        env=environment(), timeout=120,
    )  # fmt: skip
    assert WRONG[arguments] in done.stderr
    assert done.returncode == (2 if WRONG[arguments] else 0)
    assert "imported: []" in done.stderr
