"""A network with a backdoor and its clean twin, and how well a guard of either tells triggers."""

from dataclasses import replace
from functools import cache

import torch
from torch import nn

from methods.smooth_world import smooth, victim
from mithridate.attacks.goals import AllToOne
from mithridate.attacks.poisoning import Poisoning
from mithridate.attacks.selections import RandomSelection
from mithridate.core.data import Dataset
from mithridate.core.inference import logits_of
from mithridate.core.runtime import Runtime
from mithridate.core.streams import stream
from mithridate.core.view import View
from mithridate.domains.image.domain import ImageDomain
from mithridate.domains.image.triggers import PatchTrigger
from mithridate.stats.ranking import auroc
from networks.kept import kept

DOMAIN = ImageDomain(crop=0.0)
ATTACK = Poisoning(PatchTrigger(), AllToOne(2), RandomSelection(0.1))


def named(attack: Poisoning | None) -> str:
    """The file of a network."""
    return "clouds-victim" if attack else "clouds-clean"


def untrained() -> nn.Module:
    return DOMAIN.network(smooth(4), "resnet9:8", stream(0, "network"))


def trained(attack: Poisoning | None) -> nn.Module:
    """Train the victim of an attack, or with None the same network without one."""
    data = smooth(600)
    return victim(attack.poison(data, stream(0, "poison")).data if attack else data)


@cache
def network(attack: Poisoning | None = ATTACK) -> nn.Module:
    """The victim of an attack or the same network without one: the usual ones are files."""
    if attack in (ATTACK, None):
        return kept(named(attack), untrained())
    return trained(attack)


def test() -> Dataset:
    """What arrives."""
    return smooth(200, seed=2)


def view(data: Dataset, model: nn.Module) -> View:
    return View(data, domain=DOMAIN, model=model, precision="fp32")


def trusted(model: nn.Module) -> View:
    """Examples that no network was trained on."""
    return view(smooth(200, seed=1), model)


def arriving(model: nn.Module, attack: Poisoning = ATTACK) -> tuple[View, View]:
    """Triggered inputs and clean ones of the same classes, with the labels that it gives them."""
    found, data = [], test()
    for asked in (attack.triggered_test(data, stream(0, "trap")), data.subset(data.labels != 2)):
        labels = logits_of(model, DOMAIN.prepare(asked.inputs), Runtime(), "fp32").argmax(1)
        found.append(view(replace(asked, labels=labels), model))
    return found[0], found[1]


def separation(detector, model: nn.Module, attack: Poisoning = ATTACK) -> float:
    """AUROC of triggered inputs against clean ones."""
    state = detector.fit(trusted(model))
    above, below = (detector.score(state, each) for each in arriving(model, attack))
    return auroc(torch.cat([above, below]), torch.arange(len(above) + len(below)) < len(above))
