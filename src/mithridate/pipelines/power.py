"""How often a scan finds a backdoor: known ones are planted in copies of the suspects and scanned.

It begins after the verdict, whose p-values it does not touch, and reads no truth: whoever plants
knows where. Detectors that need no network look at many copies. What they find, the whole scan
finds; what they miss too often is planted again, and a network is trained on each of those copies.
Axes: C classes.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mithridate.core.data import Dataset
from mithridate.core.errors import CannotJudge
from mithridate.core.files import write_json
from mithridate.core.streams import stream
from mithridate.pipelines.announcing import Announce
from mithridate.pipelines.planted import Amount, Backdoor, Power, Powers, Trial, counted
from mithridate.pipelines.planting import Ground

Floats = NDArray[np.float64]

Judge = Callable[[Dataset, int, Path | None], Floats]
"""Gives the p-value float64[C] of each class of a copy, as if it were the only one with a backdoor.

It is given a seed, and a folder for what is unfinished.
"""

TRIES, LOOKS = 3, 8
"""Quick trials of each kind and amount, and copies for them at most, for each network trained."""

HOPELESS = 3
"""So many quick trials without one found say that a network must be asked."""

SURE = 0.9
"""No network is asked where detectors that need none find this share or more."""


GIVEN = "the given network was trained on the suspects themselves and says nothing of copies"


@dataclass(frozen=True, eq=False)
class Measuring:
    """How power is measured.

    Attributes:
        ground: Where backdoors are planted.
        smallest: The amount that a scan must see, as a share of all suspects.
        level: Of the scan.
        enough: The share of planted backdoors that it must find.
        copies: On how many a network is trained.
        seed: Of the scan.
        kept: The folder in which answers are kept until the scan has ended, None for nowhere.
        step: Is told what begins.

    """

    ground: Ground
    smallest: float
    level: float
    enough: float
    copies: int
    seed: int
    kept: Path | None
    step: Announce

    def powers(self, look: Judge | None, scan: Judge | None) -> Powers:
        """Plant and judge.

        Args:
            look: Asks detectors that need no network; None where none can judge such data.
            scan: Asks all detectors; None where only a quick look is measured.

        Raises:
            CannotJudge: where nothing can be planted, or nobody can judge a copy.

        """
        if look is None and scan is None:
            raise CannotJudge(GIVEN)
        every = self.ground.backdoors(self.smallest)
        backdoors = [backdoor for backdoor in every if self.ground.can_be_seen(backdoor.amount)]
        glances = [] if look is None else self._looks(backdoors, look)
        quick = {(p.kind, p.amount): p for p in self._counted(backdoors, glances, True)}
        left = [
            backdoor
            for backdoor in backdoors
            if not is_sure(quick.get((backdoor.kind, backdoor.amount)))
        ]
        scans = [] if scan is None or not left else self._copies(left, scan)
        whole = {(p.kind, p.amount): p for p in self._counted(backdoors, scans, False)}
        unseen = {(c.kind, c.amount): self._unseen(c) for c in every if c not in backdoors}
        keys = [(backdoor.kind, backdoor.amount) for backdoor in every]
        best = [unseen.get(key) or larger(quick.get(key), whole.get(key)) for key in keys]
        return Powers(
            tuple(power for power in best if power is not None),
            Amount(self.smallest, of_all=True),
            self.enough,
            self.copies if scans else 0,
            len({name for name, _ in glances}),
        )

    def seconds(self, look: float, scan: float) -> float:
        """Estimate how long it takes.

        Args:
            look: Seconds of a quick look at one copy, 0 where none is planned.
            scan: Seconds of one scan with its training, 0 where none is planned.

        Raises:
            CannotJudge: where nothing can be planted.

        """
        if not self.copies:
            return 0.0
        backdoors = [
            c for c in self.ground.backdoors(self.smallest) if self.ground.can_be_seen(c.amount)
        ]
        tries = len(backdoors) * TRIES * self.copies / self.ground.fits(backdoors)
        looks = min(float(LOOKS * self.copies), tries)
        return looks * look + self.copies * scan

    def _counted(
        self, backdoors: Sequence[Backdoor], named: Sequence[tuple[str, Trial]], quick: bool
    ) -> list[Power]:
        return counted(tuple(backdoors), [trial for _, trial in named], self.level, quick)

    def _unseen(self, backdoor: Backdoor) -> Power:
        """Say of an amount that it is too small to be planted for."""
        counts = self.ground.carriers(backdoor.amount).values()
        return Power(backdoor.kind, backdoor.amount, min(counts), max(counts), 0, 0, quick=False)

    def _looks(self, backdoors: Sequence[Backdoor], look: Judge) -> list[tuple[str, Trial]]:
        """Look at copies until every backdoor was tried often enough."""
        tried: list[tuple[str, Trial]] = []
        for k in range(LOOKS * self.copies):
            wanted = [backdoor for backdoor in backdoors if not self._settled(backdoor, tried)]
            if not wanted:
                break
            self.step(f"looking at copies with planted backdoors: {k + 1}")
            tried += self._one(f"look-{k}", by_need(wanted, tried), look)
        return tried

    def _settled(self, backdoor: Backdoor, tried: Sequence[tuple[str, Trial]]) -> bool:
        p_values = [trial.p_value for _, trial in tried if trial.backdoor == backdoor]
        hopeless = len(p_values) >= HOPELESS and min(p_values) > self.level
        return hopeless or len(p_values) >= TRIES * self.copies

    def _copies(self, backdoors: Sequence[Backdoor], scan: Judge) -> list[tuple[str, Trial]]:
        """Scan copies as the suspects were scanned."""
        tried: list[tuple[str, Trial]] = []
        for k in range(self.copies):
            self.step(f"scanning a copy with planted backdoors: {k + 1} of {self.copies}")
            tried += self._one(f"copy-{k}", by_need(backdoors, tried), scan)
        return tried

    def _one(
        self, name: str, backdoors: Sequence[Backdoor], judge: Judge
    ) -> list[tuple[str, Trial]]:
        """Plant and judge one copy, or read what was kept of it."""
        kept = self.kept and self.kept / f"{name}.json"
        if kept and kept.exists():
            return [(name, trial_of(each)) for each in json.loads(kept.read_text("utf-8"))]
        copy, plants = self.ground.planted(backdoors, stream(self.seed, "power", "plant", name))
        seed = int(stream(self.seed, "power", "scan", name).integers(2**31))
        unfinished = self.kept and self.kept / name
        p_values = judge(copy, seed, unfinished)
        trials = [Trial(p.backdoor, p.label, len(p.rows), float(p_values[p.label])) for p in plants]
        if kept:
            kept.parent.mkdir(parents=True, exist_ok=True)
            write_json(kept, [asdict(trial) for trial in trials])
        if unfinished:
            shutil.rmtree(unfinished, ignore_errors=True)
        return [(name, trial) for trial in trials]


def trial_of(kept: dict[str, object]) -> Trial:
    """Read a trial that was kept."""
    values: dict[str, object] = dict(kept)
    backdoor = values.pop("backdoor")
    assert isinstance(backdoor, dict)
    return Trial(Backdoor(backdoor["kind"], Amount(**backdoor["amount"])), **values)  # type: ignore[arg-type]


def by_need(backdoors: Sequence[Backdoor], tried: Sequence[tuple[str, Trial]]) -> list[Backdoor]:
    """Put those first that were tried least."""
    return sorted(
        backdoors, key=lambda backdoor: sum(trial.backdoor == backdoor for _, trial in tried)
    )


def is_sure(power: Power | None) -> bool:
    """Whether detectors that need no network were tried often enough and find nearly all."""
    return power is not None and power.of >= HOPELESS and power.share.value >= SURE


def larger(quick: Power | None, whole: Power | None) -> Power | None:
    """Take the whole scan's share, unless that of a part of it is larger already."""
    if quick is None or whole is None:
        return whole or quick
    return quick if quick.share.value > whole.share.value else whole
