"""The image networks: sizes, shapes, gradients, features, and that they learn."""

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mithridate.core.data import dataset
from mithridate.core.errors import MethodError
from mithridate.core.fit import TrainingConfig, fit
from mithridate.core.inference import autocast, forward, last_linear
from mithridate.core.runtime import Runtime
from mithridate.core.view import View
from mithridate.domains.image.domain import ImageDomain
from mithridate.domains.image.layers import (
    Attention,
    Encode,
    PreActivation,
    Residual,
    Tokens,
    start_small,
)
from mithridate.domains.image.networks import NETWORKS, build

SMALL = {
    "resnet9": "resnet9:8",
    "preact-resnet18": "preact-resnet18:8",
    "vgg": "vgg:8",
    "vit": "vit:32",
}


def noise(n=4, channels=3, height=32, width=32):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (n, channels, height, width), generator=generator).byte()


def parameters(model):
    return sum(p.numel() for p in model.parameters())


def test_every_network_has_a_small_version_here():
    assert SMALL.keys() == NETWORKS.keys()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(8, 8), (28, 28), (33, 45), (64, 64), (224, 224)])
@pytest.mark.parametrize("name", SMALL.values())
def test_images_of_any_size_become_logits_and_features_are_found(name, size, channels):
    images = noise(2, channels, *size)
    model = build(name, images, 7)
    assert isinstance(model[0], Encode)
    linear = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
    assert last_linear(model) is linear[-1] is model[-1]
    features, logits = forward(model, images, Runtime())
    assert logits.shape == (2, 7)
    assert features.shape == (2, model[-1].in_features)
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize("name", SMALL.values())
def test_gradients_reach_every_parameter_in_bf16_and_channels_last(name):
    images = noise(8)
    model = build(name, images, 10).train()
    convolutions = [p for p in model.parameters() if p.ndim == 4 and p.shape[2] > 1]
    assert convolutions
    assert all(p.is_contiguous(memory_format=torch.channels_last) for p in convolutions)
    with autocast("cpu"):
        logits = model(images)
    F.cross_entropy(logits.float(), torch.arange(8)).backward()
    for label, parameter in model.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), label
        if not label.endswith("query_key_value.bias"):  # the keys' bias shifts all weights alike
            assert parameter.grad.abs().max() > 0, label


@pytest.mark.parametrize("name", SMALL.values())
def test_features_through_a_view_lead_to_the_logits(name):
    images = noise(6, 1, 12, 12)
    model = build(name, images, 3)
    view = View(dataset(images, [0, 1, 2, 0, 1, 2]), domain=ImageDomain(), model=model)
    redone = view.features @ model[-1].weight.T + model[-1].bias
    assert torch.allclose(redone, view.logits, atol=0.05), "up to the rounding of bf16"


def test_preact_resnet18_has_as_many_parameters_as_counted_by_hand():
    def block(inputs, outputs):
        norms = 2 * inputs + 2 * outputs
        shortcut = 0 if inputs == outputs else inputs * outputs
        return norms + 9 * inputs * outputs + 9 * outputs**2 + shortcut

    stages = [(64, 64), (64, 128), (128, 256), (256, 512)]
    widths = [pair for a, b in stages for pair in ((a, b), (b, b))]
    counted = 27 * 64 + sum(block(*pair) for pair in widths) + 2 * 512 + 512 * 10 + 10
    assert counted == 11_172_170
    assert parameters(build("preact-resnet18", noise(), 10)) == counted


def test_other_networks_have_as_many_parameters_as_counted_by_hand():
    widths = [3, 64, 128, 256, 256, 512, 512, 512, 512]
    pairs = list(itertools.pairwise(widths))
    counted = sum(9 * a * b + 2 * b for a, b in pairs) + 512 * 10 + 10
    assert parameters(build("vgg", noise(), 10)) == counted
    d = 96
    block = 4 * d + (3 * d * d + 3 * d) + (d * d + d) + (4 * d * d + 4 * d) + (4 * d * d + d)
    counted = (3 * 16 * d + d) + 64 * d + 6 * block + 2 * d + 10 * d + 10
    assert parameters(build("vit", noise(), 10)) == counted
    assert parameters(build("resnet9", noise(), 10)) == 412_954


@pytest.mark.parametrize(
    ("name", "side"), [("resnet9:8", 4), ("preact-resnet18:8", 4), ("vgg:8", 1)]
)
def test_last_map_of_a_small_image_has_the_usual_side(name, side):
    """32 pixels are halved three times, in VGG five times."""
    maps = []
    model = build(name, noise(), 10).eval()
    for layer in model:
        layer.register_forward_hook(lambda _, __, out: maps.append(out))
    model(noise())
    assert [m for m in maps if m.ndim == 4][-1].shape[2:] == (side, side)


def test_pre_activation_block_by_hand():
    """With flat statistics the block is conv2(relu(conv1(relu(x)))) plus its shortcut."""
    block = PreActivation(1, 1, 1).eval()
    with torch.no_grad():
        for layer in block.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.eps = 0.0
            if isinstance(layer, nn.Conv2d):
                layer.weight.zero_()
                layer.weight[0, 0, 1, 1] = 3.0
        result = block(torch.tensor([[[[2.0, -1.0]]]]))
    # 2 + 3 * 3 * 2 and -1 + 3 * relu(3 * relu(-1)): the plain input is what is added
    assert result.flatten().tolist() == [20.0, -1.0]
    wider = PreActivation(1, 2, 2).eval()
    with torch.no_grad():
        for parameter in wider.body.parameters():
            parameter.zero_()
        wider.shortcut.weight.fill_(5.0)
        result = wider(torch.tensor([[[[-4.0, 0.0], [0.0, 0.0]]]]))
    assert result.flatten().tolist() == [0.0, 0.0], "the shortcut sees the rectified input"


def test_attention_of_equal_tokens_is_the_value_itself():
    attention = Attention(64)
    token = torch.randn(1, 1, 64)
    alone, many = attention(token), attention(token.expand(1, 5, 64))
    assert torch.allclose(many, alone.expand(1, 5, 64), atol=1e-5)
    assert attention.heads == 2


def test_tokens_see_every_pixel_of_an_odd_image():
    tokens = Tokens(1, 10, 13, 4, 8)
    assert tokens(torch.zeros(1, 1, 10, 13)).shape == (1, 3 * 4, 8)
    pixels = torch.zeros(1, 1, 10, 13, requires_grad=True)
    tokens(pixels).square().sum().backward()
    assert (pixels.grad != 0).all(), "the last row and column count too"


@pytest.mark.parametrize(("side", "tokens"), [(8, 16), (28, 49), (32, 64), (224, 64)])
def test_vit_cuts_small_and_large_images_alike(side, tokens):
    model = build("vit:32", noise(2, 3, side, side), 10)
    assert model[1].place.shape[1] == tokens


def test_residual_branches_start_smaller_the_more_there_are():
    torch.manual_seed(0)
    branches = nn.Sequential(*[Residual(nn.Linear(100, 100)) for _ in range(16)])
    start_small(branches)
    for branch in branches:  # Glorot: the variance is 2 / (100 + 100), here a sixteenth of it
        assert float(branch.body.weight.detach().std()) == pytest.approx(0.1 / 4, rel=0.05)
        assert not branch.body.bias.any()


def test_width_is_part_of_the_name():
    assert last_linear(build("preact-resnet18:16", noise(), 10)).in_features == 128
    assert last_linear(build("vit:64", noise(), 10)).in_features == 64
    narrow = ImageDomain().network(
        dataset(noise(), [0, 1, 0, 1]), "vgg:4", np.random.default_rng(0)
    )
    assert last_linear(narrow).in_features == 32


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("resnet", "available: resnet9"),
        ("vgg:", "positive whole number"),
        ("vgg:0", "positive whole number"),
        ("vgg:-4", "positive whole number"),
        ("vgg:wide", "'vgg:wide'"),
        ("vit:40", "multiple of 32"),
    ],
)
def test_wrong_names_are_answered_with_the_right_ones(name, said):
    with pytest.raises(MethodError, match=said):
        build(name, noise(), 10)


@pytest.mark.parametrize("name", SMALL.values())
def test_networks_learn_where_a_bright_square_stands(name):
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 80, (256, 1, 12, 12), generator=generator).byte()
    labels = torch.arange(256) % 4
    for number, label in enumerate(labels.tolist()):
        row, column = 8 * (label // 2), 8 * (label % 2)
        images[number, :, row : row + 4, column : column + 4] += 150
    data = dataset(images, labels)
    torch.manual_seed(0)
    model = build(name, images, 4)
    config = TrainingConfig(epochs=6, batch_size=32, learning_rate=0.05, augment=False)
    fit(model, data, ImageDomain(), config, np.random.default_rng(0))
    _, logits = forward(model, images, Runtime())
    assert float((logits.argmax(1) == labels).float().mean()) > 0.9
