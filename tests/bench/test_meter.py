"""What a step costs is counted, not guessed."""

import copy
import time

import pytest
import torch
from torch import nn

from mithridate.bench.meter import Meter
from mithridate.core.data import dataset
from mithridate.core.fit import TrainingConfig, fit
from mithridate.core.inference import forward
from mithridate.core.runtime import Runtime
from mithridate.core.streams import stream
from mithridate.domains.image.domain import ImageDomain


@pytest.fixture
def meter():
    return Meter()


def network():
    return nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))


def passes(meter):
    cost = meter.cost()
    return cost["forward"], cost["backward"]


def test_examples_passed_are_counted(meter):
    model = meter.watch(network())
    model(torch.rand(5, 4))
    assert passes(meter) == (5, 0)
    with torch.inference_mode():
        model(torch.rand(7, 4))
    assert passes(meter) == (12, 0)
    model(torch.rand(2, 4)).sum().backward()
    assert passes(meter) == (14, 2)


def test_batches_of_inference_are_counted_by_example(meter):
    forward(meter.watch(network()), torch.rand(23, 4), Runtime(batch_size=10))
    assert passes(meter) == (23, 0)


def test_a_training_passes_every_example_once_an_epoch_both_ways(meter):
    rng = stream(0, "meter")
    data = dataset(torch.from_numpy(rng.integers(0, 255, (50, 1, 8, 8))).byte(), [0, 1] * 25)
    domain = ImageDomain()
    model = meter.watch(domain.network(data, "", rng))
    fit(model, data, domain, TrainingConfig(epochs=3, batch_size=16), rng)
    assert passes(meter) == (150, 150)


def test_a_new_step_begins_at_nothing(meter):
    model = meter.watch(network())
    model(torch.rand(5, 4)).sum().backward()
    meter.start()
    assert passes(meter) == (0, 0)
    assert meter.watch(model) is model
    model(torch.rand(3, 4))
    assert passes(meter) == (3, 0), "watched twice, counted once"


def test_a_copy_is_counted_too_so_that_repairs_have_a_cost(meter):
    again = copy.deepcopy(meter.watch(network()))
    again(torch.rand(4, 4)).sum().backward()
    assert passes(meter) == (4, 4)


def test_a_model_that_nobody_watches_is_not_counted(meter):
    network()(torch.rand(4, 4))
    assert passes(meter) == (0, 0)


def test_seconds_are_those_of_the_clock_and_of_the_process(meter):
    time.sleep(0.05)
    cost = meter.cost()
    assert 0.05 <= cost["seconds"] < 1.0 and cost["cpu_seconds"] < cost["seconds"]


def test_the_peak_is_that_of_the_step(meter):
    held = torch.ones(40_000_000)  # 160 MB
    assert held.sum() > 0
    with_it = meter.cost()["peak_mb"]
    del held
    meter.start()
    without = meter.cost()["peak_mb"]
    assert with_it > 160
    assert without <= with_it
