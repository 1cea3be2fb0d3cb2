"""Repair a network, then say what that changed.

Axes: n suspect and m trusted examples.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from torch import nn

from mithridate.core.data import Dataset
from mithridate.core.domain import Domain
from mithridate.core.errors import MethodError
from mithridate.core.inference import predict
from mithridate.core.method import Repair
from mithridate.core.runtime import Runtime
from mithridate.core.spelling import option
from mithridate.core.streams import stream
from mithridate.core.view import View
from mithridate.pipelines.announcing import Announce
from mithridate.pipelines.damage import Damage, damage, set_apart, share
from mithridate.pipelines.finding import DataScan
from mithridate.pipelines.passes import Passes
from mithridate.pipelines.scan import DataScanner, Saw
from mithridate.repairs.self_chosen import Choice, SelfChosen
from mithridate.stats.intervals import Interval

MAX_LOSS = 0.05
"""Accuracy that a repair may cost where nothing else is asked, as a share."""

WEAK = 0.2
"""Share of cases in which an own backdoor may still work after a repair that did its work."""

EPSILON = 1e-9
"""So that a fall of exactly what was asked is none too many."""

OF_SUSPECTS = {"inputs", "labels", "features", "logits", "losses"}
"""Evidence that a repair can only take from the suspects."""


@dataclass(frozen=True)
class OwnBackdoor:
    """A backdoor that a repair planted in a copy of the network, and what it left of it.

    Attributes:
        stamp: what was put on inputs, in words.
        label: the name of the class that it stands for.
        planted: how often it worked in the copy, on trusted examples that the repair never saw.
        left: the same after the repair of the copy.
    """

    stamp: str
    label: str
    planted: Interval
    left: Interval


@dataclass(frozen=True, eq=False)
class RepairOutcome:
    """A repaired network and what the repair changed.

    Without suspects, `changed` and `scans` are None; so they are where the repair was undone.

    Attributes:
        model: the repaired copy, or the given network itself where that was `undone`.
        damage: of the repair, undone or not, on the trusted examples that were set apart.
        undone: whether accuracy fell by more than was asked, so that nothing was changed.
        own: what is left of backdoors that the repair planted itself, where it did.
        ended: what it chose, in words, where it did.
        changed: share of the suspects that are called otherwise.
        scans: of the suspects before and after, by what the two networks make of them.
        used: evidence that the repair asked for.
        worked_with: trusted examples that the repair had, and that it never saw.
        measured: trusted examples that the repair had, and that it never saw.
        cost: of the repair, seconds and examples passed.
    """

    model: nn.Module
    damage: Damage
    changed: Interval | None
    scans: tuple[DataScan, DataScan] | None
    used: tuple[str, ...]
    worked_with: Dataset
    measured: Dataset
    cost: dict[str, float]
    undone: bool = False
    own: tuple[OwnBackdoor, ...] = ()
    ended: str = ""

    @property
    def weak(self) -> bool:
        """Whether a backdoor of its own still works too often for the repair to be trusted."""
        return any(each.left.value > WEAK for each in self.own)


@dataclass(frozen=True)
class MeasuredRepair:
    """Repair a network with a part of the trusted examples and measure the damage on the others.

    Attributes:
        method: the repair.
        scanner: how suspects are scanned.
        apart: share of the trusted examples, of each class, that the repair never sees.
        max_loss: accuracy on those that the repair may cost, as a share; where it costs more the
            old network comes back. What was measured decides, without the benefit of the doubt that
            an interval would give: with few examples a harmless repair is undone now and then.

    Raises:
        MethodError: where a share is out of range.
    """

    method: Repair
    scanner: DataScanner = field(default_factory=DataScanner)
    apart: float = 0.3
    max_loss: float = MAX_LOSS

    def __post_init__(self) -> None:
        if not 0 <= self.max_loss <= 1:
            raise MethodError(
                f"expected {option('max_loss', 'SHARE')} between 0 and 1, the accuracy that a "
                f"repair may cost; found {self.max_loss}"
            )

    def repair(
        self, model: nn.Module, trusted: Dataset, domain: Domain, seed: int = 0,
        *, suspects: Dataset | None = None, saw: Saw = "suspect", runtime: Runtime | None = None,
        step: Announce | None = None,
    ) -> RepairOutcome:  # fmt: skip
        """Repair a copy of a network, and compare it with the one before.

        Suspects are compared with trusted examples that the repair never saw, so that both are
        alike to the repaired network too.

        Args:
            suspects: what it may have been trained on.
            saw: which of suspect and trusted examples it was trained on, see `Scanner.scan`.

        Raises:
            MethodError: where the repair asks for suspects and there are none.
        """
        runtime, say = runtime or Runtime(), step or (lambda _: None)
        learn, measured = set_apart(trusted, self.apart, stream(seed, "repaired", "apart"))
        view = View(suspects, domain=domain, model=model, clean=learn, runtime=runtime)
        say(f"repairing by {self.method.name()}")
        with Passes() as passes:
            mended, choice = self._mended(view, suspects, seed)
        cost = passes.cost()
        say("comparing the network before with the one after")
        harm = damage(model, mended, measured, domain, runtime)
        changed, scans, used = None, None, tuple(sorted(view.used))
        own = own_backdoors(choice, measured, view, stream(seed, "repaired", "own"))
        ended = "" if choice is None else choice.described()
        nothing = choice is not None and choice.repair is None
        if nothing or (harm.fall is not None and harm.fall.value > self.max_loss + EPSILON):
            return RepairOutcome(
                model, harm, None, None, used, learn, measured, cost, True, own, ended
            )
        if suspects is not None:
            prepared = domain.prepare(suspects.inputs)
            before, after = (predict(m, prepared, runtime) for m in (model, mended))
            changed = share(before != after)
            then = "suspect" if view.used & OF_SUSPECTS else saw
            scans = (
                self._scan(model, suspects, measured, domain, seed, saw, runtime, step),
                self._scan(mended, suspects, measured, domain, seed, then, runtime, step),
            )
        return RepairOutcome(
            mended, harm, changed, scans, used, learn, measured, cost, False, own, ended
        )

    def _mended(
        self, view: View, suspects: Dataset | None, seed: int
    ) -> tuple[nn.Module, Choice | None]:
        rng, method = stream(seed, "repaired", "repair"), self.method
        try:
            if isinstance(method, SelfChosen):
                return replace(method, budget=min(method.budget, self.max_loss)).chosen(view, rng)
            return method.mend(view, rng), None
        except MethodError as error:
            if suspects is not None or not view.used & OF_SUSPECTS:
                raise
            raise MethodError(
                f"{self.method.name()} asks for what only data can tell that the network may have "
                f"been trained on ({error}); give them as suspects, on the command line by --data"
            ) from error

    def _scan(
        self,
        model: nn.Module,
        suspects: Dataset,
        measured: Dataset,
        domain: Domain,
        seed: int,
        saw: Saw,
        runtime: Runtime,
        step: Announce | None,
    ) -> DataScan:
        return self.scanner.scan(
            suspects, measured, domain, seed, runtime=runtime, model=model, saw=saw, step=step
        )


def own_backdoors(
    choice: Choice | None, measured: Dataset, view: View, rng: np.random.Generator
) -> tuple[OwnBackdoor, ...]:
    """Ask the planted copy, before its repair and after it, about examples that neither saw."""
    if choice is None or choice.own is None or choice.mended is None:
        return ()
    own = choice.own
    before, after = (own.obeyed(m, measured, view, rng) for m in (own.model, choice.mended))
    every = zip(own.stamps, own.targets, before, after, strict=True)
    return tuple(
        OwnBackdoor(str(stamp), measured.classes[label], planted, left)
        for stamp, label, planted, left in every
        if planted.n
    )
