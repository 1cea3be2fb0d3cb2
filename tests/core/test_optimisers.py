"""Our optimisers take torch's steps, bit for bit."""

import pytest
import torch

from mithridate.core import optimisers


def trained(kind, **settings):
    """Weights and state after a few steps, the last from a state that was kept."""
    rng = torch.Generator().manual_seed(0)
    weight = torch.randn(5, 7, generator=rng).requires_grad_()
    optimiser = kind([weight], lr=0.1, **settings)
    for step in range(4):
        optimiser.zero_grad(set_to_none=True)
        torch.randn(3, 5, generator=rng).matmul(weight).square().sum().backward()
        optimiser.step()
        if step == 2:
            kept = optimiser.state_dict()
            optimiser = kind([weight], lr=0.5, **settings)
            optimiser.load_state_dict(kept)
    assert weight.requires_grad
    return weight.detach(), optimiser.state_dict()


@pytest.mark.parametrize(
    "name, settings",
    [
        ("SGD", {"momentum": 0.9, "weight_decay": 0.01, "nesterov": True}),
        ("Adam", {"betas": (0.5, 0.9), "weight_decay": 0.01}),
        ("AdamW", {}),
    ],
)
def test_steps_are_those_of_torch(name, settings):
    ours, theirs = (trained(getattr(m, name), **settings) for m in (optimisers, torch.optim))
    assert torch.equal(ours[0], theirs[0])
    assert str(ours[1]) == str(theirs[1])
