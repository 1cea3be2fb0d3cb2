"""Feature matching: the term by hand, where its gradients lead, and what it hides on digits."""

import itertools

import pytest
import torch
from torch import nn

from methods.quick_network import quick_network
from mithridate.attacks.feature_matching import FeatureMatching, distance
from mithridate.attacks.goals import AllToOne
from mithridate.attacks.poisoning import Poisoning
from mithridate.attacks.selections import CoveredSelection, RandomSelection
from mithridate.bench.metrics.evaluate import accuracy, attack_success, detection
from mithridate.core.data import Poisoned, Truth, dataset
from mithridate.core.errors import MethodError
from mithridate.core.fit import TrainingConfig
from mithridate.core.objective import Batch
from mithridate.core.streams import stream
from mithridate.core.training_run import TrainingRun
from mithridate.core.view import View
from mithridate.detectors.activation_clustering import ActivationClustering
from mithridate.detectors.spectral_signatures import SpectralSignatures
from mithridate.domains.image.domain import ImageDomain
from mithridate.domains.image.triggers import PatchTrigger
from mithridate.trainers.standard import Standard

NETWORK, RNG = nn.Identity(), stream(0, "attacker")
INNER = Poisoning(PatchTrigger(), AllToOne(0), CoveredSelection(4.0, 2.0))

NONE = (torch.zeros(12), torch.zeros(12))

HIDDEN = [[0.0, 0.0], [2.0, 0.0]]  # mean (1, 0), variances (2, 0)
SAME_CLASS = [[1.0, 3.0], [1.0, 5.0], [1.0, 4.0]]  # mean (1, 4), variances (0, 1)
OTHERS = [[1.0, 2.0], [1.0, 6.0]]  # with the three above: 10 / 4 in all
COVER = [[70.0, -30.0], [50.0, 90.0]]
TERM = (16 - 2 / 2 - 1 / 3) + (2**0.5 - 0) ** 2 + (0 - 1) ** 2


def world():
    """Two poisoned, three clean and one cover row of class 0; two clean and a cover row of 1."""
    labels = [0, 0, 0, 0, 0, 0, 1, 1, 1]
    data = dataset(torch.zeros(9, 1, 2, 2, dtype=torch.uint8), labels)
    poisoned, cover = torch.zeros(9, dtype=torch.bool), torch.zeros(9, dtype=torch.bool)
    poisoned[:2] = True
    cover[[5, 8]] = True
    return Poisoned(data, Truth(poisoned, cover, data.labels))


def batch_of(features, rows=None, loss=1.0):
    features = torch.tensor(features).requires_grad_()
    rows = torch.arange(9) if rows is None else torch.tensor(rows)
    losses = torch.full((len(rows),), loss)
    return Batch(rows, losses, features, torch.zeros(len(rows), 2), rows, rows)


def whole(loss=1.0):
    return batch_of([*HIDDEN, *SAME_CLASS, COVER[0], *OTHERS, COVER[1]], loss=loss)


def gradient(batch, weight=1.0):
    value = FeatureMatching(INNER, weight).objective(world(), NETWORK, RNG)(batch)
    return torch.autograd.grad(value, batch.features)[0]


def test_the_distance_by_hand():
    found = distance(torch.tensor(HIDDEN), torch.tensor(SAME_CLASS))
    assert found.item() == pytest.approx(TERM, abs=1e-3)


def test_the_objective_is_the_loss_and_the_distance_in_units_of_the_clean_spread():
    found = FeatureMatching(INNER, weight=0.5).objective(world(), NETWORK, RNG)(whole(loss=3.0))
    assert found.item() == pytest.approx(3.0 + 0.5 * TERM / (10 / 4), abs=1e-3)


def test_rows_say_which_examples_a_batch_holds():
    straight = whole()
    order = [4, 8, 1, 0, 7, 3, 6, 2, 5]
    mixed = batch_of(straight.features.detach()[order].tolist(), rows=order)
    objective = FeatureMatching(INNER).objective(world(), NETWORK, RNG)
    assert objective(mixed).item() == pytest.approx(objective(straight).item(), rel=1e-6)


def test_every_class_with_poison_counts_alike():
    labels = torch.arange(12) % 2
    truth = Truth(torch.arange(12) < 4, torch.zeros(12, dtype=torch.bool), labels)
    both = Poisoned(dataset(torch.zeros(12, 1, 2, 2, dtype=torch.uint8), labels), truth)
    features = torch.randn(12, 3, generator=torch.Generator().manual_seed(0))
    unit = features / features[4:].var(0).sum().sqrt()
    terms = [distance(unit[y:4:2], unit[4 + y :: 2]) for y in (0, 1)]
    batch = Batch(torch.arange(12), torch.zeros(12), features, torch.zeros(12, 2), *NONE)
    found = FeatureMatching(INNER, weight=1.0).objective(both, NETWORK, RNG)(batch)
    torch.testing.assert_close(found, (terms[0] + terms[1]) / 2)


@pytest.mark.parametrize(
    "missing", [[0], [0, 1], [2, 3], [2, 3, 4]], ids=["one poisoned", "none", "one clean", "no q"]
)
def test_a_class_with_fewer_than_two_of_a_kind_is_left_out(missing):
    kept = [row for row in range(9) if row not in missing]
    batch = batch_of(whole().features.detach()[kept].tolist(), rows=kept, loss=2.0)
    assert FeatureMatching(INNER, 9.0).objective(world(), NETWORK, RNG)(batch).item() == 2.0


def test_the_part_of_the_means_is_unbiased():
    """Over every draw of two and three values with replacement, it averages to (1 - 3)^2."""
    first, second = torch.tensor([[0.0], [2.0]]), torch.tensor([[0.0], [3.0], [6.0]])
    found = []
    for p in itertools.product(range(2), repeat=2):
        for q in itertools.product(range(3), repeat=3):
            drawn, others = first[list(p)], second[list(q)]
            apart = (drawn.std(0) - others.std(0)).square().sum()
            found.append(distance(drawn, others) - apart)
    assert float(torch.stack(found).mean()) == pytest.approx(4.0, abs=2e-3)


def test_a_common_scale_changes_nothing_and_has_no_gradient():
    small, large = whole(), batch_of((1000 * whole().features).tolist())
    objective = FeatureMatching(INNER, 1.0).objective(world(), NETWORK, RNG)
    assert objective(small).item() == pytest.approx(objective(large).item(), rel=1e-4)
    steps = gradient(small)
    assert (steps * small.features).sum().item() == pytest.approx(0, abs=1e-3)
    assert float(steps.abs().max()) > 1


def test_cover_samples_have_no_gradient_and_the_poison_is_drawn_to_its_class():
    steps = gradient(whole())
    assert not steps[[5, 8]].any()
    assert (steps[:2, 1] < 0).all(), "descent raises what must rise from 0 to 4"
    assert (steps[2:5, 1] > 0).any()


def test_descent_brings_mean_and_spread_of_the_poison_to_those_of_its_class():
    noise = torch.Generator().manual_seed(0)
    clean = torch.randn(300, 8, generator=noise) * torch.linspace(0.5, 2, 8)
    hidden = (torch.randn(30, 8, generator=noise) * 0.1 + 4).requires_grad_()
    optimiser = torch.optim.SGD([hidden], lr=1.0)
    for _ in range(400):
        optimiser.zero_grad()
        distance(hidden, clean).backward()
        optimiser.step()
    hidden = hidden.detach()
    assert float((hidden.mean(0) - clean.mean(0)).abs().max()) < 0.3
    torch.testing.assert_close(hidden.std(0), clean.std(0), rtol=0.15, atol=0)


def test_data_and_trap_are_those_of_the_attack_inside():
    data = dataset(torch.zeros(30, 1, 8, 8, dtype=torch.uint8), [0, 1, 2] * 10)
    mine, theirs = (a.poison(data, stream(0, "poison")) for a in (FeatureMatching(INNER), INNER))
    assert torch.equal(mine.data.inputs, theirs.data.inputs)
    assert torch.equal(mine.data.labels, theirs.data.labels)
    assert torch.equal(mine.truth.poisoned, theirs.truth.poisoned)
    assert torch.equal(mine.truth.cover, theirs.truth.cover)
    triggered_test = FeatureMatching(INNER).triggered_test(data, stream(0, "trap"))
    assert torch.equal(triggered_test.inputs, INNER.triggered_test(data, stream(0, "trap")).inputs)


def test_a_negative_weight_is_refused():
    with pytest.raises(MethodError, match="must not be negative, found -1"):
        FeatureMatching(INNER, -1.0).objective(world(), NETWORK, RNG)


def trained(attack, digits, seed):
    """Train on digits; gives success, accuracy and what two detectors see within the class."""
    order = stream(0, "split").permutation(len(digits))
    train, test = digits.subset(order[:1397]), digits.subset(order[1397:])
    domain, poisoned = ImageDomain(crop=0.0), attack.poison(train, stream(seed, "poison"))
    model = quick_network(poisoned.data, stream(seed, "network"))
    trains = isinstance(attack, FeatureMatching)
    objective = attack.objective(poisoned, model, RNG) if trains else None
    config = TrainingConfig(
        epochs=12, batch_size=64, learning_rate=0.1, augment=False, precision="fp32"
    )
    run = TrainingRun(objective=objective)
    Standard(config).train(model, poisoned.data, domain, stream(seed, "train"), run)
    view = View(poisoned.data, model=model, domain=domain)
    seen = {
        detector.name(): detection(
            detector.judge(view).values, poisoned.truth, poisoned.data.labels
        )["auroc_in_class"]
        for detector in (SpectralSignatures(), ActivationClustering())
    }
    success = attack_success(model, attack, test, domain, stream(seed, "trap")).value
    return success, accuracy(model, test, domain).value, seen


@pytest.mark.parametrize("seed", [0, 1])
def test_it_hides_from_detectors_that_need_poison_to_stand_apart(digits, seed):
    """The claim of Tan and Shokri, here against the two detectors that they attack as well."""
    patch = Poisoning(PatchTrigger(), AllToOne(0), RandomSelection(0.03))
    plain = trained(patch, digits, seed)
    matched = trained(FeatureMatching(patch, weight=1.0), digits, seed)
    assert plain[0] > 0.9 and matched[0] > 0.9
    assert matched[1] > 0.93
    for name, found in matched[2].items():
        assert 0.25 < found < 0.7
        assert found < plain[2][name] - 0.15
