"""Runs a page of documentation from its own text: its commands, its Python and its files.

    python tests/docs/tutorial.py docs/tutorials/guard.md FOLDER

A block fenced as `console` holds commands behind "$ " and what they print, in which "..." stands
for any lines and numbers may differ. One fenced as `python` is run; with a title it is written to a
file of that name instead. A file of the package then counts as part of the package.
"""

from __future__ import annotations

import importlib
import os
import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.runs import inside
from mithridate.core import registry

BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"\d[\d.,]*(?:e-?\d+)?")
CODES = {"mithridate scan data": (0, 1), "mithridate scan model": (0, 1)}
"""Exit statuses that are answers; others are 0."""


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    kind: str
    title: str
    text: str


def blocks(page: str) -> list[Block]:
    """The fenced blocks of a page, in their order."""
    return [Block(kind, title, text) for kind, title, text in BLOCK.findall(page)]


def commands(text: str) -> Iterator[tuple[str, list[str]]]:
    """Each command of a console, with the lines that it is said to print."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, *lines = part.rstrip("\n").split("\n")
        yield command, lines


def prints(lines: list[str], printed: str) -> bool:
    """Whether lines are printed, in their order; numbers and the width of columns may differ."""
    pattern = r"\s*"
    for line in lines:
        if line.strip() == "...":
            pattern += r"(?:.*\n)*?"
        else:
            pattern += words_of(line) + (r".*\n" if line.endswith("...") else r" *\n")
    return re.fullmatch(pattern + r"\s*", printed + "\n") is not None


def words_of(line: str) -> str:
    """A pattern for a line, in which any number stands for a number."""
    parts = [
        r"\s+".join(map(re.escape, re.split(r"\s+", part)))
        for part in NUMBER.split(line.removesuffix("...").rstrip())
    ]
    return r"\d[\d.,]*(?:e-?\d+)?".join(parts)


def run_command(command: str, lines: list[str]) -> None:
    """Run a command of the program in this process, and compare what it prints."""
    program, *arguments = shlex.split(command)
    assert program == "mithridate", f"only the program itself is run here: {command}"
    done = inside(*arguments)
    verb = " ".join([program, *arguments[:2]])
    assert done.returncode in CODES.get(verb, (0,)), f"{command}\n{done.stdout}{done.stderr}"
    printed = done.stderr + done.stdout
    assert prints(lines, printed), f"$ {command}\nprints\n{printed}\nand not\n" + "\n".join(lines)


def run_block(block: Block, known: dict[str, Any]) -> None:
    """Run a block in the working folder, with the names that blocks before it left."""
    if block.kind == "console":
        for command, lines in commands(block.text):
            run_command(command, lines)
    elif block.kind == "python" and block.title:
        write(Path(block.title), block.text)
    elif block.kind == "python":
        exec(compile(block.text, "a block of the page", "exec"), known)


def write(path: Path, text: str) -> None:
    """Write a file; one of the package is found there from then on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    if path.parts[0] == "src":
        package = importlib.import_module(".".join(path.parts[1:-1]))
        package.__path__.append(str(path.parent.absolute()))
        registry._modules.cache_clear()  # the next command is a process of its own elsewhere
    if path.name.startswith("test_"):
        known: dict[str, Any] = {}
        exec(compile(text, str(path), "exec"), known)
        for name in [name for name in known if name.startswith("test_")]:
            known[name]()


def run(page: Path, folder: Path) -> None:
    """Run a page in a folder."""
    todo = blocks(page.read_text("utf-8"))
    before, known = Path.cwd(), {"__name__": "tutorial"}
    os.chdir(folder)
    try:
        for block in todo:
            run_block(block, known)
    finally:
        os.chdir(before)


if __name__ == "__main__":
    run(Path(sys.argv[1]).absolute(), Path(sys.argv[2]))
