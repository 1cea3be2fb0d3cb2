"""The program: its verbs, and how each of them ends."""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import typer

from mithridate import __version__
from mithridate.cli import listing, status
from mithridate.cli.bench import (
    BenchGc,
    BenchPlan,
    BenchReport,
    BenchRun,
    BenchStatus,
    BenchVerify,
)
from mithridate.cli.demo import Demo
from mithridate.cli.draw import DrawExamples
from mithridate.cli.federate import FederateClients
from mithridate.cli.flags import as_flag, command
from mithridate.cli.guard import GuardNetwork
from mithridate.cli.poison import PoisonData
from mithridate.cli.repair import RepairNetwork
from mithridate.cli.scan_data import ScanData
from mithridate.cli.scan_file import ScanFile
from mithridate.cli.scan_model import ScanModel
from mithridate.cli.terminal import note, quiet_streams, say
from mithridate.cli.train import TrainNetwork
from mithridate.core.errors import MithridateError, origin
from mithridate.core.spelling import spelt
from mithridate.report.quoting import spell_invisible

app = typer.Typer(
    name="mithridate",
    help="Find backdoors in machine learning, with error rates that can be believed.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
scan = typer.Typer(help="Judge what came from outside.", no_args_is_help=True)
bench = typer.Typer(
    help="Sweep attacks x defences, so that the numbers can be believed.", no_args_is_help=True
)
app.add_typer(scan, name="scan")
app.add_typer(bench, name="bench")

WORK = "mithridate.cli.work"
"""Where the work of each verb is; it loads torch, so it is imported when the verb runs."""

scan.command("data")(
    command(
        ScanData,
        f"{WORK}.scan_data:run",
        "mithridate.pipelines.scan:DataScanner",
        data=("path", "trusted"),
        files=("model",),
    )
)
scan.command("file")(command(ScanFile, f"{WORK}.scan_file:run"))
scan.command("model")(
    command(ScanModel, f"{WORK}.scan_model:run", data=("data", "inputs"), files=("file",))
)
for verb, asked in (("plan", BenchPlan), ("run", BenchRun), ("status", BenchStatus),
                    ("verify", BenchVerify), ("report", BenchReport), ("gc", BenchGc)):  # fmt: skip
    bench.command(verb)(command(asked, f"{WORK}.bench:{verb}"))
app.command("train")(command(TrainNetwork, f"{WORK}.train:run", data=("path", "trusted")))
app.command("repair")(
    command(RepairNetwork, f"{WORK}.repair:run", data=("trusted", "data"), files=("model",))
)
app.command("guard")(
    command(
        GuardNetwork,
        f"{WORK}.guard:run",
        "mithridate.service.settings:Settings",
        data=("trusted",),
        files=("model",),
    )
)
app.command("federate")(
    command(FederateClients, f"{WORK}.federate:run", data=("path", "test", "trusted"))
)
app.command("poison")(command(PoisonData, f"{WORK}.poison:run", data=("path", "trap")))
app.command("draw")(command(DrawExamples, f"{WORK}.draw:run", data=("path",)))
app.command("demo")(command(Demo, f"{WORK}.demo:run"))
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


@scan.callback()
def about_scan() -> None:
    """Judge what came from outside."""


@bench.callback()
def about_bench() -> None:
    """Sweep attacks x defences, so that the numbers can be believed."""
    # before any library is loaded that reads it; another number of threads rounds otherwise
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def run() -> None:
    """Run the command line and end with its exit status; 2 whenever something went wrong."""
    quiet_streams()
    cast(Any, warnings).showwarning = partial(show_warning, warnings.showwarning)
    try:
        with spelt(as_flag):
            app(prog_name="mithridate")
    except Exception as error:  # a bug must not look like a verdict: Python's own status is 1
        if os.environ.get("MITHRIDATE_DEBUG"):
            traceback.print_exception(error)
        note(f"error: {spell_invisible(problem(error))}")
        sys.exit(status.ERROR)


def show_warning(
    usual: Callable[..., None], message: object, category: type[Warning], *place: Any, **more: Any
) -> None:
    """Say in one line what is wrong with another package, and other warnings as usual."""
    if category.__name__ == "BrokenEntryPoint":  # its module imports torch
        note(f"warning: {spell_invisible(str(message))}")
    else:
        usual(message, category, *place, **more)


def problem(error: Exception) -> str:
    """Say in one line what went wrong."""
    if isinstance(error, MithridateError):
        return str(error)
    if isinstance(error, OSError):
        named = f"{error.filename!r}: " if error.filename is not None else ""
        return f"{named}{error.strerror or error}"
    if isinstance(error, MemoryError):
        return "out of memory; scan fewer examples with --limit, or smaller ones with --size"
    said, seen = f"{type(error).__name__}: {error}", "MITHRIDATE_DEBUG=1 shows more"
    return f"{said} (a bug in {origin(error)}; {seen})"
