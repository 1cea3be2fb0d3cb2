"""What a scan says of its power on the terminal."""

from __future__ import annotations

from mithridate.cli.terminal import grid, say, show
from mithridate.pipelines.planted import Powers
from mithridate.report.powers import PLANTED, rows
from mithridate.report.quoting import spell_invisible


def print_power(powers: Powers) -> None:
    """Print what share of planted backdoors was found, by kind and amount."""
    if not powers.measured:
        return
    table = grid("planted", "on", "examples", "found", "95 % interval")
    for kind, *rest in rows(powers):
        table.add_row(spell_invisible(kind), *rest)
    show(table)
    say(PLANTED)
