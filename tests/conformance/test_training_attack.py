"""What every attacker keeps to who also trains the model; none is named here."""

import dataclasses

import pytest
import torch

from conformance.worlds import built, domains, every, learnable, learnt, variants
from mithridate.core.errors import MethodError
from mithridate.core.fit import Recipe
from mithridate.core.method import Attack, TrainingAttack
from mithridate.core.objective import Batch
from mithridate.core.runtime import Runtime
from mithridate.core.streams import stream
from mithridate.core.view import forward
from mithridate.trainers.standard import Standard

DOMAINS = domains()
CASES = [
    (domain, attack)
    for domain in DOMAINS
    for cls in every(TrainingAttack).values()
    for attack in variants(cls, domain)
]
each = pytest.mark.parametrize("domain, attack", CASES, ids=lambda v: str(v)[:90])
FOUND = (AssertionError, RuntimeError, pytest.fail.Exception)


def poisoned_by(attack, domain):
    """Half of a set that can be learnt belongs to a class; enough of it is poisoned to matter."""
    data = learnable(domain)
    return attack.poison(data, stream(0, "poison"), learnt(attack, data))


def objective_of(attack, poisoned, domain, model=None):
    model = model or DOMAINS[domain].network(poisoned.data, "", stream(0, "network"))
    return attack.objective(poisoned, model, stream(0, "attacker"))


def batch_of(rows, seed=0, width=6):
    """A batch of chosen rows as the loop hands it over: part of a graph of gradients."""
    noise = torch.Generator().manual_seed(seed)
    features = torch.randn(len(rows), width, generator=noise, requires_grad=True)
    logits = features @ torch.randn(width, 2, generator=noise)
    losses = logits.logsumexp(1) - logits[:, 0]
    rows = torch.as_tensor(rows)
    return Batch(rows, losses, features, logits, rows % 2, rows)


def everything(poisoned, seed=0):
    return batch_of(torch.arange(len(poisoned.data)), seed)


def test_every_training_attack_is_tried():
    assert {type(attack) for _, attack in CASES} == set(every(TrainingAttack).values())
    assert set(every(TrainingAttack)) <= set(every(Attack))


@each
def test_the_objective_is_finite_and_trains_the_network(domain, attack):
    poisoned = poisoned_by(attack, domain)
    batch = everything(poisoned)
    value = objective_of(attack, poisoned, domain)(batch).mean()
    (gradient,) = torch.autograd.grad(value, batch.features)
    assert torch.isfinite(value)
    assert torch.isfinite(gradient).all()
    assert gradient.any()


@each
def test_the_objective_is_not_the_plain_loss_where_there_is_poison(domain, attack):
    poisoned = poisoned_by(attack, domain)
    batch = everything(poisoned)
    assert objective_of(attack, poisoned, domain)(batch).mean() != batch.losses.mean()


@each
def test_the_same_batch_gives_the_same_value_however_often(domain, attack):
    poisoned = poisoned_by(attack, domain)
    labels, truth = poisoned.data.labels.clone(), poisoned.truth.poisoned.clone()
    before = torch.random.get_rng_state()
    objective, again = (objective_of(attack, poisoned, domain) for _ in range(2))
    values = [o(everything(poisoned)).mean() for o in (objective, objective, again)]
    assert values[0] == values[1] == values[2]
    assert torch.equal(before, torch.random.get_rng_state()), "global randomness was used"
    assert torch.equal(poisoned.data.labels, labels)
    assert torch.equal(poisoned.truth.poisoned, truth)


@each
def test_the_order_within_a_batch_does_not_matter(domain, attack):
    poisoned = poisoned_by(attack, domain)
    straight = everything(poisoned)
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
        batch = batch_of(rows)
        value = objective(batch).mean()
        (gradient,) = torch.autograd.grad(value, batch.features)
        assert torch.isfinite(value)
        assert torch.isfinite(gradient).all()


@each
def test_equal_features_are_finite(domain, attack):
    poisoned = poisoned_by(attack, domain)
    batch = everything(poisoned)
    flat = torch.zeros_like(batch.features, requires_grad=True)
    value = objective_of(attack, poisoned, domain)(
        batch._replace(features=flat, losses=flat.sum(1))
    ).mean()
    (gradient,) = torch.autograd.grad(value, flat)
    assert torch.isfinite(value)
    assert torch.isfinite(gradient).all()


@each
def test_a_network_trained_with_it_still_learns(domain, attack):
    poisoned = poisoned_by(attack, domain)
    model = DOMAINS[domain].network(poisoned.data, "", stream(0, "network"))
    trainer = Standard(Recipe(epochs=5, batch_size=64))
    result = trainer.train(
        model, poisoned.data, DOMAINS[domain], stream(0, "train"),
        objective=objective_of(attack, poisoned, domain),
    )  # fmt: skip
    data = learnable(domain)
    _, logits = forward(result.model, DOMAINS[domain].prepare(data.inputs), Runtime())
    assert (logits.argmax(1) == data.labels).float().mean() > 0.9


@each
def test_a_negative_weight_is_refused(domain, attack):
    if not hasattr(attack, "weight"):
        pytest.skip("it has no weight")
    with pytest.raises(MethodError, match="negative"):
        objective_of(dataclasses.replace(attack, weight=-1.0), poisoned_by(attack, domain), domain)


@dataclasses.dataclass(frozen=True)
class Planted(TrainingAttack):
    """Draws poisoned features to zero, with room for one fault."""

    attack: Attack
    fault: str = ""

    def poison(self, data, rng, state=None):
        return self.attack.poison(data, rng, state)

    def trap(self, data, rng, state=None):
        return self.attack.trap(data, rng, state)

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
    "nothing": test_the_objective_is_not_the_plain_loss_where_there_is_poison,
}


@pytest.mark.parametrize("fault", CHECKS)
def test_a_faulty_objective_is_caught(fault):
    inner = built(Attack, "image")[0]
    CHECKS[fault]("image", Planted(inner))
    with pytest.raises(FOUND):
        CHECKS[fault]("image", Planted(inner, fault))
