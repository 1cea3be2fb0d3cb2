"""Which steps cost about the same: those of a kind, on the same task, by the same method."""

from __future__ import annotations

from collections import deque
from typing import Any

from mithridate.bench.step import Step
from mithridate.bench.steps.data import Data
from mithridate.bench.steps.train import Train

DRAWN = ("seed", "cell", "described")
"""Settings that say which cell a step is for, and not how much it does."""


def training(step: Step) -> Train | None:
    """The training that a step is about: the nearest one among those that it depends on."""
    queue = deque([step])
    while queue:
        here = queue.popleft()
        if isinstance(here, Train):
            return here
        queue += here.parents
    return None


def task(step: Step) -> str:
    """The data set, its size, the network and how it is trained."""
    train = training(step)
    if train is None or not isinstance(train.data, Data):
        return step.kind()
    data = train.data
    return repr((data.name, data.train, data.trusted, train.network, train.settings["trainer"]))


def likenesses(step: Step) -> list[str]:
    """Name what a step is like, from what is most like it to what is least.

    The settings on the same task; the same methods on the same task; the same kind on the same
    task.
    """
    own = {name: value for name, value in step.settings.items() if name not in DRAWN}
    place = task(step)
    return [repr((step.kind(), place, part)) for part in (own, methods(own), [])]


def methods(settings: Any) -> list[str]:
    """The names of the methods among some settings."""
    if isinstance(settings, dict):
        own = [str(settings["method"])] if "method" in settings else []
        return own + [name for value in settings.values() for name in methods(value)]
    if isinstance(settings, (list, tuple)):
        return [name for value in settings for name in methods(value)]
    return []
