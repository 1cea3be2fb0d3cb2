"""Operators with weights, normalisations, pools and reductions.

Axes: n examples, k channels.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F

from mithridate.artifacts.onnx.table import Call, anything, check_shape, ones, only, operator

CONVOLUTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
LARGEST_OF = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
MEAN_OF = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
PADS = only("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER")


def margins(
    auto: str, pads: list[int], sizes: list[int], kernel: list[int], strides: list[int]
) -> list[tuple[int, int]]:
    """How much to add before and after each axis. kernel: with its dilation."""
    rank = len(sizes)
    if auto == "VALID":
        return [(0, 0)] * rank
    if auto == "NOTSET":
        return list(zip(pads[:rank], pads[rank:], strict=True))
    sides = []
    for size, width, stride in zip(sizes, kernel, strides, strict=True):
        total = max((-(-size // stride) - 1) * stride + width - size, 0)
        less, more = total // 2, total - total // 2
        sides.append((less, more) if auto == "SAME_UPPER" else (more, less))
    return sides


def flatten_margins(around: list[tuple[int, int]]) -> list[int]:
    """Margins as torch takes them: the last axis first."""
    return [width for pair in reversed(around) for width in pair]


def convolve(
    call: Call, value: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None
) -> torch.Tensor:
    """Convolve over one, two or three axes."""
    rank = weight.ndim - 2
    strides = call.setting("strides", [1] * rank)
    dilations = call.setting("dilations", [1] * rank)
    kernel = [(n - 1) * d + 1 for n, d in zip(weight.shape[2:], dilations, strict=True)]
    auto, pads = call.setting("auto_pad", "NOTSET"), call.setting("pads", [0] * 2 * rank)
    around = margins(auto, pads, list(value.shape[2:]), kernel, strides)
    check_shape([n + sum(w) for n, w in zip(value.shape[2:], around, strict=True)])
    padded = F.pad(value, flatten_margins(around))
    group = call.setting("group", 1)
    answer: torch.Tensor = CONVOLUTIONS[rank](padded, weight, bias, strides, 0, dilations, group)
    return answer


@operator(
    "Conv",
    auto_pad=PADS,
    dilations=anything,
    group=anything,
    kernel_shape=anything,
    pads=anything,
    strides=anything,
)
def convolution(call: Call) -> torch.Tensor:
    """Convolve, and add a bias where there is one."""
    return convolve(call, call[0], call[1], call.get(2))


@operator("Gemm", alpha=anything, beta=anything, transA=only(0, 1), transB=only(0, 1))
def gemm(call: Call) -> torch.Tensor:
    """Multiply matrices, scale, and add."""
    left = call[0].T if call.setting("transA", 0) else call[0]
    right = call[1].T if call.setting("transB", 0) else call[1]
    product: torch.Tensor = call.setting("alpha", 1.0) * (left @ right)
    added = call.get(2)
    return product if added is None else product + call.setting("beta", 1.0) * added


@operator("MatMul")
def matmul(call: Call) -> torch.Tensor:
    """Multiply matrices, or stacks of them."""
    return call[0] @ call[1]


@operator("Einsum", equation=anything)
def einsum(call: Call) -> torch.Tensor:
    """Multiply and sum over named axes."""
    return torch.einsum(call.setting("equation"), *[call[i] for i in range(len(call.inputs))])


@operator(
    "BatchNormalization",
    epsilon=anything,
    momentum=anything,
    spatial=only(1),
    training_mode=only(0),
)
def batch_normalisation(call: Call) -> torch.Tensor:
    """Normalise channels by what training measured."""
    scale, bias, mean, variance = (call[place] for place in range(1, 5))
    return F.batch_norm(call[0], mean, variance, scale, bias, eps=call.setting("epsilon", 1e-5))


@operator("InstanceNormalization", epsilon=anything)
def instance_normalisation(call: Call) -> torch.Tensor:
    """Normalise each channel of each example."""
    return F.instance_norm(call[0], weight=call[1], bias=call[2], eps=call.setting("epsilon", 1e-5))


@operator("LayerNormalization", axis=anything, epsilon=anything, stash_type=anything)
def layer_normalisation(call: Call) -> torch.Tensor:
    """Normalise over an axis and all that follow."""
    value, axis, bias = call[0], call.setting("axis", -1), call.get(2)
    axes = tuple(range(axis % value.ndim, value.ndim))
    variance, mean = torch.var_mean(value, axes, correction=0, keepdim=True)
    scaled = (value - mean) * torch.rsqrt(variance + call.setting("epsilon", 1e-5)) * call[1]
    return scaled if bias is None else scaled + bias


@operator("RMSNormalization", axis=anything, epsilon=anything, stash_type=anything)
def root_normalisation(call: Call) -> torch.Tensor:
    """Divide by the root of the mean square over an axis and all that follow."""
    value, axis = call[0], call.setting("axis", -1)
    square = value.square().mean(tuple(range(axis % value.ndim, value.ndim)), keepdim=True)
    return value * torch.rsqrt(square + call.setting("epsilon", 1e-5)) * call[1]


@operator("GroupNormalization", epsilon=anything, num_groups=anything, stash_type=anything)
def group_normalisation(call: Call) -> torch.Tensor:
    """Normalise groups of channels; older files scale groups, newer ones channels."""
    groups, k = call.setting("num_groups"), call[0].shape[1]
    scale, bias = call[1], call[2]
    if call.opset < 21:
        scale, bias = (each.repeat_interleave(k // groups) for each in (scale, bias))
    return F.group_norm(call[0], groups, scale, bias, call.setting("epsilon", 1e-5))


@operator("LRN", alpha=anything, beta=anything, bias=anything, size=anything)
def local_response(call: Call) -> torch.Tensor:
    """Divide by what neighbouring channels answer; an even width has more of them behind."""
    size, square = call.setting("size"), call[0].square()
    around = [0, 0] * (square.ndim - 2) + [(size - 1) // 2, size // 2]
    total = F.pad(square, around).unfold(1, size, 1).sum(-1)
    inner: torch.Tensor = call.setting("bias", 1.0) + call.setting("alpha", 1e-4) / size * total
    return call[0] / inner.pow(call.setting("beta", 0.75))


@operator("LpNormalization", axis=anything, p=only(1, 2))
def unit_length(call: Call) -> torch.Tensor:
    """Divide by the length along an axis."""
    return F.normalize(call[0], call.setting("p", 2), call.setting("axis", -1))


def _windows(call: Call) -> tuple[list[int], list[int], list[int], list[tuple[int, int]]]:
    """Kernel, strides, dilations, and margins that leave no part of a window outside.

    A window that would begin behind the last element is left out.
    """
    sizes, kernel = list(call[0].shape[2:]), call.setting("kernel_shape")
    strides = call.setting("strides", [1] * len(sizes))
    dilations = call.setting("dilations", [1] * len(sizes))
    wide = [(n - 1) * d + 1 for n, d in zip(kernel, dilations, strict=True)]
    auto, pads = call.setting("auto_pad", "NOTSET"), call.setting("pads", [0] * 2 * len(sizes))
    around = margins(auto, pads, sizes, wide, strides)
    exact = []
    for n, width, stride, (before, after) in zip(sizes, wide, strides, around, strict=True):
        room = n + before + after - width
        steps = -(-room // stride) if call.setting("ceil_mode", 0) else room // stride
        steps -= steps * stride >= n + before
        exact.append((before, steps * stride + width - n - before))
    check_shape([n + sum(w) for n, w in zip(sizes, exact, strict=True)])
    return kernel, strides, dilations, exact


@operator(
    "MaxPool",
    auto_pad=PADS,
    ceil_mode=only(0, 1),
    dilations=anything,
    kernel_shape=anything,
    pads=anything,
    storage_order=anything,
    strides=anything,
)
def max_pool(call: Call) -> torch.Tensor:
    """The largest element of each window."""
    kernel, strides, dilations, around = _windows(call)
    padded = F.pad(call[0], flatten_margins(around), value=-torch.inf)
    return LARGEST_OF[len(kernel)](padded, kernel, strides, 0, dilations)


@operator(
    "AveragePool",
    auto_pad=PADS,
    ceil_mode=only(0, 1),
    count_include_pad=only(0, 1),
    dilations=ones,
    kernel_shape=anything,
    pads=anything,
    strides=anything,
)
def average_pool(call: Call) -> torch.Tensor:
    """The mean of each window, over what counts in it."""
    kernel, strides, _, around = _windows(call)
    present = torch.ones_like(call[0][:1, :1])
    if call.setting("count_include_pad", 0):
        pads = call.setting("pads", [0] * 2 * len(kernel))
        sizes = list(call[0].shape[2:])
        named = margins(call.setting("auto_pad", "NOTSET"), pads, sizes, kernel, strides)
        present = F.pad(present, flatten_margins(named), value=1.0)
        around_present = [
            (0, after - end) for (_, after), (_, end) in zip(around, named, strict=True)
        ]
    else:
        around_present = around
    pool = MEAN_OF[len(kernel)]
    counted = pool(F.pad(present, flatten_margins(around_present)), kernel, strides)
    return pool(F.pad(call[0], flatten_margins(around)), kernel, strides) / counted


@operator("GlobalAveragePool")
def global_average(call: Call) -> torch.Tensor:
    """The mean of each channel."""
    return call[0].mean(tuple(range(2, call[0].ndim)), keepdim=True)


@operator("GlobalMaxPool")
def global_largest(call: Call) -> torch.Tensor:
    """The largest element of each channel."""
    return call[0].amax(tuple(range(2, call[0].ndim)), keepdim=True)


@operator("Softmax", axis=anything)
def softmax(call: Call) -> torch.Tensor:
    """Shares along an axis."""
    return _shares(torch.softmax, call)


@operator("LogSoftmax", axis=anything)
def log_softmax(call: Call) -> torch.Tensor:
    """Logarithms of shares along an axis."""
    return _shares(torch.log_softmax, call)


def _shares(function: Callable[..., torch.Tensor], call: Call) -> torch.Tensor:
    """Shares along an axis; before the thirteenth set, over an axis and all that follow."""
    if call.opset >= 13:
        return function(call[0], call.setting("axis", -1))
    axis = call.setting("axis", 1) % call[0].ndim
    return function(call[0].flatten(axis), -1).reshape(call[0].shape)
