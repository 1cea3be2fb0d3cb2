"""I-BAU: the hypergradient against a closed form and differences, and a backdoor unlearnt."""

import pytest
import torch
from torch import nn

from methods.victim_to_repair import outcome, repaired, victim
from mithridate.core.errors import MethodError
from mithridate.core.inference import forward, last_linear
from mithridate.core.runtime import Runtime
from mithridate.domains.image.domain import ImageDomain
from mithridate.domains.text.domain import TextDomain
from mithridate.repairs.i_bau import IBAU, climb, implicit
from mithridate.repairs.perturbing import site

RATE = 0.4


def quadratic(theta):
    """Inner: (z - A theta)' H (z - A theta) / 2; its lowest point is A theta."""
    hessian = torch.tensor([[2.0, 0.5], [0.5, 1.0]], dtype=torch.float64)
    mixing = torch.tensor([[1.0, 2.0], [0.0, 1.0]], dtype=torch.float64)

    def inner(z):
        apart = z - mixing @ theta
        return apart @ hessian @ apart / 2

    def outer(z):
        return (z**3).sum() + theta.square().sum()

    return inner, outer, mixing


@pytest.mark.parametrize("terms, within", [(1, None), (60, 1e-6)])
def test_the_hypergradient_of_a_quadratic(terms, within):
    theta = torch.tensor([0.7, -0.3], dtype=torch.float64, requires_grad=True)
    inner, outer, mixing = quadratic(theta)
    lowest = (mixing @ theta).detach()
    (found,) = torch.autograd.grad(implicit(inner, outer, lowest, RATE, terms), theta)
    closed = 2 * theta.detach() + mixing.T @ (3 * lowest**2)
    if within:
        assert found.tolist() == pytest.approx(closed.tolist(), rel=within)
    else:
        hessian = torch.tensor([[2.0, 0.5], [0.5, 1.0]], dtype=torch.float64)
        first = 2 * theta.detach() + RATE * mixing.T @ hessian @ (3 * lowest**2)
        assert found.tolist() == pytest.approx(first.tolist(), rel=1e-6)


def test_without_terms_the_perturbation_is_held_fixed():
    theta = torch.tensor([0.7, -0.3], dtype=torch.float64, requires_grad=True)
    inner, outer, mixing = quadratic(theta)
    value = implicit(inner, outer, (mixing @ theta).detach(), RATE, 0)
    assert torch.autograd.grad(value, theta)[0].tolist() == pytest.approx([1.4, -0.6])


def test_a_step_has_the_length_asked_for_and_goes_down():
    def inner(z):
        return (z * torch.tensor([3.0, -4.0])).sum()

    moved = climb(inner, torch.tensor([1.0, 1.0]), 10.0)
    assert moved.tolist() == pytest.approx([1 - 6.0, 1 + 8.0])
    flat = climb(lambda z: (0 * z).sum(), torch.tensor([1.0, 1.0]), 10.0)
    assert flat.tolist() == [1.0, 1.0]


def test_bytes_are_perturbed_as_they_enter_and_numbers_of_words_in_their_features():
    torch.manual_seed(0)
    words = torch.randint(0, 9, (6, 4), dtype=torch.int32)
    model = nn.Sequential(nn.Embedding(9, 5), nn.Flatten(), nn.Linear(20, 3))
    place = site(model, words, TextDomain(), Runtime())
    features, logits = forward(model, words, Runtime(), precision="fp32")
    assert place.features
    assert place.shape == (20,)
    assert place.spread == pytest.approx(float(features.std(correction=0)), rel=1e-2)
    change = torch.ones(1, 20)
    expected = logits + place.spread * last_linear(model).weight.sum(1)
    assert torch.allclose(place.logits(model, words, change), expected, atol=1e-5)
    assert not model[2]._forward_pre_hooks
    raw = torch.tensor([[0], [2], [4]], dtype=torch.uint8)
    assert not site(nn.Identity(), raw, ImageDomain(), Runtime()).features
    expected = raw.float() + (8 / 3) ** 0.5
    assert torch.allclose(
        site(nn.Identity(), raw, ImageDomain(), Runtime()).logits(
            nn.Identity(), raw, torch.ones(1, 1)
        ),
        expected,
    )


def test_it_unlearns_a_backdoor():
    """By a wider perturbation: the trigger covers a seventh of such a small picture.

    With four streams 0.07 of it were left at most, on two other victims 0.05; after 8 epochs 0.54
    were left with one stream of two.
    """
    wide = IBAU(radius=0.4, learning_rate=0.05, epochs=14)
    before, after = outcome(victim()[0]), outcome(repaired(wide))
    assert before.success > 0.9
    assert after.success < 0.2
    assert after.accuracy > before.accuracy - 0.05


def test_edges():
    _, trusted = victim()
    for size in (0, 9):
        with pytest.raises(MethodError, match=f"found {size}"):
            repaired(IBAU(), clean=trusted.subset(range(size)))
    with pytest.raises(MethodError, match="not be negative"):
        repaired(IBAU(radius=-1.0))
    one = repaired(IBAU(epochs=1), clean=trusted.subset(trusted.labels == 1))
    assert all(bool(torch.isfinite(value).all()) for value in one.state_dict().values())
