"""The program: its verbs, and how each of them ends."""

from __future__ import annotations

import os
import sys
import traceback

import typer

from mithridate import __version__
from mithridate.cli import bench, demo, guard, listing, poison, repair, scan, status, train
from mithridate.cli.flags import as_flag
from mithridate.cli.terminal import note, quiet_streams, say
from mithridate.core.errors import MithridateError
from mithridate.core.spelling import spelt
from mithridate.report.quoting import visible

app = typer.Typer(
    name="mithridate",
    help="Find backdoors in machine learning, with error rates that can be believed.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(scan.app, name="scan")
app.add_typer(bench.app, name="bench")
app.command("train")(train.verb)
app.command("repair")(repair.verb)
app.command("guard")(guard.verb)
app.command("poison")(poison.verb)
app.command("demo")(demo.verb)
app.command("methods")(listing.methods)
app.command("sets")(listing.sets)


@app.callback(invoke_without_command=True)
def about(
    version: bool = typer.Option(False, "--version", help="Print the version and end."),
) -> None:
    """Find backdoors in machine learning, with error rates that can be believed."""
    if version:
        say(__version__)
        raise typer.Exit


def run() -> None:
    """Run the command line and end with its exit status; 2 whenever something went wrong."""
    quiet_streams()
    try:
        with spelt(as_flag):
            app()
    except Exception as error:  # a bug must not look like a verdict: Python's own status is 1
        if os.environ.get("MITHRIDATE_DEBUG"):
            traceback.print_exception(error)
        note(f"error: {visible(problem(error))}")
        sys.exit(status.ERROR)


def problem(error: Exception) -> str:
    """Say in one line what went wrong."""
    if isinstance(error, MithridateError):
        return str(error)
    if isinstance(error, OSError):
        named = f"{error.filename!r}: " if error.filename is not None else ""
        return f"{named}{error.strerror or error}"
    if isinstance(error, MemoryError):
        return "out of memory; scan fewer examples with --limit, or smaller ones with --size"
    return f"{type(error).__name__}: {error} (a bug; MITHRIDATE_DEBUG=1 shows where)"
