"""Runs the tree of slow steps where it is told to, in a process of its own, and says what it did.

Arguments: where (see `choose_executor`), the store, the folder of notes.
"""

import json
import sys
from pathlib import Path

TESTS = str(Path(__file__).parents[1])
LEAVES = 10


def steps(notes):
    from bench.slow_steps import tree

    return tree(LEAVES, 0.3, str(notes))


def main(on, store, notes):
    from mithridate.bench.choose_executor import executor
    from mithridate.bench.plan import Plan
    from mithridate.bench.run import run
    from mithridate.bench.store import Store
    from mithridate.core.runtime import Runtime

    there = executor(on, Path(store), Runtime(), 1, [TESTS])
    try:
        slots = there.slots
        ran = run(Plan((), (), tuple(steps(notes))), Store(Path(store)), there)
        said = {"ended": ran.ended, "lost": ran.lost, "slots": [slots, there.slots]}
        sys.stdout.write(f"{json.dumps(said)}\n")
    finally:
        there.close()


if __name__ == "__main__":
    sys.path.insert(0, TESTS)
    main(*sys.argv[1:])
