"""Every tutorial, and the example of the README, does what it says."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from docs.tutorial import blocks, commands, prints, run

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
APART = "add_a_method"
"""Brings methods into the package, so that it must not share a process with other tests."""


@pytest.mark.parametrize("page", [p for p in PAGES if p.stem != APART], ids=lambda p: p.stem)
def test_a_tutorial_does_what_it_says(page, tmp_path):
    run(page, tmp_path)


def test_adding_a_method_does_what_it_says(tmp_path):
    page = ROOT / "docs" / "tutorials" / f"{APART}.md"
    command = [sys.executable, ROOT / "tests" / "docs" / "tutorial.py", page, tmp_path]
    paths = os.pathsep.join([str(ROOT / "tests"), *sys.path])
    done = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]


def test_the_example_of_the_readme_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "README.md").read_text("utf-8")
    example = [b.text for b in blocks(text) if b.kind == "python"]
    assert len(example) == 1
    exec(compile(example[0], "README.md", "exec"), {})
    assert re.match(r"flagged \d+", capsys.readouterr().out)


def test_there_is_a_tutorial_for_each_job_and_the_home_page_leads_to_it():
    home = (ROOT / "docs" / "index.md").read_text("utf-8")
    assert len(PAGES) == 7
    for page in PAGES:
        assert f"(tutorials/{page.name})" in home


def test_every_picture_of_a_page_is_there():
    for page in (ROOT / "docs").rglob("*.md"):
        for place in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", page.read_text("utf-8")):
            assert (page.parent / place).is_file(), f"{page.name}: {place}"


def test_what_is_printed_is_compared_by_words_and_not_by_numbers():
    printed = "read 12 examples\na\nb\nVerdict: FLAGGED (p = 0.0005)\n"
    assert prints(["read 9 examples", "...", "Verdict: FLAGGED (p = 1e-05)"], printed)
    assert not prints(["read 9 examples", "...", "Verdict: CLEAN (p = 0.5)"], printed)
    assert not prints(["read 9 examples", "Verdict: FLAGGED (p = 0.5)"], printed)


def test_commands_are_told_from_what_they_print():
    assert list(commands("$ a b\nx\n...\n$ c\n")) == [("a b", ["x", "..."]), ("c", [])]
