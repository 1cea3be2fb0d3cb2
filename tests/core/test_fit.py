"""The one training loop against a slow literal one, and its resumption bit by bit."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from mithridate.core.data import dataset
from mithridate.core.errors import MethodError
from mithridate.core.fit import TrainingConfig, fit
from mithridate.core.streams import stream
from mithridate.core.training_run import TrainingRun


class Numbers:
    """The least domain: inputs are floats already; a variation is a little noise."""

    name = "numbers"

    def prepare(self, inputs):
        return inputs

    def augment(self, batch, rng):
        return batch + 0.1 * torch.randn(batch.shape, generator=rng)

    def network(self, data, name, rng):
        raise NotImplementedError


PLAIN = TrainingConfig(
    epochs=2, batch_size=8, learning_rate=0.3, augment=False, precision="fp32", label_smoothing=0.1
)


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


RUN = {"progress", "checkpoint", "objective"}


def train(config=PLAIN, data=None, model=None, **more):
    data = world() if data is None else data
    model = model or network()
    rng, run = stream(0, "train"), TrainingRun(**{k: more.pop(k) for k in RUN & more.keys()})
    return fit(model, data, Numbers(), config, rng, run, **more)


def literal(model, data, config, objective=lambda loss: loss):
    """The same training spelled out: one example at a time, the update by hand."""
    seed = int(stream(0, "train").integers(2**62))
    n, batches = len(data), len(data) // config.batch_size
    losses = torch.zeros(n, config.epochs)
    momentum = [torch.zeros_like(p) for p in model.parameters()]
    for epoch in range(config.epochs):
        place = stream(seed, "epoch", epoch)
        place.integers(2**62)  # the augmentation's
        order = torch.from_numpy(place.permutation(n))
        for number, batch in enumerate(order.tensor_split(batches)):
            model.zero_grad()
            total = torch.zeros(())
            for i in batch.tolist():
                log_p = torch.log_softmax(model(data.inputs[i : i + 1])[0], 0)
                right, mean = log_p[data.labels[i]], log_p.mean()
                loss = -(1 - config.label_smoothing) * right - config.label_smoothing * mean
                losses[i, epoch] = loss.item()
                total = total + objective(loss)
            (total / len(batch)).backward()
            rate = config.at(epoch * batches + number, config.epochs * batches)
            with torch.no_grad():
                for p, v in zip(model.parameters(), momentum, strict=True):
                    gradient = p.grad + config.weight_decay * p
                    v.mul_(config.momentum).add_(gradient)
                    p -= rate * (gradient + config.momentum * v)
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
    result = train(
        TrainingConfig(epochs=3, batch_size=7, learning_rate=0.0, augment=False, precision="fp32")
    )
    first = result.losses[:, :1]
    assert (first > 0).all()
    torch.testing.assert_close(result.losses, first.expand(-1, 3))
    assert result.cost["forward"] == result.cost["backward"] == 90


def test_the_rate_rises_and_falls():
    config = TrainingConfig(learning_rate=0.4, warmup=0.25)
    rates = [config.at(step, 99) for step in range(99)]
    assert max(rates) == pytest.approx(0.4)
    assert rates.index(max(rates)) == 24
    assert 0 < rates[0] < rates[10] < rates[24] > rates[50] > rates[98] > 0
    assert math.isclose(TrainingConfig(learning_rate=0.4, warmup=0.0).at(0, 9), 0.36)


def test_a_flat_rate_is_the_same_in_every_step():
    config = replace(PLAIN, schedule="flat")
    assert {config.at(step, 99) for step in range(99)} == {PLAIN.learning_rate}
    slow, fast = network(), train(config)
    torch.testing.assert_close(fast.losses, literal(slow, world(), config), rtol=1e-4, atol=1e-5)


def test_a_last_smaller_batch_can_be_left_out():
    order = torch.arange(30)
    assert [len(rows) for rows in PLAIN.batches(order)] == [10, 10, 10]
    config = replace(PLAIN, drop_last=True)
    assert [len(rows) for rows in config.batches(order)] == [8, 8, 8]
    assert [len(rows) for rows in config.batches(order[:5])] == [5], "one batch at least"
    result = train(config)
    assert (~result.losses.isnan()).sum(0).tolist() == [24, 24]
    assert result.cost["forward"] == 48


NOISY = TrainingConfig(epochs=5, batch_size=8, learning_rate=0.1)


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
    other = fit(
        network(), world(), Numbers(), NOISY, stream(1, "train"), TrainingRun(checkpoint=tmp_path)
    )
    fresh = fit(network(), world(), Numbers(), NOISY, stream(1, "train"))
    assert torch.equal(other.losses, fresh.losses)
    for config in (
        TrainingConfig(epochs=6, batch_size=8, learning_rate=0.1),
        replace(NOISY, weight_decay=0.1),
    ):
        assert torch.equal(train(config, checkpoint=tmp_path).losses, train(config).losses)
    train(NOISY, checkpoint=tmp_path)
    moved = replace(world(), inputs=-world().inputs)
    kept = train(NOISY, moved, checkpoint=tmp_path)
    assert torch.equal(kept.losses, train(NOISY, moved).losses)
    (tmp_path / "training.safetensors").write_bytes(b"torn")
    assert torch.equal(train(NOISY, checkpoint=tmp_path).losses, train(NOISY).losses)


def test_two_trainings_agree_in_every_bit():
    before = torch.random.get_rng_state()
    first, second = (train(NOISY, model=network(noisy=True)) for _ in range(2))
    assert torch.equal(first.losses, second.losses)
    assert torch.equal(before, torch.random.get_rng_state()), "global randomness has moved"
    assert first.losses.isfinite().all()


def test_one_example_is_too_few():
    with pytest.raises(MethodError, match="at least 2 examples, found 1"):
        train(data=world().subset([0]))


def cross_entropy(model, data):
    return -torch.log_softmax(model(data.inputs), 1)[range(len(data)), data.labels]


def test_with_a_radius_a_step_follows_the_gradient_at_the_worst_point_of_the_ball():
    config = TrainingConfig(
        epochs=1, batch_size=30, learning_rate=0.3, momentum=0.0, weight_decay=0.0, augment=False,
        precision="fp32", sam_radius=0.5,
    )  # fmt: skip
    before = network()
    start = [p.detach().clone() for p in before.parameters()]
    first = torch.autograd.grad(cross_entropy(before, world()).mean(), list(before.parameters()))
    length = math.sqrt(sum(float(g.square().sum()) for g in first))
    with torch.no_grad():
        for p, g in zip(before.parameters(), first, strict=True):
            p += 0.5 * g / length
    worst = torch.autograd.grad(cross_entropy(before, world()).mean(), list(before.parameters()))
    result = train(config)
    for p, w, g in zip(result.model.parameters(), start, worst, strict=True):
        torch.testing.assert_close(p, w - config.at(0, 1) * g, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(result.losses[:, 0], cross_entropy(network(), world()).detach())
    assert result.cost["forward"] == result.cost["backward"] == 60, "two passes for each step"


def test_with_a_radius_only_what_is_trained_is_moved_to_the_worst_point():
    model = network()
    kept = model[-1].bias.detach().clone()
    wanted = [p for name, p in model.named_parameters() if name != "2.bias"]
    train(
        TrainingConfig(epochs=2, batch_size=8, learning_rate=0.1, sam_radius=0.5),
        model=model,
        parameters=wanted,
    )
    assert torch.equal(model[-1].bias, kept)


@pytest.mark.parametrize("chosen", ["0.weight", "2.bias"])
def test_only_the_parameters_given_are_trained(chosen):
    model = network()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    train(model=model, parameters=[dict(model.named_parameters())[chosen]])
    moved = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert moved == {chosen}


def test_training_ends_when_it_is_enough_and_keeps_what_was_done():
    straight, asked = train(NOISY, model=network(noisy=True)), []

    def enough(done):
        asked.append(done)
        return done == 2

    short = train(NOISY, model=network(noisy=True), enough=enough)
    assert asked == [1, 2]
    assert short.losses.shape == (30, 2)
    assert torch.equal(short.losses, straight.losses[:, :2])
    assert short.cost["forward"] == 60
    assert not short.model.training


def test_without_statistics_moments_stay_and_nothing_drops_out():
    config = TrainingConfig(
        epochs=2,
        batch_size=8,
        learning_rate=0.0,
        augment=False,
        precision="fp32",
        batch_statistics=False,
    )
    model = network(noisy=True)
    with torch.no_grad():
        model[1].running_mean.fill_(0.5)
    before = {name: value.clone() for name, value in model.named_buffers()}
    asked = cross_entropy(network_like(model).eval(), world()).detach()
    result = train(config, model=model)
    torch.testing.assert_close(result.losses, asked[:, None].expand(-1, 2))
    for name, value in model.named_buffers():
        assert torch.equal(value, before[name]), name
    usual = train(replace(config, batch_statistics=True), model=network(noisy=True))
    assert not torch.equal(usual.model[1].running_mean, before["1.running_mean"])
    assert not torch.equal(usual.losses[:, 0], usual.losses[:, 1]), "dropout differs each time"


def network_like(model):
    other = network(noisy=True)
    other.load_state_dict(model.state_dict())
    return other


class Scaled(nn.Module):
    """An objective with a number of its own, which is best at 2."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.5))

    def forward(self, batch):
        return self.scale * batch.losses.mean() + (self.scale - 2).square()


def test_parameters_of_an_objective_are_trained_along():
    objective, frozen = Scaled(), Scaled()
    both = train(NOISY, objective=objective)
    assert objective.scale.item() > 0.8
    assert not torch.equal(both.model[0].weight, network()[0].weight)
    model = network()
    train(NOISY, model=model, objective=frozen, parameters=list(model.parameters()))
    assert frozen.scale.item() == 0.5


@pytest.mark.parametrize("stop", [1, 4])
def test_a_stopped_training_resumes_its_objective_with_the_same_bits(stop, tmp_path):
    whole, first, second = Scaled(), Scaled(), Scaled()
    straight = train(NOISY, model=network(noisy=True), objective=whole)

    def progress(done, _):
        if done == stop:
            raise Interrupted

    with pytest.raises(Interrupted):
        train(
            NOISY, model=network(noisy=True), objective=first, progress=progress,
            checkpoint=tmp_path,
        )  # fmt: skip
    assert not torch.equal(first.scale, whole.scale)
    resumed = train(NOISY, model=network(9, noisy=True), objective=second, checkpoint=tmp_path)
    assert torch.equal(second.scale, whole.scale)
    assert torch.equal(resumed.losses, straight.losses)
    weights = resumed.model.state_dict()
    for name, value in straight.model.state_dict().items():
        assert torch.equal(value, weights[name]), name
