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
from networks.kept import kept

DOMAIN = ImageDomain(crop=0.0)
ATTACK = Poisoning(PatchTrigger(), AllToOne(0), RandomSelection(0.1))


class Outcome(NamedTuple):
    accuracy: float
    success: float


RECIPE = TrainingConfig(
    epochs=10, batch_size=64, learning_rate=0.1, augment=False, precision="fp32"
)


@cache
def split() -> tuple[Dataset, Dataset]:
    """The thousand digits that networks are trained on, and others to trust."""
    data = load_named("digits").data
    data = data.subset(stream(0, "split").permutation(len(data)))
    return data.subset(range(1000)), data.subset(range(1000, len(data)))


def untrained(seed: int = 0) -> nn.Module:
    return DOMAIN.network(split()[0], "resnet9:4", stream(seed, "network"))


def trained(seed: int, attack: Poisoning | None) -> nn.Module:
    """Train the victim of an attack, or with None its clean twin, as `networks/make.py` does."""
    data, model = split()[0], untrained(seed)
    if attack:
        data = attack.poison(data, stream(seed, "poison")).data
    return fit(model, data, DOMAIN, RECIPE, stream(seed, "train")).model


@cache
def victim(seed: int = 0) -> tuple[nn.Module, Dataset]:
    """A network that was poisoned, and examples to trust that it was not trained on.

    It is a file. A repair that trains still ends elsewhere on every processor, and what is claimed
    of a method should hold of other victims, too: with a margin, or of most of three seeds.
    """
    return kept(f"victim-{seed}", untrained()), split()[1]


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
