"""TrojanNN: the choice of neurons by hand, the pattern against others, and a victim."""

import pytest
import torch

from methods.quick_network import quick_network
from mithridate.attacks.goals import AllToOne
from mithridate.attacks.poisoning import Poisoning
from mithridate.attacks.selections import RandomSelection
from mithridate.bench.metrics.evaluate import accuracy, attack_success
from mithridate.core.data import dataset
from mithridate.core.errors import MethodError
from mithridate.core.fit import TrainingConfig, fit
from mithridate.core.inference import features_of, last_linear
from mithridate.core.streams import stream
from mithridate.domains.image import trojan_nn
from mithridate.domains.image.domain import ImageDomain
from mithridate.domains.image.trojan_nn import TrojanNNTrigger, strongest

TRIGGER = TrojanNNTrigger(size=3, row=-3, column=-3)
RECIPE = TrainingConfig(epochs=8, batch_size=64, learning_rate=0.1, augment=False)


def test_the_neurons_with_the_largest_weights_are_chosen():
    weights = torch.tensor([[1.0, -5.0, 0.5, 2.0], [1.0, 1.0, 0.5, -3.0]])
    assert strongest(weights, 2).tolist() == [1, 3]
    assert sorted(strongest(weights, 9).tolist()) == [0, 1, 2, 3]


@pytest.fixture(scope="module")
def split(digits):
    order = stream(0, "split").permutation(len(digits))
    return digits.subset(order[:1397]), digits.subset(order[1397:])


@pytest.fixture(scope="module")
def learnt(split):
    """The state, and the network that the attacker trained on the way."""
    train, trained, kept = split[0], trojan_nn.surrogate, []

    def watched(*given):
        kept.append(trained(*given))
        return kept[-1]

    with pytest.MonkeyPatch.context() as patching:
        patching.setattr(trojan_nn, "surrogate", watched)
        state = TRIGGER.learn(train, train.labels, stream(0, "learn"))
    return state, kept[0]


def driven(model, images):
    chosen = strongest(last_linear(model).weight, TRIGGER.neurons)
    return features_of(model, images.float())[:, chosen].mean().item()


def test_the_pattern_drives_the_neurons_of_images_it_was_not_sought_on(split, learnt):
    state, model = learnt
    test = split[1].inputs
    stamped = TRIGGER.stamp(test, stream(0, "s"), state)
    found = driven(model, stamped)
    noise = torch.Generator().manual_seed(0)
    others = []
    for _ in range(20):
        random = torch.randint(256, (1, 3, 3), generator=noise).byte()
        others.append(driven(model, TRIGGER.stamp(test, stream(0, "s"), {"pattern": random})))
    assert found > max(others)
    assert found > 1.05 * driven(model, test)  # 1.12 was measured; others passed 1.3


def test_only_the_square_at_the_bottom_right_is_set(split, learnt):
    images = split[1].inputs
    stamped = TRIGGER.stamp(images, stream(0, "s"), learnt[0])
    assert (stamped[:, :, 5:, 5:] == learnt[0]["pattern"]).all()
    stamped[:, :, 5:, 5:] = images[:, :, 5:, 5:]
    assert torch.equal(stamped, images)


def test_a_poisoned_victim_obeys_the_pattern(split, learnt):
    train, test = split
    attack = Poisoning(TRIGGER, AllToOne(0), RandomSelection(0.05))
    state = {f"{TRIGGER.name()}.pattern": learnt[0]["pattern"]}
    poisoned = attack.poison(train, stream(0, "poison"), state)
    domain = ImageDomain(crop=0.0)
    model = quick_network(poisoned.data, stream(0, "network"))
    fit(model, poisoned.data, domain, RECIPE, stream(0, "train"))
    assert accuracy(model, test, domain).value > 0.9
    assert attack_success(model, attack, test, domain, stream(0, "t"), state=state).value > 0.9


@pytest.mark.parametrize(
    "wrong", [{"size": 20}, {"size": 0}, {"row": 99}, {"neurons": 0}, {"steps": 0},
              {"factor": 0.0}, {"examples": 1}],
)  # fmt: skip
def test_numbers_out_of_range_are_refused_before_anything_is_trained(wrong, monkeypatch):
    monkeypatch.setattr(trojan_nn, "surrogate", None)
    data = dataset(torch.zeros(4, 1, 8, 8, dtype=torch.uint8), [0, 1, 0, 1])
    with pytest.raises(MethodError):
        TrojanNNTrigger(**wrong).learn(data, data.labels, stream(0, "learn"))
