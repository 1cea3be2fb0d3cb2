"""CutMix: boxes, shares and partners by hand, and what is minimised."""

import pytest
import torch

from methods.quick_network import quick_network
from mithridate.core.data import dataset
from mithridate.core.errors import MethodError
from mithridate.core.fit import TrainingConfig
from mithridate.core.objective import Batch
from mithridate.core.streams import stream, torch_generator
from mithridate.domains.image.domain import ImageDomain
from mithridate.trainers.cutmix import CutMix, _cover
from mithridate.trainers.standard import Standard


def noise(seed=0):
    return torch_generator(stream(seed, "noise"))


def flat(n=40, height=12, width=20):
    """Image i is i in every byte."""
    return torch.arange(n).byte().view(n, 1, 1, 1).expand(n, 3, height, width).contiguous()


def test_the_places_of_a_box_by_hand():
    found = _cover(8, torch.full((3, 1), 0.5), torch.tensor([[0.5], [0.0], [0.95]]))
    assert found.int().tolist() == [
        [0, 0, 1, 1, 1, 1, 0, 0], [1, 1, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 1, 1, 1],
    ]  # fmt: skip


def test_what_is_kept_is_counted_and_the_rest_is_the_partner_in_one_box():
    mixed = CutMix(share=1.0).mix(flat(), noise())
    for row, (image, partner) in enumerate(zip(mixed.inputs, mixed.partners, strict=True)):
        own = (image[0] == row) if partner != row else torch.ones(12, 20, dtype=torch.bool)
        if partner != row:
            assert float(own.float().mean()) == pytest.approx(float(mixed.kept[row]), abs=1e-6)
            assert (image[0][~own] == partner).all()
            box = (~own).any(1)[:, None] & (~own).any(0)
            assert torch.equal(box, ~own)
    assert sorted(mixed.partners.tolist()) == list(range(40))
    assert mixed.kept.min() < 0.5
    assert mixed.kept.max() > 0.9


def test_only_a_share_is_mixed_and_the_argument_stays():
    batch = flat(2000, 8, 8)
    before = batch.clone()
    mixed = CutMix(share=0.25).mix(batch, noise())
    assert 0.15 < float((mixed.kept < 1).float().mean()) < 0.26
    assert torch.equal(batch, before)


def test_alpha_shapes_the_shares():
    uniform = torch.linspace(0.01, 0.99, 99).view(-1, 1)
    ends, middle = (CutMix(alpha=a)._shares(uniform) for a in (0.2, 5.0))
    assert CutMix()._shares(uniform) is uniform
    assert ends.std() > uniform.std() > middle.std()
    assert float(middle.mean()) == pytest.approx(0.5, abs=1e-3)


def test_other_inputs_stay_and_count_whole():
    numbers = torch.arange(12, dtype=torch.int32).view(3, 4)
    mixed = CutMix(share=1.0).mix(numbers, noise())
    assert mixed.inputs is numbers
    assert mixed.kept.tolist() == [1, 1, 1]


def test_the_loss_of_a_step_is_the_sum_by_shares(monkeypatch):
    seen = []

    def spy(model, data, domain, config, rng, run, *, vary):
        rows = torch.arange(len(data))
        inputs = vary(data.inputs, rows, noise())
        logits = torch.stack([rows.float(), torch.zeros(len(rows))], 1)
        losses = torch.nn.functional.cross_entropy(logits, data.labels, reduction="none")
        seen.append(run.objective(Batch(rows, losses, logits, logits, data.labels, inputs)))
        return logits, data.labels

    monkeypatch.setattr("mithridate.trainers.cutmix.fit", spy)
    method = CutMix(share=1.0, training=TrainingConfig(augment=False))
    data = dataset(flat(6, 8, 8), [0, 1, 0, 1, 1, 0])
    logits, labels = method.train(None, data, ImageDomain(), stream(0, "train"))
    mixed = method.mix(data.inputs, noise())
    log_p = logits.log_softmax(1)
    expected = [
        -(k * log_p[i, labels[i]] + (1 - k) * log_p[i, labels[j]])
        for i, (k, j) in enumerate(zip(mixed.kept, mixed.partners, strict=True))
    ]
    torch.testing.assert_close(seen[0], torch.stack(expected))


def test_without_mixing_it_is_ordinary_training():
    domain, config = ImageDomain(), TrainingConfig(epochs=2, batch_size=16, learning_rate=0.05)
    data = dataset(flat(32, 8, 8), torch.arange(32) // 16)
    trainers = (CutMix(share=0.0, training=config), Standard(config))
    mixed, plain = (
        t.train(quick_network(data, stream(0, "n")), data, domain, stream(0, "t")) for t in trainers
    )
    assert mixed.cost["forward"] == plain.cost["forward"] == 64, "the network is asked once"
    assert mixed.losses[:, 0].mean() == pytest.approx(float(plain.losses[:, 0].mean()), rel=0.3)


@pytest.mark.parametrize("fields", [{"share": -0.1}, {"share": 1.1}, {"alpha": 0.0}], ids=str)
def test_settings_out_of_range_are_refused(fields):
    data = dataset(flat(4, 8, 8), [0, 1, 0, 1])
    with pytest.raises(MethodError, match="alpha"):
        CutMix(**fields).train(None, data, ImageDomain(), stream(0, "t"))
