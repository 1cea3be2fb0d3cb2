"""Which attacks take: undefended networks, and how visible the attack is.

mithridate bench run recipes/attacks_table.py         # ten attackers, two seeds
mithridate bench run recipes/attacks_table.py:every   # eighteen, three seeds
python recipes/attacks_table.py   # writes the table and the records under results/
"""

from __future__ import annotations

from collections.abc import Mapping

from attackers import CLEAN, CLEAN_RATES, DIRTY, DIRTY_RATES, MORE, MORE_CLEAN, NETWORK, TASK
from mithridate.bench.cell import Cell, grid
from mithridate.core.method import Attack


def sweep() -> list[Cell]:
    """The ten attackers of the table of defences, two seeds."""
    return undefended(DIRTY, CLEAN, (0, 1))


def every() -> list[Cell]:
    """Eighteen attackers, three seeds."""
    return undefended(DIRTY | MORE, CLEAN | MORE_CLEAN, (0, 1, 2))


def undefended(
    dirty: Mapping[str, Attack], clean: Mapping[str, Attack], seeds: tuple[int, ...]
) -> list[Cell]:
    """Every attacker at two rates, without a defence."""
    task = {"cifar10": TASK}
    first = grid(
        task, dirty, {}, rates=DIRTY_RATES, trusted=(1_000,), networks=(NETWORK,), seeds=seeds
    )
    second = grid(
        task, clean, {}, rates=CLEAN_RATES, trusted=(1_000,), networks=(NETWORK,), seeds=seeds
    )
    return [cell for cell in first + second if cell.defence == "none"]


if __name__ == "__main__":
    from tables import taken, write

    write("attacks_table", sweep, taken)
