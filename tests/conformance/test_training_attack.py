"""What every attacker keeps to who also trains the model; none is named here."""

import contextlib
import dataclasses
import functools
import itertools

import pytest
import torch
import torch.nn.functional as F

from conformance.worlds import SMALL, built, domains, every, learnable, learnt, variants
from mithridate.core.data import leave_untouched
from mithridate.core.errors import MethodError
from mithridate.core.fit import TrainingConfig
from mithridate.core.inference import features_of, forward, last_linear
from mithridate.core.method import Attack, TrainingAttack
from mithridate.core.objective import Batch
from mithridate.core.runtime import Runtime
from mithridate.core.streams import stream
from mithridate.core.training_run import TrainingRun
from mithridate.trainers.standard import Standard

DOMAINS = domains()
CASES = [
    (domain, attack)
    for domain in DOMAINS
    for cls in every(TrainingAttack).values()
    for attack in itertools.islice(variants(cls, domain), 2)
]
FIRSTS = [
    (domain, next(variants(cls, domain)))
    for domain in DOMAINS
    for cls in every(TrainingAttack).values()
]
first = pytest.mark.parametrize("domain, attack", FIRSTS, ids=lambda v: str(v)[:90])
"""Where a network is trained: a trigger that the noise of this world hides, such as a coarser
scale of colours, gives one input two labels, and no network learns that."""
each = pytest.mark.parametrize("domain, attack", CASES, ids=lambda v: str(v)[:90])
NETWORKS = {"image": "resnet9:8"}
"""What learns the world beside an attacker's task, where the default network is large."""
FOUND = (AssertionError, RuntimeError, pytest.fail.Exception)


def poisoned_by(attack, domain):
    """Half of a set that can be learnt belongs to a class; enough of it is poisoned to matter."""
    data = learnable(domain)
    with skipping_refusals():
        return attack.poison(data, stream(0, "poison"), learnt(attack, data))


@contextlib.contextmanager
def skipping_refusals():
    """Skip what an attack refuses with a reason, such as a domain whose inputs are no bytes."""
    try:
        yield
    except MethodError as refusal:
        assert len(str(refusal)) > 20
        pytest.skip(f"refused: {refusal}")


def objective_of(attack, poisoned, domain, model=None):
    with skipping_refusals():
        return attack.objective(poisoned, model or network(domain), stream(0, "attacker"))


@functools.cache
def network(domain):
    """The network that batches are from and that objectives may ask again; nothing in it moves."""
    return DOMAINS[domain].network(learnable(domain), "", stream(0, "network")).eval()


def batch_of(poisoned, domain, rows):
    """A batch of chosen rows as the loop hands it over: part of a graph of gradients."""
    prepared = DOMAINS[domain].prepare(poisoned.data.subset(rows).inputs)
    return batch_from(features_of(network(domain), prepared).detach(), poisoned, domain, rows)


def batch_from(features, poisoned, domain, rows):
    """The batch of chosen rows, whose features are known."""
    data = poisoned.data.subset(rows)
    features = features.requires_grad_()
    logits = last_linear(network(domain))(features)
    losses = F.cross_entropy(logits, data.labels, reduction="none")
    inputs = DOMAINS[domain].prepare(data.inputs)
    return Batch(torch.as_tensor(rows), losses, features, logits, data.labels, inputs)


def everything(poisoned, domain):
    return batch_of(poisoned, domain, torch.arange(len(poisoned.data)))


def assert_trains(value, batch, domain, moves=True):
    """The value is finite, and so is every gradient; some are not 0."""
    assert torch.isfinite(value)
    roots = [batch.features, *network(domain).parameters()]
    found = torch.autograd.grad(value, roots, allow_unused=True)
    slopes = [slope for slope in found if slope is not None]
    assert all(torch.isfinite(slope).all() for slope in slopes)
    assert not moves or any(slope.any() for slope in slopes)


def works(domain, attack):
    try:
        poisoned = attack.poison(learnable(domain), stream(0, "poison"))
        attack.objective(poisoned, network(domain), stream(0, "attacker"))
    except MethodError:
        return False
    return True


@pytest.mark.parametrize("cls", every(TrainingAttack).values(), ids=lambda v: v.name())
def test_no_training_attack_refuses_everything(cls):
    assert any(works(domain, attack) for domain, attack in CASES if type(attack) is cls)


@pytest.mark.parametrize("domain", DOMAINS)
def test_the_batches_are_what_the_network_says(domain):
    poisoned = leave_untouched(learnable(domain))
    batch = everything(poisoned, domain)
    torch.testing.assert_close(batch.logits, network(domain)(batch.inputs))


@each
def test_the_objective_is_finite_and_trains_the_network(domain, attack):
    poisoned = poisoned_by(attack, domain)
    batch = everything(poisoned, domain)
    assert_trains(objective_of(attack, poisoned, domain)(batch).mean(), batch, domain)


@each
def test_the_objective_is_not_the_plain_loss(domain, attack):
    poisoned = poisoned_by(attack, domain)
    batch = everything(poisoned, domain)
    assert objective_of(attack, poisoned, domain)(batch).mean() != batch.losses.mean()


@each
def test_the_same_batch_gives_the_same_value_however_often(domain, attack):
    poisoned = poisoned_by(attack, domain)
    labels, truth = poisoned.data.labels.clone(), poisoned.truth.poisoned.clone()
    before = torch.random.get_rng_state()
    objective, again = (objective_of(attack, poisoned, domain) for _ in range(2))
    values = [o(everything(poisoned, domain)).mean() for o in (objective, objective, again)]
    assert values[0] == values[1] == values[2]
    assert torch.equal(before, torch.random.get_rng_state()), "global randomness was used"
    assert torch.equal(poisoned.data.labels, labels)
    assert torch.equal(poisoned.truth.poisoned, truth)


@each
def test_the_order_within_a_batch_does_not_matter(domain, attack):
    poisoned = poisoned_by(attack, domain)
    straight = everything(poisoned, domain)
    order = torch.randperm(len(straight.rows), generator=torch.Generator().manual_seed(1))
    mixed = Batch(*(column[order] for column in straight))
    objective = objective_of(attack, poisoned, domain)
    torch.testing.assert_close(objective(mixed).mean(), objective(straight).mean())


@each
def test_batches_with_little_or_no_poison_are_finite(domain, attack):
    poisoned = poisoned_by(attack, domain)
    hidden = poisoned.truth.poisoned.nonzero().flatten()
    clean = (~poisoned.truth.poisoned).nonzero().flatten()
    objective = objective_of(attack, poisoned, domain)
    for rows in (clean[:1], hidden[:1], hidden, clean[:20], torch.cat([hidden[:1], clean[:20]])):
        if len(rows):
            batch = batch_of(poisoned, domain, rows)
            assert_trains(objective(batch).mean(), batch, domain)


@each
def test_equal_features_are_finite(domain, attack):
    poisoned = poisoned_by(attack, domain)
    whole = everything(poisoned, domain)
    flat = batch_from(torch.zeros_like(whole.features), poisoned, domain, whole.rows)
    assert_trains(objective_of(attack, poisoned, domain)(flat).mean(), flat, domain)


@first
def test_a_network_trained_with_it_still_learns(domain, attack):
    poisoned = poisoned_by(attack, domain)
    name = NETWORKS.get(domain, "")
    model = DOMAINS[domain].network(poisoned.data, name, stream(0, "network"))
    trainer = Standard(TrainingConfig(epochs=12, batch_size=32, learning_rate=0.1))
    result = trainer.train(
        model, poisoned.data, DOMAINS[domain], stream(0, "train"),
        TrainingRun(objective=objective_of(attack, poisoned, domain, model)),
    )  # fmt: skip
    data = learnable(domain)
    _, logits = forward(result.model, DOMAINS[domain].prepare(data.inputs), Runtime())
    assert (logits.argmax(1) == data.labels).float().mean() > 0.9


class Stopped(Exception):
    """Ends a training in its middle."""


@first
def test_a_stopped_training_with_it_goes_on_with_the_same_bits(domain, attack, tmp_path):
    poisoned = poisoned_by(attack, domain)

    def train(folder=None, stop=0):
        model = DOMAINS[domain].network(poisoned.data, SMALL.get(domain, ""), stream(0, "network"))

        def progress(done, _):
            if done == stop:
                raise Stopped

        objective = objective_of(attack, poisoned, domain, model)
        run = TrainingRun(progress=progress, checkpoint=folder, objective=objective)
        trainer = Standard(TrainingConfig(epochs=2, batch_size=128, learning_rate=0.1))
        return trainer.train(model, poisoned.data, DOMAINS[domain], stream(0, "train"), run)

    with pytest.raises(Stopped):
        train(tmp_path, 1)
    resumed, straight = train(tmp_path), train()
    assert torch.equal(resumed.losses, straight.losses)
    weights, others = resumed.model.state_dict(), straight.model.state_dict()
    assert all(torch.equal(weights[name], others[name]) for name in weights)


@each
def test_a_negative_weight_is_refused(domain, attack):
    if not hasattr(attack, "weight"):
        pytest.skip("it has no weight")
    with pytest.raises(MethodError, match="negative"):
        dataclasses.replace(attack, weight=-1.0).objective(
            poisoned_by(attack, domain), network(domain), stream(0, "attacker")
        )


@dataclasses.dataclass(frozen=True)
class Planted(TrainingAttack):
    """Draws poisoned features to zero, with room for one fault."""

    attack: Attack
    fault: str = ""

    def poison(self, data, rng, state=None):
        return self.attack.poison(data, rng, state)

    def triggered_test(self, data, rng, state=None):
        return self.attack.triggered_test(data, rng, state)

    def objective(self, poisoned, model, rng):
        hidden = poisoned.truth.poisoned

        def minimised(batch):
            rows = torch.arange(len(batch.rows)) if self.fault == "position" else batch.rows
            drawn = batch.features[hidden[rows]].square().sum(1)
            term = drawn.mean() if self.fault == "hole" else drawn.sum() / max(len(drawn), 1)
            if self.fault == "random":
                term = term * torch.rand(())
            if self.fault == "root":
                term = drawn.sqrt().sum()
            if self.fault == "detached":
                return batch.losses.detach().mean() + term.detach()
            return batch.losses.mean() + (0.0 if self.fault == "nothing" else term)

        return minimised


CHECKS = {
    "position": test_the_order_within_a_batch_does_not_matter,
    "hole": test_batches_with_little_or_no_poison_are_finite,
    "random": test_the_same_batch_gives_the_same_value_however_often,
    "root": test_equal_features_are_finite,
    "detached": test_the_objective_is_finite_and_trains_the_network,
    "nothing": test_the_objective_is_not_the_plain_loss,
}


@pytest.mark.parametrize("fault", CHECKS)
def test_a_faulty_objective_is_caught(fault):
    inner = built(Attack, "image")[0]
    CHECKS[fault]("image", Planted(inner))
    with pytest.raises(FOUND):
        CHECKS[fault]("image", Planted(inner, fault))
