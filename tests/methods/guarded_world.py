"""A small network with a backdoor, and inputs of every kind with the labels that it gives them."""

from dataclasses import replace
from functools import cache

import torch

from methods.victim_to_repair import ATTACK, DOMAIN, victim
from mithridate.core.data import Dataset
from mithridate.core.inference import logits_of
from mithridate.core.runtime import Runtime
from mithridate.core.streams import stream
from mithridate.core.view import View
from mithridate.domains.catalogue import load_named
from mithridate.domains.image.adversarial import projected_gradient
from mithridate.stats.ranking import auroc


def predicted(data: Dataset) -> Dataset:
    """The same inputs with the labels that the network gives them."""
    prepared = DOMAIN.prepare(data.inputs)
    return replace(data, labels=logits_of(victim()[0], prepared, Runtime(), "fp32").argmax(1))


def view(data: Dataset) -> View:
    return View(data, domain=DOMAIN, model=victim()[0], precision="fp32")


@cache
def trusted() -> View:
    return view(victim()[1])


@cache
def clean() -> View:
    test = load_named("digits", "test").data
    return view(predicted(test.subset(test.labels != 0)))


@cache
def triggered() -> View:
    found = predicted(ATTACK.triggered_test(load_named("digits", "test").data, stream(0, "trap")))
    return view(found.subset(found.labels == 0))


@cache
def adversarial() -> View:
    """Clean inputs, moved just over the border to the class after their own."""
    data = clean()
    inputs, target_labels = data.inputs, (data.labels + 1) % 10
    found = projected_gradient(
        victim()[0], inputs, target_labels, budget=48.0, steps=24, stride=4.0
    )
    moved = Dataset(
        found.images, target_labels, torch.arange(len(target_labels)), tuple("0123456789")
    )
    return view(predicted(moved.subset(found.fooled)))


def apart(detector, positive: View) -> float:
    """AUROC of inputs that should be suspicious against clean ones."""
    state = detector.fit(trusted())
    above, below = detector.score(state, positive), detector.score(state, clean())
    return auroc(torch.cat([above, below]), torch.arange(len(above) + len(below)) < len(above))
