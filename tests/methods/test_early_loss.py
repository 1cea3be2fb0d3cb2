"""Early loss: values by hand, and the claim that triggers are learnt sooner."""

import torch

from mithridate.core.view import View
from mithridate.detectors.early_loss import EarlyLoss
from mithridate.stats.ranking import auroc


def view(losses):
    return View(losses=losses, labels=torch.zeros(len(losses), dtype=torch.int64))


def curves(speed, floor=0.01, epochs=10):
    """Losses that fall from 2.3, halving every `1 / speed` epochs, float[n, epochs]."""
    return floor + 2.3 * 2.0 ** (-speed[:, None] * torch.arange(epochs))


def test_values_by_hand():
    losses = torch.tensor([[4.0, 2.0, 1.0, 9.0], [1.0, 1.0, 1.0, 9.0]])
    found = EarlyLoss(epochs=3).judge(view(losses)).values
    torch.testing.assert_close(found, torch.tensor([-7 / 3, -1.0]).double())


def test_fewer_recorded_epochs_are_all_used():
    losses = torch.tensor([[4.0, 2.0], [1.0, 3.0]])
    found = EarlyLoss(epochs=5).judge(view(losses)).values
    torch.testing.assert_close(found, torch.tensor([-3.0, -2.0]).double())


def test_it_uses_nothing_but_the_losses():
    losses = View(losses=torch.ones(5, 3))
    detector = EarlyLoss()
    assert detector.score(detector.fit(losses), losses).shape == (5,)
    assert losses.used == {"losses"}


def test_it_finds_what_is_learnt_sooner():
    rng = torch.Generator().manual_seed(0)
    poisoned = torch.arange(1000) < 50
    speed = torch.rand(1000, generator=rng) * 0.5 + 0.1 + 1.5 * poisoned
    assert auroc(EarlyLoss().judge(view(curves(speed))).values, poisoned) > 0.95


def test_it_misses_what_is_learnt_no_sooner():
    rng = torch.Generator().manual_seed(0)
    poisoned = torch.arange(1000) < 50
    speed = torch.rand(1000, generator=rng) * 0.5 + 0.1
    assert auroc(EarlyLoss().judge(view(curves(speed))).values, poisoned) < 0.6


def test_late_epochs_would_hide_it():
    """Once everything is learnt, the losses of all examples are alike."""
    rng = torch.Generator().manual_seed(0)
    poisoned = torch.arange(1000) < 50
    speed = torch.rand(1000, generator=rng) * 0.5 + 0.5 + 1.5 * poisoned
    losses = curves(speed, epochs=40) + 0.05 * torch.rand(1000, 40, generator=rng)
    assert auroc(EarlyLoss().judge(view(losses)).values, poisoned) > 0.95
    assert auroc(EarlyLoss().judge(view(losses[:, 30:])).values, poisoned) < 0.6
