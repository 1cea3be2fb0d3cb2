"""What every trainer keeps to, in every domain; no trainer is named here."""

import contextlib
from dataclasses import replace

import pytest
import torch

from conformance.worlds import (
    SMALL,
    copy,
    domains,
    every,
    labelled,
    learnable,
    same,
    shortened,
    tried_in,
    variants,
)
from mithridate.core.errors import MethodError
from mithridate.core.inference import forward
from mithridate.core.method import Trainer
from mithridate.core.runtime import Runtime
from mithridate.core.streams import stream
from mithridate.core.training_run import TrainingRun

DOMAINS = domains()
CASES = [
    (domain, trainer)
    for domain in DOMAINS
    for cls in every(Trainer).values()
    if tried_in(cls, domain)
    for trainer in variants(cls, domain)
]
each = pytest.mark.parametrize("domain, trainer", CASES, ids=lambda v: str(v)[:60])
FIRSTS = [
    (domain, next(variants(cls, domain)))
    for domain in DOMAINS
    for cls in every(Trainer).values()
    if tried_in(cls, domain)
]
first = pytest.mark.parametrize("domain, trainer", FIRSTS, ids=lambda v: str(v)[:60])
"""Where a variant changes what is minimised, and not what is kept on the disk."""

LEARNS = {"image": "resnet9:8", "sound": "cnn"}
"""The smallest networks that learn two shades from any start, where the default one is large."""


def train(domain, trainer, data, run=None):
    name = SMALL.get(domain, "")
    model = trainer.form(DOMAINS[domain].network(labelled(domain), name, stream(0, "network")))
    return trainer.train(model, data, DOMAINS[domain], stream(0, "train"), run)


def test_every_trainer_is_tried():
    assert {type(trainer) for _, trainer in CASES} == set(every(Trainer).values())


@each
def test_it_records_what_it_did_and_leaves_the_data_untouched(domain, trainer):
    data = labelled(domain)
    inputs, labels = copy(data.inputs), data.labels.clone()
    result = train(domain, trainer, data)
    assert result.losses.shape[0] == len(data)
    assert result.losses.shape[1] >= 1
    assert torch.isfinite(result.losses).all()
    assert {"seconds", "forward", "backward"} <= set(result.cost)
    assert result.cost["forward"] >= len(data)
    assert not result.model.training, "a trained model is in evaluation mode"
    assert same(data.inputs, inputs)
    assert torch.equal(data.labels, labels)


@each
def test_it_learns_what_can_be_learnt(domain, trainer):
    data = learnable(domain, 256)
    name = LEARNS.get(domain, "")
    model = trainer.form(DOMAINS[domain].network(data, name, stream(0, "network")))
    if name and hasattr(trainer, "training"):  # moving averages of normalisation need some steps
        trainer = replace(trainer, training=replace(trainer.training, epochs=6, batch_size=32))
    trainer = unsmoothed(trainer)
    result = trainer.train(model, data, DOMAINS[domain], stream(0, "train"))
    _, logits = forward(result.model, DOMAINS[domain].prepare(data.inputs), Runtime())
    assert (logits.argmax(1) == data.labels).float().mean() > 0.95
    assert result.losses[:, -1].mean() < 0.5 * result.losses[:, 0].mean()


def unsmoothed(trainer):
    """The same trainer with sharp labels: smoothed ones have a least loss, which is not zero."""
    config = getattr(trainer, "training", None)
    if config is None or not config.label_smoothing:
        return trainer
    return replace(trainer, training=replace(config, label_smoothing=0.0))


@each
def test_the_stream_decides_every_bit(domain, trainer):
    before = torch.random.get_rng_state()
    first, again = (train(domain, shortened(trainer, 3), labelled(domain)) for _ in range(2))
    assert torch.equal(first.losses, again.losses)
    weights, others = first.model.state_dict(), again.model.state_dict()
    assert all(torch.equal(weights[name], others[name]) for name in weights)
    assert torch.equal(before, torch.random.get_rng_state()), "global randomness was used"


class Stopped(Exception):
    """What ends a training in its middle, as Ctrl-C does."""


def trained_by_epochs(domain, trainer, folder):
    """Train a network that is stopped after each epoch and goes on; gives it and what was told."""
    told = []

    def stop(*now):
        if now not in told:  # one stage was left out: that is told again
            told.append(now)
            raise Stopped

    for _ in range(1000):
        with contextlib.suppress(Stopped):
            run = TrainingRun(progress=stop, checkpoint=folder)
            return train(domain, trainer, labelled(domain), run), told
    raise AssertionError(f"it comes to no end: {told[-3:]}")


@first
def test_stopped_after_any_epoch_it_goes_on_with_the_same_bits(domain, trainer, tmp_path):
    trainer, told = shortened(trainer, 3), []
    run = TrainingRun(progress=lambda *now: told.append(now))
    straight = train(domain, trainer, labelled(domain), run)
    resumed, again = trained_by_epochs(domain, trainer, tmp_path)
    assert told == again
    assert [done for done, _ in told] == sorted({done for done, _ in told})
    assert {total for _, total in told} == {told[-1][0]}, "it ends with all epochs done"
    assert torch.equal(resumed.losses, straight.losses)
    assert resumed.notes.keys() == straight.notes.keys()
    assert all(torch.equal(resumed.notes[name], note) for name, note in straight.notes.items())
    weights, others = resumed.model.state_dict(), straight.model.state_dict()
    assert all(torch.equal(weights[name], others[name]) for name in others)


@each
def test_an_objective_is_minimised_or_refused(domain, trainer):
    run = TrainingRun(objective=lambda batch: -batch.losses)
    if not trainer.takes_objective:
        with pytest.raises(MethodError, match="objective of its own"):
            train(domain, trainer, labelled(domain), run)
    else:
        losses = train(domain, trainer, labelled(domain), run).losses.mean(0)
        assert losses[-1] > losses[0]


@each
def test_edges_give_a_finite_model_or_a_clear_error(domain, trainer):
    whole = labelled(domain)
    for data in (whole.subset([0, 1]), whole.subset(whole.labels == 2)):
        model = train(domain, shortened(trainer, 3), data).model
        _, logits = forward(model, DOMAINS[domain].prepare(data.inputs), Runtime())
        assert torch.isfinite(logits).all()
    for size in (0, 1):
        with pytest.raises(MethodError, match=f"found {size}"):
            train(domain, trainer, whole.subset(torch.arange(size)))
