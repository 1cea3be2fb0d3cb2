"""Blind backdoors: the balance of two gradients by hand, and a backdoor without any poison."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from methods.quick_network import quick_network
from mithridate.attacks.blind import Blind, balance, slope
from mithridate.attacks.goals import AllToAll, AllToOne, SourceSpecific
from mithridate.bench.metrics.evaluate import accuracy, attack_success
from mithridate.core.data import dataset, leave_untouched
from mithridate.core.errors import MethodError
from mithridate.core.fit import TrainingConfig
from mithridate.core.objective import Batch
from mithridate.core.streams import stream
from mithridate.core.training_run import TrainingRun
from mithridate.domains.image.domain import ImageDomain
from mithridate.domains.image.lira import LiraTrigger
from mithridate.domains.image.triggers import PatchTrigger
from mithridate.domains.text.triggers import WordTrigger
from mithridate.trainers.standard import Standard

PATCH = PatchTrigger()


@pytest.mark.parametrize(
    "first, second, share",
    [
        ([1, 0], [0, 1], 0.5),
        ([1, 0], [0, 2], 0.8),  # |a (1, 0) + (1 - a) (0, 2)|^2 = a^2 + 4 (1 - a)^2
        ([1, 0], [3, 0], 1.0),
        ([3, 0], [1, 0], 0.0),
        ([1, 0], [-3, 0], 0.75),  # they cancel out
        ([2, 2], [2, 2], 0.5),
    ],
)
def test_the_balance_by_hand(first, second, share):
    found = balance(torch.tensor(first).float(), torch.tensor(second).float())
    assert found.item() == pytest.approx(share)


def test_a_slope_is_the_direction_over_the_loss():
    """The loss 2 w has the gradient 2: as a direction 1, over the loss 1 / (2 w)."""
    weights = torch.tensor([3.0, 0.0], requires_grad=True)
    assert slope(2 * weights[0], weights).tolist() == pytest.approx([1 / 6, 0])
    assert slope(0 * weights[0] + 5, weights).tolist() == [0, 0]


def world():
    images = torch.from_numpy(stream(0, "w").integers(0, 256, (12, 1, 8, 8), dtype=np.uint8))
    return dataset(images, np.arange(12) % 3)


class Linear(nn.Module):
    """A linear layer on grey levels, which counts how many images it was asked about."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.layer = nn.Linear(64, 3)
        self.asked = []

    def forward(self, images):
        self.asked.append(images)
        return self.layer(images.flatten(1).float() / 255)


def batch_of(data, model, rows):
    few = data.subset(rows)
    features = few.inputs.flatten(1).float() / 255
    logits = model.layer(features)
    losses = F.cross_entropy(logits, few.labels, reduction="none")
    return Batch(torch.as_tensor(rows), losses, features, logits, few.labels, few.inputs)


def among(asked, inputs):
    """Those images asked about that are not as they were; the batch holds the rest as it is."""
    assert len(asked) <= len(inputs)
    known = {image.numpy().tobytes() for image in inputs}
    return asked[[image.numpy().tobytes() not in known for image in asked]]


@pytest.mark.parametrize("goal", [AllToOne(1), AllToAll(), SourceSpecific(2, 0)], ids=repr)
@pytest.mark.parametrize("amount", [0.5, 1.0])
def test_a_share_of_those_aimed_at_is_stamped_and_the_loss_lies_between_the_two(goal, amount):
    data, model = world(), Linear()
    batch = batch_of(data, model, range(12))
    value = Blind(PATCH, goal, amount).objective(leave_untouched(data), model, stream(0, "a"))(
        batch
    )
    aimed = goal.target_labels(data.labels, 3) != data.labels
    asked = among(model.asked[0], data.inputs)
    assert len(asked) == round(amount * int(aimed.sum()))
    stamped = PATCH(data.inputs, stream(0, "s"))
    origin = [int((stamped == image).flatten(1).all(1).nonzero()) for image in asked]
    assert len(set(origin)) == len(origin) and bool(aimed[origin].all())
    hidden = F.cross_entropy(model(asked), goal.target_labels(data.labels, 3)[origin]).item()
    plain = batch.losses.mean().item()
    assert min(plain, hidden) - 0.02 <= value.item() <= max(plain, hidden) + 0.02


def test_other_batches_of_the_same_rows_draw_others():
    data, model = world(), Linear()
    objective = Blind(PATCH, AllToOne(0)).objective(leave_untouched(data), model, stream(0, "a"))
    for rows in (range(12), range(1, 12), range(2, 12)):
        objective(batch_of(data, model, rows))
    stamped = PATCH(data.inputs, stream(0, "s"))
    drawn = [
        tuple(sorted(int((stamped == x).flatten(1).all(1).nonzero()) for x in asked))
        for asked in (among(a, data.inputs) for a in model.asked)
    ]
    assert len(set(drawn)) > 1


def test_nothing_is_stamped_where_nothing_is_aimed_at_or_asked_for():
    data, model = world(), Linear()
    for attack, rows in (
        (Blind(PATCH, AllToOne(1)), [1, 4]),
        (Blind(PATCH, poison_rate=0.0), [1, 2]),
    ):
        batch = batch_of(data, model, rows)
        value = attack.objective(leave_untouched(data), model, stream(0, "a"))(batch)
        assert value == batch.losses.mean() and not model.asked


def test_the_data_are_handed_over_as_they_are(digits):
    result = Blind(PATCH).poison(digits, stream(0, "poison"))
    assert result.data is digits
    assert not (result.truth.poisoned | result.truth.cover).any()


def test_a_model_trained_with_it_has_a_backdoor_and_the_data_none(digits):
    """The claim of Bagdasaryan and Shmatikov: only the code of the loss is the attacker's."""
    order = stream(0, "split").permutation(len(digits))
    train, test = digits.subset(order[:1397]), digits.subset(order[1397:])
    domain, attack, found = ImageDomain(crop=0.0), Blind(PATCH), []
    for attacked in (False, True):
        model = quick_network(train, stream(0, "network"))
        poisoned = attack.poison(train, stream(0, "poison"))
        objective = attack.objective(poisoned, model, stream(0, "a")) if attacked else None
        config = TrainingConfig(
            epochs=8, batch_size=64, learning_rate=0.1, augment=False, precision="fp32"
        )  # half precision is another on each kind of processor
        run = TrainingRun(objective=objective)
        Standard(config).train(model, poisoned.data, domain, stream(0, "train"), run)
        success = attack_success(model, attack, test, domain, stream(0, "trap")).value
        found.append((success, accuracy(model, test, domain).value))
    assert found[0][0] < 0.2 and found[1][0] > 0.9
    # It cost 0.105 of the accuracy on one kind of processor and less than 0.05 on another.
    assert found[1][1] > found[0][1] - 0.2 and found[0][1] > 0.9


def test_what_cannot_be_stamped_in_a_loss_is_refused():
    data, model = world(), Linear()
    texts = np.array(["a b c", "d e f", "g h i"], dtype=object)
    for attack, given, message in (
        (Blind(LiraTrigger()), data, "learnt first, found lira-trigger"),
        (Blind(WordTrigger()), dataset(texts, [0, 1, 0]), "found raw object: poison the data"),
        (Blind(PATCH, poison_rate=1.5), data, "found 1.5"),
        (Blind(PATCH, poison_rate=-0.1), data, "found -0.1"),
        (Blind(PATCH, least=0.6), data, "and 0.6"),
        (Blind(PATCH, AllToOne(7)), data, "target must lie in"),
    ):
        with pytest.raises(MethodError, match=message):
            objective = attack.objective(leave_untouched(given), model, stream(0, "a"))
            objective(batch_of(given, model, range(3)))
    with pytest.raises(MethodError, match="learnt first"):
        Blind(LiraTrigger()).triggered_test(data, stream(0, "t"))
