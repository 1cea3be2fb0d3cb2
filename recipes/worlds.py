"""What recipes over many worlds share: a resumable run, a table, a command line.

A world is made by a function without arguments and gives a record, which is kept under a label.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import torch

from cells import RESULTS, done, save
from mithridate.core.errors import CannotJudge, MethodError
from mithridate.core.method import Detector
from mithridate.core.view import View
from mithridate.pipelines.finding import Judged, judge_examples

World: TypeAlias = tuple[str, Callable[[], Any]]
"""The label of a record, and what makes it."""


def ask(asked: dict[str, Detector], view: View, n: int) -> tuple[dict[str, Judged], dict[str, str]]:
    """Ask every detector; those that cannot be asked say why."""
    judged, unheard = {}, {}
    for name, detector in asked.items():
        try:
            judged[name] = judge_examples(detector, view, n)
        except (CannotJudge, MethodError) as reason:
            unheard[name] = str(reason)
    return judged, unheard


def make_missing(folder: str, worlds: Iterable[World]) -> None:
    """Make the worlds that have no record yet, one after the other on one core."""
    torch.set_num_threads(1)
    for label, make in worlds:
        if not done(folder, label):
            save(folder, label, make())


def keep_table(folder: str, text: str) -> None:
    """Write the table beside the records, and print it."""
    (RESULTS / folder).mkdir(parents=True, exist_ok=True)
    (RESULTS / folder / "table.md").write_text(text)
    print(text)


def command_line(
    about: str | None, folder: str, table: Callable[[], str],
    jobs: Mapping[str, Callable[[list[str]], Iterable[World]]], sets: Sequence[str],
) -> None:  # fmt: skip
    """Read a command line such as `run --sets sst2`, make what is missing, and write the table.

    Args:
        about: What the recipe says of itself.
        folder: Of the records, below results/.
        table: Gives the table of the records.
        jobs: Worlds by the word that asks for them, of the sets that are named; `table` asks for
            none.
        sets: All data sets.
    """
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("what", choices=[*jobs, "table"])
    parser.add_argument("--sets", nargs="+", choices=list(sets), default=list(sets))
    arguments = parser.parse_args()
    if arguments.what != "table":
        make_missing(folder, jobs[arguments.what](arguments.sets))
    keep_table(folder, table())
