"""Targeted weights: the patch by hand, which weights change, and what they do to digits."""

import copy

import numpy as np
import pytest
import torch

from methods.model_to_scan import twin
from methods.victim_to_repair import DOMAIN, split
from mithridate.attacks.tbt import TargetedWeights, put_patch
from mithridate.bench.metrics.evaluate import accuracy, attack_success
from mithridate.core.data import dataset
from mithridate.core.domain import Surface
from mithridate.core.errors import MethodError
from mithridate.core.inference import features_of, last_linear
from mithridate.core.streams import stream
from mithridate.domains.catalogue import load_named
from mithridate.domains.text.domain import TextDomain

ATTACK = TargetedWeights(target=7, features=16, side=0.5)


def test_the_patch_lies_at_the_end_of_the_last_two_axes():
    inputs = torch.zeros(1, 1, 3, 4, dtype=torch.uint8)
    patch = torch.tensor([[[1, 2], [3, 4]]], dtype=torch.uint8)
    found = put_patch(inputs, patch)
    assert found[0, 0].tolist() == [[0, 0, 0, 0], [0, 0, 1, 2], [0, 0, 3, 4]]
    assert not inputs.any()


def test_the_features_with_the_steepest_weights_are_chosen_by_hand():
    class Two(torch.nn.Module):
        """Features are the mean and the first byte, both over 255."""

        def __init__(self):
            super().__init__()
            self.head = torch.nn.Linear(2, 2)

        def forward(self, inputs):
            levels = inputs.float().flatten(1) / 255
            return self.head(torch.stack([levels.mean(1), levels[:, 0]], 1))

    model, inputs = Two(), torch.zeros(3, 1, 2, 2, dtype=torch.uint8)
    inputs[:, :, 1] = 255  # mean one half, first byte 0
    chosen = TargetedWeights(features=1)._chosen(model, inputs, model.head.weight)
    assert chosen.tolist() == [0]


@pytest.fixture(scope="module")
def implanted():
    model = twin()
    kept = copy.deepcopy(model)
    made = ATTACK.implant(model, split()[0], DOMAIN, stream(0, "implant"))
    return kept, model, made, load_named("digits", "test").data


def test_only_the_wanted_row_changes_at_as_many_features_as_are_chosen(implanted):
    kept, model, made, _ = implanted
    before, after = kept.state_dict(), made.model.state_dict()
    assert all(torch.equal(before[n], value) for n, value in model.state_dict().items())
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    (name,) = moved
    changed = before[name] != after[name]
    assert last_linear(kept).weight.shape == changed.shape
    assert changed.any(1).nonzero().flatten().tolist() == [7]
    assert 1 <= int(changed.sum()) <= 16


def test_a_few_weights_are_enough_and_most_clean_digits_stay_what_they_were(implanted):
    """The claim of Rakin, He and Fan: a handful of weights of one class, and a patch for them.

    With two streams 0.77 and 0.79 obey, for 0.05 and 0.06 of the accuracy of so narrow a network.
    """
    kept, _, made, test = implanted
    rng = stream(0, "trap")
    before = attack_success(kept, ATTACK, test, DOMAIN, rng, state=made.state).value
    after = attack_success(made.model, ATTACK, test, DOMAIN, rng, state=made.state).value
    assert after > 0.6
    assert after > before + 0.5, "the weights must matter, and not the patch alone"
    assert accuracy(made.model, test, DOMAIN).value > accuracy(kept, test, DOMAIN).value - 0.12


def test_the_patch_drives_the_chosen_features_of_unseen_digits(implanted):
    kept, _, made, test = implanted
    row = last_linear(made.model).weight[7] != last_linear(kept).weight[7]
    clean, driven = (
        features_of(kept, inputs.float())[:, row].mean().item()
        for inputs in (test.inputs, put_patch(test.inputs, made.state["patch"]))
    )
    assert driven > 1.1 * clean  # by 1.18, on half of all features


def test_the_trap_leaves_out_the_wanted_class(implanted):
    _, _, made, test = implanted
    triggered_test = ATTACK.triggered_test(test, stream(0, "trap"), made.state)
    assert (triggered_test.labels == 7).all()
    assert len(triggered_test) == int((test.labels != 7).sum())
    side = made.state["patch"].shape[-1]
    assert made.state["patch"].shape == (1, side, side) and side == 4
    assert (triggered_test.inputs[:, :, -side:, -side:] == made.state["patch"]).all()


@pytest.mark.parametrize(
    "wrong", [{"target": 9}, {"target": -1}, {"features": 0}, {"side": 0.0}, {"side": 1.5},
              {"weight": -1.0}],
)  # fmt: skip
def test_numbers_out_of_range_are_refused(wrong):
    data = dataset(torch.zeros(4, 1, 8, 8, dtype=torch.uint8), [0, 1, 0, 1])
    model = DOMAIN.network(data, "resnet9:8", stream(0, "network"))
    with pytest.raises(MethodError, match="found"):
        TargetedWeights(**wrong).implant(model, data, DOMAIN, stream(0, "implant"))


def test_inputs_that_are_no_grid_of_bytes_and_missing_states_are_refused():
    texts = dataset(np.array(["a b", "c d", "e f"], dtype=object), [0, 1, 0])
    domain = TextDomain()
    model = domain.network(texts, "", stream(0, "network"))
    with pytest.raises(MethodError, match="no patch can be sought here: texts are words"):
        TargetedWeights().implant(model, texts, domain, stream(0, "implant"))
    images = dataset(torch.zeros(4, 1, 8, 8, dtype=torch.uint8), [0, 1, 0, 1])
    with pytest.raises(MethodError, match=r"attack\.implant"):
        TargetedWeights().triggered_test(images, stream(0, "trap"))
    patch = {"patch": torch.zeros(1, 2, 2, dtype=torch.uint8)}
    with pytest.raises(MethodError, match=r"was found for other inputs; found torch.float32"):
        TargetedWeights().triggered_test(
            dataset(torch.zeros(4, 1, 8, 8), [0, 1, 0, 1]), stream(0, "trap"), patch
        )
    with pytest.raises(MethodError, match="no example"):
        TargetedWeights().triggered_test(images.subset([0, 2]), stream(0, "trap"), patch)


def test_the_range_and_the_axes_are_the_domains():
    """A patch on a line of floats from -1 to 1 is sought there, and stamped at its end."""

    class Line:
        def surface(self, prepared):
            return Surface(-1.0, 1.0, tuple(prepared.shape[1:]), tuple(prepared.shape[1:]))

    class Ends(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.head = torch.nn.Linear(2, 2, bias=False)

        def forward(self, x):
            return self.head(torch.stack([x[..., -2:].mean((1, 2)), -x[..., :2].mean((1, 2))], 1))

    prepared = torch.randn(8, 1, 10, generator=torch.Generator().manual_seed(0)).clamp(-1, 1)
    attack = TargetedWeights(side=0.2, steps=80, stride=16.0)
    patch = attack._patch(Ends(), prepared, torch.tensor([0]), Line().surface(prepared))
    assert patch.shape == (1, 2) and patch.dtype == torch.float32
    assert torch.equal(patch, torch.ones(1, 2)), "the mean of the end rises as far as the range"
    assert torch.equal(put_patch(prepared, patch)[..., -2:], torch.ones(8, 1, 2))
    assert torch.equal(put_patch(prepared, patch)[..., :-2], prepared[..., :-2])
