#!/usr/bin/env bash
# Versions: MinAtar 1.0.15, numpy 2.4.6.
#
# Expected: with the same seed, a reset and the same actions give the same episode.
# What happens: `reset` keeps the action before it. Where actions stick, the first step after a
#   reset may repeat what was done in the last step of the episode before, so that one seed gives
#   two episodes, by what was played earlier.
# Why it matters: an agent is judged by the return of seeded episodes, one after the other, and a
#   backdoored one beside its clean twin. Their episodes then differ where the agents did not.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install MinAtar==1.0.15 numpy==2.4.6 >pip.log 2>&1 || { cat pip.log; exit 1; }
venv/bin/python - <<'PY'
from importlib import metadata

import numpy as np
from minatar import Environment

print("MinAtar", metadata.version("MinAtar"))
LEFT, RIGHT, STAY = 1, 3, 0


def first_picture(before, seed):
    """What is seen one step after a seeded reset, where one action was done before that reset."""
    game = Environment("breakout", sticky_action_prob=0.5)
    game.seed(0)
    game.reset()
    for _ in range(5):
        game.act(before)
    game.seed(seed)
    game.reset()
    game.act(STAY)
    return game.state()


differ = [
    seed for seed in range(20)
    if not np.array_equal(first_picture(LEFT, seed), first_picture(RIGHT, seed))
]
alike = [seed for seed in range(20)
         if np.array_equal(first_picture(LEFT, seed), first_picture(LEFT, seed))]
print(f"same history: {len(alike)} of 20 seeds give the same picture")
print(f"another action before the reset: {len(differ)} of 20 seeds give another picture")
assert len(alike) == 20 and differ, "MinAtar forgets the action before a reset now"
PY
