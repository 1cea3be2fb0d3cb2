"""The schedule of fewer operations: what an epoch sees, and that it learns and resumes."""

import pytest
import torch

from core.test_fit import Numbers, network, world
from mithridate.core.errors import MethodError
from mithridate.core.fast import FastTraining
from mithridate.core.fit import TrainingConfig, fit
from mithridate.core.muon import Muon
from mithridate.core.streams import stream
from mithridate.core.training_run import TrainingRun


class Watched(Numbers):
    """Notes what it is asked for."""

    def __init__(self):
        self.shares, self.mirrored = [], []

    def augment(self, batch, rng, mirrored=None):
        self.mirrored.append(mirrored)
        return batch

    def shrink(self, batch, share):
        self.shares.append(share)
        return batch


@pytest.mark.parametrize(
    "epochs, shares, whole, wanted",
    [
        (6, (0.5, 0.75), 1 / 3, [0.5, 0.5, 0.75, 0.75, 1, 1]),
        (5, (0.5, 0.75), 1 / 3, [0.5, 0.5, 0.75, 1, 1]),
        (10, (0.5, 0.75), 0.5, [0.5, 0.5, 0.5, 0.75, 0.75, 1, 1, 1, 1, 1]),
        (3, (0.5, 0.75), 0.0, [0.5, 1, 1]),
        (2, (0.5,), 0.0, [1, 1]),
        (1, (0.5,), 1.0, [1]),
        (3, (), 0.5, [1, 1, 1]),
    ],
)
def test_small_inputs_come_first_and_whole_ones_last(epochs, shares, whole, wanted):
    config = FastTraining(epochs=epochs, shares=shares, whole=whole)
    assert [config.share(epoch) for epoch in range(epochs)] == wanted


def trained(config, domain, folder=None, seed=0):
    run = TrainingRun(checkpoint=folder)
    return fit(network(seed), world(), domain, config, stream(0, "train"), run)


def test_an_input_is_mirrored_in_every_other_epoch():
    domain = Watched()
    trained(FastTraining(epochs=4, batch_size=30, shares=(), alternate=True), domain)
    order = [stream(seed_of(), "epoch", epoch) for epoch in range(4)]
    rows = []
    for place in order:
        place.integers(2**62)  # the augmentation's
        rows.append(torch.from_numpy(place.permutation(30)))
    seen = [torch.empty(30, dtype=torch.bool).scatter_(0, r, m)
            for r, m in zip(rows, domain.mirrored, strict=True)]  # fmt: skip
    assert torch.equal(seen[0], ~seen[1]) and torch.equal(seen[0], seen[2])
    assert 0 < seen[0].sum() < 30
    assert not domain.shares


def seed_of():
    return int(stream(0, "train").integers(2**62))


def test_without_alternation_or_augmentation_nothing_is_said_of_mirrors():
    for config in (
        FastTraining(epochs=1, alternate=False, shares=()),
        FastTraining(epochs=1, augment=False, shares=()),
    ):
        domain = Watched()
        trained(config, domain)
        assert domain.mirrored in ([None], [])


def test_the_network_sees_what_the_domain_made_small():
    domain = Watched()
    trained(FastTraining(epochs=4, batch_size=30, shares=(0.5, 0.75)), domain)
    assert domain.shares[-2:] == [0.5, 0.75], "in the order of the epochs, after they were tried"


def test_a_stopped_training_goes_on_with_the_same_bits(tmp_path):
    config = FastTraining(epochs=4, batch_size=8)
    straight = trained(config, Watched())

    def stop(done, _):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(network(), world(), Watched(), config, stream(0, "train"),
            TrainingRun(checkpoint=tmp_path, progress=stop))  # fmt: skip
    resumed = trained(config, Watched(), tmp_path, seed=9)
    assert torch.equal(straight.losses, resumed.losses)
    for mine, other in zip(straight.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(mine, other)


class Halving(Watched):
    """Gives the first half of the numbers."""

    def shrink(self, batch, share):
        return batch[:, : round(share * batch.shape[1])]


def test_a_network_that_takes_one_size_only_is_told_to_be_trained_on_whole_inputs():
    with pytest.raises(
        MethodError, match=r"shape \[2\], found one that takes \[4\] only.*shares=\(\)"
    ):
        trained(FastTraining(epochs=3, shares=(0.5,)), Halving())
    with pytest.raises(MethodError, match=r"at most 1; found \(0.5, 1.5\)"):
        trained(FastTraining(shares=(0.5, 1.5)), Halving())
    whole = trained(FastTraining(epochs=1, shares=()), Halving())
    assert whole.losses.isfinite().all()


def test_the_ordinary_schedule_stays_what_it_was_named_by():
    assert "shares" not in repr(TrainingConfig())
    assert not isinstance(TrainingConfig().optimiser(network().parameters()), Muon)
