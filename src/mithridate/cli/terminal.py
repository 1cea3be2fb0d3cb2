"""Speaking with people and programs: answers on standard output, everything else beside it."""

from __future__ import annotations

import os
import re
import shlex
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO, cast

import typer
from rich import box
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from mithridate.cli import status
from mithridate.core.timing import Countdown

LONG = 600.0
"""Seconds of work from which on it is asked whether to go on."""


class Quiet:
    """A stream that stays silent once nobody reads it, so that the exit status survives `| head`.

    What its encoding cannot hold is spelled out.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write, or drop what nobody would read."""
        try:
            return self._stream.write(text)
        except BrokenPipeError:
            self._silence()
            return len(text)

    def flush(self) -> None:
        """Flush, or drop what nobody would read."""
        try:
            self._stream.flush()
        except BrokenPipeError:
            self._silence()

    def _silence(self) -> None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)


def quiet_streams() -> None:
    """Let both standard streams survive a reader that goes away."""
    sys.stdout = cast(TextIO, Quiet(sys.stdout))
    sys.stderr = cast(TextIO, Quiet(sys.stderr))


def console(*, error: bool = False) -> Console:
    """Give a console that shows what it is told as it is: markup in the data has no effect."""
    return Console(stderr=error, markup=False, highlight=False, emoji=False, soft_wrap=True)


def say(text: str = "") -> None:
    """Print a line of the answer."""
    console().print(text)


def note(text: str) -> None:
    """Print a line that is not part of the answer."""
    console(error=True).print(text)


def grid(*columns: str, title: str = "") -> Table:
    """Begin a table."""
    table = Table(
        title=title or None, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0), pad_edge=False,
    )  # fmt: skip
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def show(table: Table) -> None:
    """Print a table; without a terminal it is as wide as it needs to be."""
    out = console()
    if not out.is_terminal:
        out.width = 200
    out.print(table, soft_wrap=False)


def duration(seconds: float) -> str:
    """Spell a duration for people."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def go_on(seconds: float, yes: bool) -> bool:
    """Ask before long work where somebody can answer; where nobody can, it goes on."""
    asking = seconds > LONG and not yes and sys.stdin.isatty() and sys.stderr.isatty()
    return not asking or typer.confirm("go on?", default=True, err=True)


def agreed(what: str, seconds: float | None, yes: bool) -> bool:
    """Say how long the work will take; ask before long work where somebody can answer."""
    if seconds is None:
        note(f"{what}: how long it takes cannot be told from so few examples")
        return True
    note(f"{what}: about {duration(seconds)}")
    return go_on(seconds, yes)


def command_line() -> str:
    """The command line that is running."""
    return shlex.join(["mithridate", *sys.argv[1:]])


def stopped(kept: Path | None) -> int:
    """Say how to go on after Ctrl-C; gives the exit status.

    Args:
        kept: Where a part of the training is kept, None where it is not.

    """
    begins = "begins again" if kept is None else "goes on from there"
    how = "" if kept is None else f"the training so far is kept in {kept}, and "
    note(f"stopped: {how}the same command {begins}:\n  {command_line()}")
    return status.STOPPED


def alike(words: str) -> str:
    """Take the number off a step, so that steps of a kind have one name: "reading 3 of 9"."""
    return re.sub(r"(: clean reference)? \d+ of \d+$", "", words)


class Watch:
    """What is going on: a bar on a terminal, a line for each step elsewhere."""

    def __init__(self) -> None:
        self._console = console(error=True)
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task("starting", total=None)
        self.done = 0
        self._words = ""
        self._countdown: Countdown | None = None

    def __enter__(self) -> Watch:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def expect(self, countdown: Countdown) -> None:
        """Say from now on how much is left, whenever the first of several alike has ended."""
        self._countdown = countdown

    def step(self, words: str) -> None:
        """Say what begins."""
        kind, ended = alike(words), alike(self._words)
        self._words = words
        if self._countdown is not None:
            left = self._countdown.begin(kind)
            if ended == kind and self._countdown.ended(kind) == 1:
                self._console.print(f"about {duration(left)} left")
        if self._bar.disable:
            self._console.print(f"{words} ...")
        self._bar.reset(self._task, description=words, total=None)

    def epochs(self, done: int, total: int) -> None:
        """Say how far the training is."""
        self.done = done
        self._bar.update(self._task, completed=done, total=total)
