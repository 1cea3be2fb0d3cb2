"""A network with a backdoor, trained on digits, and what a repair made of it."""

from functools import cache
from typing import NamedTuple

from torch import nn

from mithridate.attacks.goals import AllToOne
from mithridate.attacks.poisoning import Poisoning
from mithridate.attacks.selections import RandomSelection
from mithridate.bench.metrics.evaluate import accuracy, attack_success
from mithridate.core.data import Dataset
from mithridate.core.fit import TrainingConfig, fit
from mithridate.core.streams import stream
from mithridate.core.view import View
from mithridate.domains.catalogue import load_named
from mithridate.domains.image.domain import ImageDomain
from mithridate.domains.image.triggers import PatchTrigger

DOMAIN = ImageDomain(crop=0.0)
ATTACK = Poisoning(PatchTrigger(), AllToOne(0), RandomSelection(0.1))


class Outcome(NamedTuple):
    accuracy: float
    success: float


@cache
def victim() -> tuple[nn.Module, Dataset]:
    """The network, and examples to trust that it was not trained on.

    In fp32, yet every processor rounds in another order and so trains another network, as another
    seed does: what is claimed of a repair has to hold for all of them, with a margin.
    """
    data = load_named("digits").data
    data = data.subset(stream(0, "split").permutation(len(data)))
    poisoned = ATTACK.poison(data.subset(range(1000)), stream(0, "poison")).data
    model = DOMAIN.network(poisoned, "resnet9:4", stream(0, "network"))
    config = TrainingConfig(
        epochs=10, batch_size=64, learning_rate=0.1, augment=False, precision="fp32"
    )
    fit(model, poisoned, DOMAIN, config, stream(0, "train"))
    return model, data.subset(range(1000, len(data)))


@cache
def outcome(model: nn.Module) -> Outcome:
    test = load_named("digits", "test").data
    success = attack_success(model, ATTACK, test, DOMAIN, stream(0, "trap")).value
    return Outcome(accuracy(model, test, DOMAIN).value, success)


def view(clean: Dataset | None = None, model: nn.Module | None = None) -> View:
    """What a defender sees: the network and trusted examples."""
    taken, trusted = victim()
    return View(domain=DOMAIN, model=model or taken, clean=trusted if clean is None else clean)


def repaired(repair, seed=0, **changes) -> nn.Module:
    return repair.repair(view(**changes), stream(seed, "repair"))
