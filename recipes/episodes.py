"""Episodes of CartPole, for recipes that compare domains: who plays does not matter to them.

A controller by hand pushes against where the pole is about to fall, and in one step of ten it does
anything. An observation is four numbers, the class is the action.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mithridate.core.streams import stream

HOME = Path("out/episodes/cartpole")
EPISODES, LONGEST, AT_RANDOM = {"train": 1_800, "test": 500}, 60, 0.1


def played() -> Path:
    """Give the folder of both splits, which are written where they are not there yet."""
    for split in EPISODES:
        path = HOME / f"{split}.npz"
        if not path.exists():
            HOME.mkdir(parents=True, exist_ok=True)
            play(split, path)
    return HOME


def play(split: str, path: Path) -> None:
    """Play the episodes of a split, and write what was seen and done."""
    import gymnasium

    environment, rng = gymnasium.make("CartPole-v1"), stream(0, "episodes", split)
    seen, done, number = [], [], []
    for episode in range(EPISODES[split]):
        now, _ = environment.reset(seed=int(rng.integers(2**31)))
        for _ in range(LONGEST):
            push = int(now[2] + 0.3 * now[3] + 0.05 * now[1] > 0)
            action = int(rng.integers(2)) if rng.random() < AT_RANDOM else push
            seen.append(now)
            done.append(action)
            number.append(episode)
            now, _, over, _, _ = environment.step(action)
            if over:
                break
    arrays = {"observations": np.array(seen, np.float32), "actions": np.array(done)}
    np.savez(path, episodes=np.array(number), **arrays)
