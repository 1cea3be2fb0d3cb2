"""The one training loop against a slow literal one, and its resumption bit by bit."""

import math

import pytest
import torch
from torch import nn

from mithridate.core.data import dataset
from mithridate.core.errors import MethodError
from mithridate.core.fit import Recipe, fit
from mithridate.core.streams import stream


class Numbers:
    """The least domain: inputs are floats already; a variation is a little noise."""

    name = "numbers"

    def prepare(self, inputs):
        return inputs

    def augment(self, batch, rng):
        return batch + 0.1 * torch.randn(batch.shape, generator=rng)

    def network(self, data, name, rng):
        raise NotImplementedError


PLAIN = Recipe(epochs=2, batch_size=8, rate=0.3, augment=False, precision="fp32", smoothing=0.1)


def world(n=30):
    rng = stream(0, "fit")
    inputs = torch.from_numpy(rng.standard_normal((n, 4))).float()
    return dataset(inputs, (inputs[:, 0] > 0).long() + (inputs[:, 1] > 1).long())


def network(seed=0, noisy=False):
    """A small network; a noisy one also keeps averages and drops out at random."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return layers(noisy)


def layers(noisy):
    middle = [nn.BatchNorm1d(6), nn.Dropout(0.3)] if noisy else []
    return nn.Sequential(nn.Linear(4, 6), *middle, nn.Tanh(), nn.Linear(6, 3))


def train(recipe=PLAIN, data=None, model=None, **more):
    data = world() if data is None else data
    model = model or network()
    return fit(model, data, Numbers(), recipe, stream(0, "train"), **more)


def literal(model, data, recipe, objective=lambda loss: loss):
    """The same training spelled out: one example at a time, the update by hand."""
    seed = int(stream(0, "train").integers(2**62))
    n, batches = len(data), len(data) // recipe.batch_size
    losses = torch.zeros(n, recipe.epochs)
    momentum = [torch.zeros_like(p) for p in model.parameters()]
    for epoch in range(recipe.epochs):
        place = stream(seed, "epoch", epoch)
        place.integers(2**62)  # the augmentation's
        order = torch.from_numpy(place.permutation(n))
        for number, batch in enumerate(order.tensor_split(batches)):
            model.zero_grad()
            total = torch.zeros(())
            for i in batch.tolist():
                log_p = torch.log_softmax(model(data.inputs[i : i + 1])[0], 0)
                right, mean = log_p[data.labels[i]], log_p.mean()
                loss = -(1 - recipe.smoothing) * right - recipe.smoothing * mean
                losses[i, epoch] = loss.item()
                total = total + objective(loss)
            (total / len(batch)).backward()
            rate = recipe.at(epoch * batches + number, recipe.epochs * batches)
            with torch.no_grad():
                for p, v in zip(model.parameters(), momentum, strict=True):
                    gradient = p.grad + recipe.decay * p
                    v.mul_(recipe.momentum).add_(gradient)
                    p -= rate * (gradient + recipe.momentum * v)
    return losses


def test_losses_and_weights_are_those_of_a_literal_loop():
    slow, fast = network(), train()
    losses = literal(slow, world(), PLAIN)
    torch.testing.assert_close(fast.losses, losses, rtol=1e-4, atol=1e-5)
    for mine, theirs in zip(fast.model.parameters(), slow.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


def test_an_objective_changes_what_is_minimised_and_not_what_is_recorded():
    slow, fast = network(), train(objective=lambda batch: batch.losses.square())
    losses = literal(slow, world(), PLAIN, objective=lambda loss: loss**2)
    torch.testing.assert_close(fast.losses, losses, rtol=1e-4, atol=1e-5)


def test_an_objective_sees_rows_features_and_logits_and_may_train_through_them():
    seen = []

    def smaller_features(batch):
        seen.append(batch)
        return batch.losses.mean() + 0.1 * batch.features.square().mean()

    plain, bound = train(), train(objective=smaller_features)
    last = bound.model[-1]
    ends = seen[-1]
    torch.testing.assert_close(bound.losses[ends.rows, -1], ends.losses.detach())
    assert ends.logits.shape == (len(ends.rows), last.out_features)
    assert ends.features.shape == (len(ends.rows), last.in_features)
    assert not torch.equal(plain.model[0].weight, bound.model[0].weight)


def test_every_example_is_visited_once_in_every_epoch():
    result = train(Recipe(epochs=3, batch_size=7, rate=0.0, augment=False, precision="fp32"))
    first = result.losses[:, :1]
    assert (first > 0).all()
    torch.testing.assert_close(result.losses, first.expand(-1, 3))
    assert result.cost["forward"] == result.cost["backward"] == 90


def test_the_rate_rises_and_falls():
    recipe = Recipe(rate=0.4, warmup=0.25)
    rates = [recipe.at(step, 99) for step in range(99)]
    assert max(rates) == pytest.approx(0.4)
    assert rates.index(max(rates)) == 24
    assert 0 < rates[0] < rates[10] < rates[24] > rates[50] > rates[98] > 0
    assert math.isclose(Recipe(rate=0.4, warmup=0.0).at(0, 9), 0.36)


NOISY = Recipe(epochs=5, batch_size=8, rate=0.1)


class Interrupted(Exception):
    pass


@pytest.mark.parametrize("stop", [1, 3, 5])
def test_a_stopped_training_goes_on_with_the_same_bits(stop, tmp_path):
    straight = train(NOISY, model=network(noisy=True))

    def progress(done, total):
        assert total == 5
        if done == stop:
            raise Interrupted

    with pytest.raises(Interrupted):
        train(NOISY, model=network(noisy=True), progress=progress, checkpoint=tmp_path)
    seen = []
    resumed = train(
        NOISY, model=network(9, noisy=True), checkpoint=tmp_path,
        progress=lambda done, _: seen.append(done),
    )  # fmt: skip
    assert seen == list(range(stop + 1, 6)), "only what was missing is trained"
    assert torch.equal(resumed.losses, straight.losses)
    weights = resumed.model.state_dict()
    for name, value in straight.model.state_dict().items():
        assert torch.equal(value, weights[name]), name


def test_a_checkpoint_of_another_training_is_ignored(tmp_path):
    train(NOISY, checkpoint=tmp_path)
    other = fit(network(), world(), Numbers(), NOISY, stream(1, "train"), checkpoint=tmp_path)
    fresh = fit(network(), world(), Numbers(), NOISY, stream(1, "train"))
    assert torch.equal(other.losses, fresh.losses)
    longer = Recipe(epochs=6, batch_size=8, rate=0.1)
    assert torch.equal(train(longer, checkpoint=tmp_path).losses, train(longer).losses)


def test_two_trainings_agree_in_every_bit():
    before = torch.random.get_rng_state()
    first, second = (train(NOISY, model=network(noisy=True)) for _ in range(2))
    assert torch.equal(first.losses, second.losses)
    assert torch.equal(before, torch.random.get_rng_state()), "global randomness has moved"
    assert first.losses.isfinite().all()


def test_one_example_is_too_few():
    with pytest.raises(MethodError, match="at least 2 examples, found 1"):
        train(data=world().subset([0]))
