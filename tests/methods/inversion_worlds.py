"""Networks on enlarged digits, with a backdoor and without, in which triggers are sought."""

from functools import cache

from torch import nn

from mithridate.attacks.goals import AllToOne
from mithridate.attacks.poisoning import Poisoning
from mithridate.attacks.selections import RandomSelection
from mithridate.core.data import Dataset, dataset
from mithridate.core.fit import TrainingConfig, fit
from mithridate.core.streams import stream
from mithridate.core.view import View
from mithridate.domains.catalogue import load_named
from mithridate.domains.image.domain import ImageDomain
from mithridate.domains.image.triggers import PatchTrigger
from networks.kept import kept

DOMAIN = ImageDomain(crop=0.0)
TARGET = 7
ATTACK = Poisoning(PatchTrigger(), AllToOne(TARGET), RandomSelection(0.1))
WORLDS = ("clean", "all to one")


@cache
def examples() -> Dataset:
    """Digits of 16x16, so that a patch is small beside them."""
    data = load_named("digits").data
    data = data.subset(stream(0, "split").permutation(len(data)))
    larger = data.inputs.repeat_interleave(2, 2).repeat_interleave(2, 3)
    return dataset(larger, data.labels, classes=data.classes)


def named(world: str) -> str:
    """The file of a network."""
    return f"enlarged-{world.replace(' ', '-')}"


def untrained() -> nn.Module:
    return DOMAIN.network(examples(), "resnet9:4", stream(0, "network"))


def trained(world: str) -> nn.Module:
    """Train a network on 1,000 digits: "clean", or poisoned."""
    data, model = examples().subset(range(1000)), untrained()
    if world != "clean":
        data = ATTACK.poison(data, stream(0, "poison")).data
    config = TrainingConfig(6, 64, 0.1, augment=False, precision="fp32")
    return fit(model, data, DOMAIN, config, stream(0, "train")).model


@cache
def network(world: str) -> nn.Module:
    """The network of a world, from its file."""
    return kept(named(world), untrained())


def view(world: str, n: int = 200, model: nn.Module | None = None) -> View:
    """What a scanner sees: the network and trusted examples that it was not trained on."""
    trusted = examples().subset(range(1000, 1000 + n))
    return View(domain=DOMAIN, model=model or network(world), clean=trusted, precision="fp32")
