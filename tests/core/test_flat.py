"""One flattening says what is exchanged; integers and constants stay the server's."""

import pytest
import torch
from torch import nn

from mithridate.core.errors import MethodError
from mithridate.core.flat import FlatForm, LastLayer


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.5]))
        self.first = nn.Linear(3, 2, bias=False)
        self.norm = nn.BatchNorm1d(2)
        self.head = nn.Linear(2, 4)
        self.narrow = nn.Parameter(torch.ones(2, dtype=torch.bfloat16))

    def forward(self, x):
        return self.head(self.norm(self.first(x - self.mean)))


def test_parameters_moments_and_the_head_are_told_apart():
    form = FlatForm.of(Net())
    assert [part.key for part in form.parameters] == [
        "narrow", "first.weight", "norm.weight", "norm.bias", "head.weight", "head.bias",
    ]  # fmt: skip
    assert [part.key for part in form.moments] == ["norm.running_mean", "norm.running_var"]
    assert (form.size, form.moments_size) == (2 + 6 + 4 + 12, 4)
    assert form.segments == ((0, 2), (2, 8), (8, 10), (10, 12), (12, 20), (20, 24))
    assert form.head == LastLayer((12, 20), (20, 24), 4)


def test_what_is_written_is_read_again_and_the_rest_stays():
    model = Net()
    form, before = FlatForm.of(model), {k: v.clone() for k, v in model.state_dict().items()}
    form.write(model, torch.arange(24.0), torch.arange(4.0) + 1)
    after = model.state_dict()
    assert torch.equal(form.flatten(after), torch.arange(24.0))
    assert torch.equal(form.moments_of(after), torch.arange(4.0) + 1)
    assert after["narrow"].dtype == torch.bfloat16
    for key in ("mean", "norm.num_batches_tracked"):
        assert torch.equal(after[key], before[key]) and after[key].dtype == before[key].dtype
    form.write(model, torch.zeros(24))
    assert torch.equal(form.moments_of(model.state_dict()), torch.arange(4.0) + 1)


def test_a_tensor_that_layers_share_counts_once():
    model = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False))
    model[1].weight = model[0].weight
    form = FlatForm.of(model)
    assert form.size == 9
    form.write(model, torch.ones(9))
    assert torch.equal(model[1].weight, torch.ones(3, 3))


def test_a_vector_of_another_length_and_a_model_without_floats_are_refused():
    with pytest.raises(MethodError, match=r"24 numbers.*found shape"):
        FlatForm.of(Net()).write(Net(), torch.zeros(23))
    with pytest.raises(MethodError, match="no floating parameters"):
        FlatForm.of(nn.Flatten())


def test_a_model_without_moments_or_a_last_linear_layer_has_none():
    form = FlatForm.of(nn.Conv2d(1, 1, 2))
    assert form.head is None
    assert form.moments_of({}).shape == (0,)
