"""Which attacks take: every attacker on undefended networks, with its visibility.

mithridate bench run recipes/attacks_table.py
python recipes/attacks_table.py   # writes the table and the records under results/
"""

from __future__ import annotations

from attackers import CLEAN, CLEAN_RATES, DIRTY, DIRTY_RATES, MORE, MORE_CLEAN, NETWORK, TASK
from mithridate.bench.cell import Cell, grid


def sweep() -> list[Cell]:
    """Eighteen attackers, undefended, three seeds."""
    shared = {"trusted": (1_000,), "networks": (NETWORK,)}
    dirty = grid({"cifar10": TASK}, DIRTY | MORE, {}, rates=(0.0, *DIRTY_RATES), **shared)
    clean = grid({"cifar10": TASK}, CLEAN | MORE_CLEAN, {}, rates=(0.0, *CLEAN_RATES), **shared)
    return [cell for cell in dirty + clean if cell.defence == "none"]


if __name__ == "__main__":
    from tables import taken, write

    write("attacks_table", sweep, taken)
