"""Neural Cleanse and the search under it, beside a serial one that is written out."""

import copy
import math
from functools import cache

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from methods.inversion_worlds import TARGET, network, view
from mithridate.core.domain import Surface
from mithridate.core.errors import CannotJudge, MethodError
from mithridate.core.runtime import Runtime
from mithridate.core.streams import stream, torch_generator
from mithridate.scanners.inversion import Descent, Inversion, World, fold_normalisation, open_world
from mithridate.scanners.neural_cleanse import NeuralCleanse, anomaly_index

SHORT = NeuralCleanse(steps=90, batch=8)


class Linear(nn.Module):
    """Logits that are a hundredth of the two values of an input."""

    def forward(self, batch):
        return batch.flatten(1).float() / 100


def linear_world(*inputs, labels):
    surface = Surface(0.0, 255.0, (1, 1, 2), (1, 1, 2))
    given = torch.tensor(inputs, dtype=torch.uint8).view(-1, 1, 1, 2)
    return World(Linear(), given, torch.tensor(labels), surface, Runtime(), "fp32")


def one_arm(**settings):
    """An arm towards class 1 with mask 1/2 and pattern 127.5 everywhere."""
    world = linear_world((100, 0), (100, 0), labels=[0, 0])
    pool = torch.tensor([0, 1])
    search = Inversion(world, torch.tensor([1]), [pool], Descent(**settings), stream(0, "s"))
    for place in search.places.values():
        place.zero_()
    return search


def test_the_first_slopes_are_those_computed_by_hand(monkeypatch):
    """Inputs become x' = (113.75, 63.75), p(1) = 1 / (1 + e^0.5), dCE/dx' = +-0.00622459.

    dx'/dmask = (p - x) / 4 = (6.875, 31.875); dx'/dpattern = 255 / 8 = 31.875; dm/dmask = 1/4.
    """
    seen = {}
    monkeypatch.setattr(Inversion, "_adam", lambda _, name, __, slope: seen.update({name: slope}))
    search = one_arm(check=1)
    search.weight[:] = 0.1
    search.advance(torch.tensor([0]))
    assert seen["mask"].flatten().tolist() == pytest.approx([0.0677941, -0.1734089], rel=1e-5)
    assert seen["pattern"].flatten().tolist() == pytest.approx([0.1984089, -0.1984089], rel=1e-5)


def test_the_first_step_of_adam_is_as_long_as_the_rate():
    search = one_arm(check=1, learning_rate=0.2)
    search.advance(torch.tensor([0]))
    assert search.places["mask"].flatten().tolist() == pytest.approx([-0.2, 0.2], rel=1e-5)


def test_the_weight_waits_for_a_success_and_falls_after_a_failure():
    search = one_arm(check=1, weight=0.5, rise=3.0, fall=2.0)
    arm, weights = torch.tensor([0]), []
    for success in (0.0, 1.0, 1.0, 0.5):
        search._check(arm, torch.tensor([success]))
        weights.append(float(search.weight[0]))
    assert weights == [0.0, 0.5, 1.5, 0.75]
    assert float(search.norm[0]) == 1.0  # two places of one half


def serially(world, aim, steps, descent, rng):
    """The smallest mask towards one class, step by step as the paper has it."""
    draws = torch_generator(rng)
    mask = (0.1 * torch.randn(1, *world.surface.mask, generator=draws)).requires_grad_()
    pattern = (0.1 * torch.randn(1, *world.surface.pattern, generator=draws)).requires_grad_()
    adam = torch.optim.Adam([mask, pattern], lr=descent.learning_rate, betas=(0.5, 0.9))
    others = world.inputs[world.labels != aim].float()
    weight, hits, best, smallest = 0.0, 0, None, math.inf
    for step in range(1, steps + 1):
        rows = (torch.rand(descent.batch, generator=draws) * len(others)).long()
        m, p = torch.sigmoid(mask), 255 * torch.sigmoid(pattern)
        logits = world.model((1 - m) * others[rows] + m * p)
        target_labels = torch.full((descent.batch,), aim)
        loss = F.cross_entropy(logits, target_labels) + weight * m.sum()
        mask.grad, pattern.grad = torch.autograd.grad(loss, [mask, pattern])
        adam.step()
        hits += int((logits.argmax(1) == aim).sum())
        if step % descent.check == 0:
            found, hits = hits >= descent.success * descent.batch * descent.check, 0
            size = float(mask.detach().sigmoid().sum())
            if found and size < 0.99 * smallest:
                best, smallest = mask.detach().sigmoid().clone(), size
            risen = weight * descent.rise if weight else descent.weight
            weight = risen if found else weight / descent.fall
    return (mask.detach().sigmoid() if best is None else best)[0]


class Exact(nn.Module):
    """A model in double precision, so that rounding does not grow from step to step."""

    def __init__(self, model):
        super().__init__()
        self.model = copy.deepcopy(model).double()

    def forward(self, batch):
        encoded = self.model[0](batch.float()).double()
        return self.model[1:](encoded)


def test_all_classes_together_give_the_masks_and_the_verdict_of_a_serial_search():
    descent = Descent(batch=8)
    exact = Exact(network("all to one")).eval()
    with open_world(view("all to one", n=100, model=exact)) as world:
        method = NeuralCleanse(steps=30, batch=8, patience=99)
        together = method.search(world, 10, stream(0, "s"))
        some = [TARGET, 0, 9, 4]
        alone = torch.stack([serially(world, k, 30, descent, stream(0, "s")) for k in some])
    masks = together.smallest()["mask"][some]
    assert together.steps.tolist() == [30.0] * 10
    assert masks.sub(alone).abs().max() < 1e-3
    assert masks.flatten(1).sum(1).argmin() == alone.flatten(1).sum(1).argmin() == 0


@cache
def scanned_as(world):
    return SHORT.judge(view(world), stream(0, "scan"))


def test_a_patch_is_found_where_it_is_and_not_in_the_clean_twin():
    scanned = scanned_as("all to one")
    order = scanned.scores.values.argsort(descending=True)
    assert order[0] == TARGET
    assert scanned.shown["norm"][TARGET] < 0.6 * scanned.shown["norm"][order[1]]
    assert scanned.shown["anomaly_index"].argmax() == TARGET
    mask = scanned.shown["mask"][TARGET, 0]
    corner = torch.zeros_like(mask, dtype=torch.bool)
    corner[-4:, -4:] = True  # the patch has 3x3 places
    assert corner.flatten()[mask.argmax()]
    assert mask[corner].mean() > 4 * mask[~corner].mean()
    twin = scanned_as("clean")
    assert twin.scores.values.argmax() != TARGET
    assert scanned.scores.values[TARGET] > twin.scores.values.max() + 0.5


def test_what_is_found_says_how_well_it_works():
    found = scanned_as("all to one").shown
    assert found["mask"].shape == (10, 1, 16, 16)
    assert found["pattern"].shape == (10, 1, 16, 16)
    assert torch.allclose(found["norm"], found["mask"].flatten(1).sum(1))
    assert found["reached"].bool().all()
    assert found["success"].min() > 0.7
    assert found["pattern"].min() >= 0
    assert found["pattern"].max() <= 255


def test_classes_that_get_no_further_rest():
    with open_world(view("all to one")) as world:
        search = NeuralCleanse(steps=50, batch=8, patience=1).search(world, 10, stream(0, "s"))
    assert search.steps.min() < search.steps.max() <= 50


def test_a_folded_copy_gives_the_same_and_what_folds_wrongly_stays():
    model, inputs = network("clean"), view("clean").clean.inputs[:8].float()
    lean = fold_normalisation(model, inputs)
    assert not [m for m in lean.modules() if isinstance(m, nn.BatchNorm2d)]
    assert [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    assert torch.allclose(lean(inputs), model(inputs), atol=1e-3)

    class Crossed(nn.Module):
        """Names a normalisation after the convolution that it goes before."""

        def __init__(self):
            super().__init__()
            self.first = nn.Conv2d(1, 1, 1)
            self.second = nn.BatchNorm2d(1)
            self.second.running_mean += 50

        def forward(self, batch):
            return self.first(self.second(batch)).flatten(1)

    stays = Crossed().eval()
    assert fold_normalisation(stays, inputs) is stays


def test_the_mode_of_the_model_is_kept():
    model = network("clean").train()
    try:
        with open_world(view("clean", model=model)):
            assert not model.training
        assert model.training
    finally:
        model.eval()


def test_the_index_is_that_of_the_textbook():
    index = anomaly_index(torch.tensor([1.0, 2.0, 3.0, 4.0, 9.0]))
    assert index.tolist() == pytest.approx([2 / 1.4826, 1 / 1.4826, 0, -1 / 1.4826, -6 / 1.4826])
    with pytest.raises(CannotJudge, match="MAD 0"):
        anomaly_index(torch.tensor([5.0, 5.0, 5.0, 1.0]))


class Silent(nn.Module):
    """The answers of a model without its gradients."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, batch):
        return self.model(batch).detach()


def test_it_says_why_it_cannot_judge():
    silent = view("clean", model=Silent(network("clean")))
    with pytest.raises(CannotJudge, match="gradient"):
        SHORT.judge(silent, stream(0, "scan"))
    with pytest.raises(CannotJudge, match="no class was reached"):
        NeuralCleanse(steps=5, learning_rate=1e-6).judge(view("clean"), stream(0, "scan"))
    with pytest.raises(CannotJudge, match="trusted examples to lead there"):
        SHORT.judge(view("clean", n=1), stream(0, "scan"))


def test_settings_that_search_nothing_are_refused():
    with pytest.raises(MethodError, match="start at 1"):
        Descent(batch=0)
    with pytest.raises(MethodError, match="success"):
        Descent(success=1.5)
