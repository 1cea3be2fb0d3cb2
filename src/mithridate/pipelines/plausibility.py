"""Whether a network does what it is taken to do, before anything else is said of it.

Scanners, guards and repairs take for granted that outputs stand for the classes in the given order
and that inputs enter as they did in training. Where that is wrong they answer all the same, and
what they answer means nothing. Only trusted examples and their labels are asked: a backdoor, which
leaves those alone, changes nothing here.
Axes: n trusted examples, c classes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mithridate.core.data import Dataset
from mithridate.core.domain import Domain
from mithridate.core.errors import CannotJudge
from mithridate.core.inference import logits_of
from mithridate.core.runtime import Runtime
from mithridate.core.spelling import option
from mithridate.core.streams import stream
from mithridate.domains.elsewhere import other_encodings
from mithridate.pipelines.class_orders import listed, usual_orders
from mithridate.stats.confusion import (
    PERMUTATIONS,
    Counts,
    best_order,
    confusion,
    guessed,
    guessing_p_value,
    sign_p_value,
)
from mithridate.stats.intervals import Interval, proportion

GUESSING = 0.05
"""Level at which a network must know more than one that does not look at its inputs."""

SURE = 0.01
"""Level, over all that is tried, at which another order or encoding must be right more often."""

LITTLE = 0.05
"""Share of what guessing misses below which a network is surely of no use."""

FINE = 0.9
"""Accuracy from which on no other encoding is tried: it is read well enough to be judged."""

TRIED = 128
"""Examples on which another encoding is tried."""

Right = NDArray[np.bool_]


@dataclass(frozen=True)
class Plausibility:
    """What trusted examples say of a network and of how it is read.

    Attributes:
        accuracy: Share of trusted examples whose label it predicts, with an exact 95 % interval.
        guessing: The share that its predictions would reach in a random order, in [0, 1].
        why: Why the network cannot be judged as it is read, in words; "" where it can.

    """

    accuracy: Interval
    guessing: float
    why: str = ""

    def described(self) -> str:
        """Say how accurate the network is, in words."""
        return f"accuracy on {self.accuracy.n:,} trusted examples: {percent(self.accuracy)}"

    def believed(self) -> Interval:
        """Give the accuracy.

        Raises:
            CannotJudge: The network cannot be judged as it is read.

        """
        if self.why:
            raise CannotJudge(self.why)
        return self.accuracy


@dataclass(frozen=True, eq=False)
class Rival:
    """Another way to read the network that is right far more often.

    Attributes:
        accuracy: Its share of right predictions, in [0, 1].
        says: What it is, and what to do, in words.

    """

    accuracy: float
    says: str


def check_plausibility(
    model: nn.Module, trusted: Dataset, domain: Domain, *, precision: str = "fp32",
    runtime: Runtime | None = None, encodings: Iterable[tuple[str, nn.Module]] = (), seed: int = 0,
) -> Plausibility:  # fmt: skip
    """Ask whether a network can be judged by trusted examples as it is read.

    It cannot where its answers are not finite; where another usual order of classes, the best of
    all orders, or another encoding of the inputs is right far more often; or where it knows nothing
    of the labels. A network that is merely poor passes. `docs/scanning_models.md` gives the rule.

    Args:
        model: The network as it is deployed.
        trusted: Examples whose labels are known to be right.
        domain: Of the examples.
        precision: Of the arithmetic, as for `core.inference.logits_of`.
        runtime: Where to compute.
        encodings: The same network behind other encodings of its inputs, with what each is called.
        seed: Of the orders that are drawn at random.
    """
    runtime = runtime or Runtime()
    labels, predicted = (
        trusted.labels.numpy(),
        _predicted(model, trusted, domain, precision, runtime),
    )
    accuracy = proportion(int((labels == predicted).sum()), len(labels))
    chance = guessed(confusion(labels, predicted, len(trusted.classes)))
    unanswered = int((predicted < 0).sum())
    if unanswered:
        why = f"its answers are not finite for {unanswered:,} of {len(labels):,} trusted examples"
        return Plausibility(accuracy, chance, why)
    rivals = [*_by_usual_order(labels, predicted, trusted.classes, seed)]
    if accuracy.value < FINE:
        few = trusted.subset(stream(seed, "plausibility", "few").permutation(len(trusted))[:TRIED])
        rivals += _by_encoding(model, few, domain, precision, runtime, list(encodings), seed)
    rivals = rivals or [*_by_best_order(labels, predicted, trusted.classes, seed)]
    if rivals:
        says = max(rivals, key=lambda rival: rival.accuracy).says
        return Plausibility(accuracy, chance, f"it is right on {percent(accuracy)} of {says}")
    return Plausibility(accuracy, chance, _knows_nothing(accuracy, chance, labels, predicted, seed))


def check_as_read(
    model: nn.Module,
    trusted: Dataset,
    domain: Domain,
    *,
    precision: str = "fp32",
    runtime: Runtime | None = None,
    seed: int = 0,
) -> Plausibility:
    """Ask `check_plausibility`, and try every encoding that the network might be meant for.

    Args:
        model: The network.
        trusted: Examples whose labels are known to be right.
        domain: Of the examples.
        precision: Of the arithmetic.
        runtime: Where to compute.
        seed: Of what is drawn at random.

    """
    others = other_encodings(model, domain.prepare(trusted.inputs))
    return check_plausibility(
        model, trusted, domain,
        precision=precision, runtime=runtime, encodings=others, seed=seed,
    )  # fmt: skip


def percent(share: Interval) -> str:
    """Spell a share with its interval."""
    return f"{100 * share.value:.1f} % ({100 * share.low:.1f} to {100 * share.high:.1f})"


def _predicted(
    model: nn.Module, data: Dataset, domain: Domain, precision: str, runtime: Runtime
) -> Counts:
    """The class that a network predicts for each example, int64[n]; -1 without a finite answer."""
    logits = logits_of(model, domain.prepare(data.inputs), runtime, precision)
    predicted = torch.where(torch.isfinite(logits).all(1), logits.argmax(1), -1)
    return np.asarray(predicted.numpy(), dtype=np.int64)


def _far_better(other: Right, given: Right, tried: int = 1) -> bool:
    """Whether another reading is surely and at least twice as often right.

    Args:
        tried: number of readings that are tried, which share the level.
    """
    if sign_p_value(other, given) > SURE / tried:
        return False
    return bool(other.mean() >= 2 * given.mean())


def _knows_more(labels: Counts, predicted: Counts, classes: int, seed: int, tried: int = 1) -> bool:
    """Whether a network, read another way, is surely and clearly better than guessing.

    Else nothing speaks for that way: of many, one is always right most often by chance.

    Args:
        tried: number of readings that are tried, which share the level.
    """
    share = proportion(int((labels == predicted).sum()), len(labels))
    if share.low < _floor(guessed(confusion(labels, predicted, classes))):
        return False
    rng = stream(seed, "plausibility", "knows")
    draws = max(PERMUTATIONS, round(2 * tried / SURE))
    return guessing_p_value(labels, predicted, rng, draws) <= SURE / tried


def _floor(chance: float) -> float:
    """Give the accuracy below which a network is of no use, by what guessing reaches.

    A twentieth of what guessing misses is added, and guessing at most doubled, so that a poor
    network of many classes is above it.
    """
    return min(chance + LITTLE * (1 - chance), 2 * chance)


def _by_usual_order(
    labels: Counts, predicted: Counts, classes: Sequence[str], seed: int
) -> Iterable[Rival]:
    """Find the usual orders in which the network is right far more often.

    They are compared on the classes that they name otherwise.
    """
    given, usual = predicted == labels, usual_orders(classes, labels)
    for name, order in usual.items():
        right = order[predicted] == labels
        moved = order[labels] != labels
        if _far_better(right[moved], given[moved], len(usual)) and _knows_more(
            labels, order[predicted], len(classes), seed, len(usual)
        ):
            yield _ordered(name, order, right, classes)


def _by_best_order(
    labels: Counts, predicted: Counts, classes: Sequence[str], seed: int
) -> Iterable[Rival]:
    """Find the best of all orders, where the network is right far more often in it.

    It is sought on one half of the examples and tested on the other, and must be right on most of
    those whose class it names otherwise: a poor network of many classes always has some that it
    takes for each other.
    """
    rows = stream(seed, "plausibility", "halves").permutation(len(labels))
    half, rest = rows[: len(rows) // 2], rows[len(rows) // 2 :]
    order = best_order(confusion(labels[half], predicted[half], len(classes)))
    right, given = order[predicted] == labels, predicted == labels
    moved = rest[order[labels[rest]] != labels[rest]]
    if not _far_better(right[moved], given[moved]) or right[moved].mean() <= 0.5:
        return
    if _knows_more(labels[rest], order[predicted[rest]], len(classes), seed):
        yield _ordered("in an order of no usual kind", order, right, classes)


def _ordered(name: str, order: Counts, right: Right, classes: Sequence[str]) -> Rival:
    """Say what an order of classes would change, and how to give it."""
    share = float(right.mean())
    told = option("classes", listed(classes, order) or None)
    return Rival(
        share,
        f"{len(right):,} trusted examples, and would be on {100 * share:.1f} % if its outputs were "
        f"the classes {name}, and not in the order {_short(classes)}; if that is how it was "
        f"trained, say so: {told}",
    )


def _short(names: Sequence[str], most: int = 6) -> str:
    """Write the first names of some classes."""
    cut = [name if len(name) <= 20 else f"{name[:20]}..." for name in names[:most]]
    return ", ".join(cut) + (", ..." if len(names) > most else "")


def _by_encoding(
    model: nn.Module, few: Dataset, domain: Domain, precision: str, runtime: Runtime,
    encodings: Sequence[tuple[str, nn.Module]], seed: int,
) -> Iterable[Rival]:  # fmt: skip
    """Find the encodings of inputs with which the network is right far more often.

    Twice as often; or nine times in ten, and wrong at most half as often, since a network that is
    merely poor does not do well in an encoding that it was not trained for.
    """
    if not encodings:
        return
    labels = few.labels.numpy()
    given = _predicted(model, few, domain, precision, runtime) == labels
    for name, other in encodings:
        predicted = _predicted(other, few, domain, precision, runtime)
        right = predicted == labels
        sure = sign_p_value(right, given) <= SURE / len(encodings)
        if not (sure and _knows_more(labels, predicted, len(few.classes), seed, len(encodings))):
            continue
        rate = float(right.mean())
        well = rate >= FINE and 1 - rate <= (1 - given.mean()) / 2
        if well or rate >= 2 * given.mean():
            on = f"the trusted examples, and on {100 * rate:.1f} % of {len(few)} of them {name}"
            yield Rival(rate, on)


def _knows_nothing(
    accuracy: Interval, chance: float, labels: Counts, predicted: Counts, seed: int
) -> str:
    """Say why a network is no better than guessing; "" where it is."""
    floor = _floor(chance)
    rng = stream(seed, "plausibility", "guessing")
    unsure = guessing_p_value(labels, predicted, rng) > GUESSING
    if not unsure and accuracy.high >= floor:
        return ""
    counts = np.bincount(predicted)
    same = f"; it predicts one class for {counts.max() / len(labels):.0%} of them"
    more = "no more" if unsure else "hardly more"
    return (
        f"it is right on {percent(accuracy)} of {len(labels):,} trusted examples, {more} than the "
        f"{100 * chance:.1f} % of the same predictions in a random order"
        f"{same if counts.max() > len(labels) / 2 else ''}; check that the examples are of the "
        f"kind that it was trained on and enter it as they did in training"
    )
