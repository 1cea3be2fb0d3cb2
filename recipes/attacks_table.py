"""Which attacks take: undefended networks, and how visible the attack is.

mithridate bench run recipes/attacks_table.py         # ten attackers, two seeds
mithridate bench run recipes/attacks_table.py:more    # the eight others, one seed
mithridate bench run recipes/attacks_table.py:longer  # WaNet and BppAttack, five times as long
mithridate bench run recipes/attacks_table.py:signs   # two attackers on GTSRB
mithridate bench run recipes/attacks_table.py:every   # eighteen attackers, three seeds
python recipes/attacks_table.py   # writes the table and the records under results/
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from attackers import CLEAN, CLEAN_RATES, DIRTY, DIRTY_RATES, MORE, MORE_CLEAN, NETWORK, TASK
from mithridate.bench.cell import Cell, Task, grid
from mithridate.core.method import Attack


def sweep() -> list[Cell]:
    """The ten attackers of the table of defences, two seeds."""
    return undefended(DIRTY, CLEAN, (0, 1))


def more() -> list[Cell]:
    """The eight further attackers at the high rate, one seed."""
    high = (DIRTY_RATES[-1:], CLEAN_RATES[-1:])
    return undefended(MORE, MORE_CLEAN, (0,), *high)


def longer() -> list[Cell]:
    """The two that do not take in six epochs, in thirty."""
    config = replace(TASK.training, epochs=30)
    slow = {name: DIRTY[name] for name in ("wanet", "bpp")}
    task = {"cifar10, 30 epochs": replace(TASK, training=config)}
    return undefended(slow, {}, (0,), DIRTY_RATES[-1:], task=task)


def signs() -> list[Cell]:
    """Two attackers on all of GTSRB."""
    some = {name: DIRTY[name] for name in ("badnets", "blended")}
    return undefended(some, {}, (0, 1), task={"gtsrb": replace(TASK, data="gtsrb", train=None)})


def every() -> list[Cell]:
    """Eighteen attackers, three seeds."""
    return undefended(DIRTY | MORE, CLEAN | MORE_CLEAN, (0, 1, 2))


def undefended(
    dirty: Mapping[str, Attack],
    clean: Mapping[str, Attack],
    seeds: tuple[int, ...],
    dirty_rates: tuple[float, ...] = DIRTY_RATES,
    clean_rates: tuple[float, ...] = CLEAN_RATES,
    task: Mapping[str, Task] | None = None,
) -> list[Cell]:
    """Attackers without a defence."""
    task = task or {"cifar10": TASK}
    shared = {"trusted": (1_000,), "networks": (NETWORK,), "seeds": seeds}
    first = grid(task, dirty, {}, rates=dirty_rates, **shared)
    second = grid(task, clean, {}, rates=clean_rates, **shared)
    return [cell for cell in first + second if cell.defence == "none"]


def recorded() -> list[Cell]:
    """What the table holds."""
    return sweep() + more() + longer() + signs()


if __name__ == "__main__":
    from tables import taken, write

    write("attacks_table", recorded, taken)
