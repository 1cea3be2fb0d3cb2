"""A training in stages that is stopped goes on with the same bits, whatever ended its stages."""

import contextlib
import copy

import pytest
import torch
from torch import nn

from mithridate.core.data import dataset
from mithridate.core.fit import TrainingConfig, fit
from mithridate.core.streams import stream
from mithridate.core.training_run import TrainingRun
from mithridate.trainers.stages import Course, UnlearningWatch, apart


class Numbers:
    """The least domain: inputs are floats already."""

    def prepare(self, inputs):
        return inputs

    def augment(self, batch, rng):
        return batch


RECIPE = TrainingConfig(
    epochs=12, batch_size=20, learning_rate=0.05, precision="fp32", weight_decay=0.0, warmup=1.0
)
N = 120


def world():
    """Two classes apart in the first number; the first ten of class 1 show it by the last alone."""
    inputs = torch.from_numpy(stream(0, "stages").standard_normal((N, 4))).float() / 2
    labels = torch.arange(N) % 2
    inputs[:, 0] += 4 * labels - 2
    odd = (labels == 1).nonzero().flatten()[:10]
    inputs[odd] = torch.tensor([-2.0, 0.0, 0.0, 9.0])
    return dataset(inputs, labels), odd


def course_of(run):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 2))
    return Course(model, world()[0], Numbers(), run, 24)


def unlearn(suspects, left, run):
    """Learn all, and then unlearn the suspects under watch; gives the course and its watch."""
    course, rng = course_of(run), stream(0, "unlearn")
    everything = torch.arange(N)
    course.stage(everything, RECIPE, rng)
    others = everything[~torch.isin(everything, suspects)]
    watch = UnlearningWatch(course, suspects, [(others, 0.05)], left)
    suspect = torch.isin(everything, suspects)
    course.stage(everything, RECIPE, rng, apart(suspect), watch)
    course.trained({})
    return course, watch


class Stopped(Exception):
    """Ends a training in its middle."""


def unlearn_by_epochs(suspects, left, folder):
    told = set()

    def stop(*now):
        if now not in told:
            told.add(now)
            raise Stopped

    while True:
        with contextlib.suppress(Stopped):
            return unlearn(suspects, left, TrainingRun(progress=stop, checkpoint=folder))


ORDINARY = torch.arange(21, 61, 2)


@pytest.mark.parametrize(
    "suspects, left, unlearnt",
    [(world()[1], 0.2, True), (ORDINARY, 0.02, False), (world()[1], -1.0, False)],
    ids=["unlearnt", "harm", "to the last epoch"],
)
def test_a_watched_stage_goes_on_as_it_was(suspects, left, unlearnt, tmp_path):
    course, watch = unlearn(suspects, left, TrainingRun())
    again, seen = unlearn_by_epochs(suspects, left, tmp_path)
    assert watch.unlearnt == seen.unlearnt == unlearnt
    assert (course.losses.shape[1] < 24) == (left > 0), "the watch ends a stage early"
    assert torch.equal(course.losses, again.losses)
    weights, others = course.model.state_dict(), again.model.state_dict()
    assert all(torch.equal(weights[name], others[name]) for name in weights)


def test_a_training_that_was_ended_does_not_go_on(tmp_path):
    data, model = world()[0], course_of(TrainingRun()).model
    run = TrainingRun(checkpoint=tmp_path)
    for begun in (model, copy.deepcopy(model)):
        result = fit(
            begun, data, Numbers(), RECIPE, stream(0, "t"), run, enough=lambda done: done == 2
        )
        assert result.losses.shape[1] == 2
    assert result.cost["forward"] == 0
