"""Operators that move, copy, cut or measure tensors and change no value."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F

from mithridate.artifacts.onnx.table import Call, anything, check_shape, only, operator


@operator("Reshape", allowzero=only(0, 1))
def reshape(call: Call) -> torch.Tensor:
    """Give another shape; a zero keeps the length that was, unless zeros are allowed."""
    shape = [int(length) for length in call[1].tolist()]
    if not call.setting("allowzero", 0):
        shape = [n or call[0].shape[i] for i, n in enumerate(shape)]
    return call[0].reshape(shape)


@operator("Transpose", perm=anything)
def transpose(call: Call) -> torch.Tensor:
    """Reorder the axes, by default back to front."""
    return call[0].permute(call.setting("perm", list(reversed(range(call[0].ndim)))))


@operator("Flatten", axis=anything)
def flatten(call: Call) -> torch.Tensor:
    """Make a matrix: the axes before one, and the rest."""
    axis = call.setting("axis", 1)
    axis += call[0].ndim if axis < 0 else 0
    return call[0].reshape(math.prod(call[0].shape[:axis]), -1)


@operator("Concat", axis=anything)
def concat(call: Call) -> torch.Tensor:
    """Join along an axis."""
    return torch.cat([call[place] for place in range(len(call.inputs))], call.setting("axis"))


@operator("Slice", starts=anything, ends=anything, axes=anything)
def cut(call: Call) -> torch.Tensor:
    """Cut along axes, backwards where a step is negative."""
    starts, ends = call.whole(1, "starts"), call.whole(2, "ends")
    assert starts is not None and ends is not None
    axes = call.whole(3, "axes") or list(range(len(starts)))
    steps = call.whole(4, "") or [1] * len(starts)
    value = call[0]
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        chosen = range(*slice(start, end, step).indices(value.shape[axis]))
        if step == 1:
            value = value.narrow(axis, min(chosen.start, value.shape[axis]), len(chosen))
        else:
            value = value.index_select(axis, torch.tensor(chosen, device=value.device).long())
    return value


@operator("Split", outputs=1024, axis=anything, split=anything, num_outputs=anything)
def split(call: Call) -> list[torch.Tensor]:
    """Cut an axis into parts, equal ones where no lengths are given; the last may be shorter."""
    axis, lengths = call.setting("axis", 0), call.whole(1, "split")
    if lengths is None:
        parts, whole = call.setting("num_outputs", call.outputs), call[0].shape[axis]
        each = -(-whole // parts)
        lengths = [min(each, max(0, whole - each * part)) for part in range(parts)]
    return list(call[0].split(lengths, axis))


@operator("Gather", axis=anything)
def gather(call: Call) -> torch.Tensor:
    """Take entries along an axis by their numbers."""
    axis, value = call.setting("axis", 0) % max(call[0].ndim, 1), call[0]
    places = call[1].long()
    places = torch.where(places < 0, places + value.shape[axis], places)
    taken = value.index_select(axis, places.flatten())
    return taken.reshape(*value.shape[:axis], *places.shape, *value.shape[axis + 1 :])


@operator("GatherElements", axis=anything)
def gather_elements(call: Call) -> torch.Tensor:
    """Take one entry along an axis for each number."""
    axis, places = call.setting("axis", 0), call[1].long()
    return call[0].gather(axis, torch.where(places < 0, places + call[0].shape[axis], places))


@operator("Unsqueeze", axes=anything)
def unsqueeze(call: Call) -> torch.Tensor:
    """Insert axes of length one."""
    axes = call.whole(1, "axes") or []
    rank, value = call[0].ndim + len(axes), call[0]
    for axis in sorted(axis % rank for axis in axes):
        value = value.unsqueeze(axis)
    return value


@operator("Squeeze", axes=anything)
def squeeze(call: Call) -> torch.Tensor:
    """Take out axes of length one."""
    axes, value = call.whole(1, "axes"), call[0]
    if axes is None:
        return value.squeeze()
    wrong = [axis for axis in axes if value.shape[axis] != 1]
    if wrong:
        raise ValueError(f"axis {wrong[0]} has the length {value.shape[wrong[0]]}, not 1")
    return value.squeeze(tuple(axes))


@operator("Shape", start=anything, end=anything)
def shape_of(call: Call) -> torch.Tensor:
    """The lengths of the axes."""
    lengths = list(call[0].shape)[call.setting("start", 0) : call.setting("end")]
    return torch.tensor(lengths, dtype=torch.int64, device=call[0].device)


@operator("Size")
def size_of(call: Call) -> torch.Tensor:
    """The number of elements."""
    return torch.tensor(call[0].numel(), device=call[0].device)


@operator("ConstantOfShape", value=anything)
def fill(call: Call) -> torch.Tensor:
    """A tensor of one value, zero by default."""
    value = call.setting("value", torch.zeros(1)).to(call[0].device)
    whole: torch.Tensor = value.reshape(()).expand(check_shape(call[0].tolist()))
    return whole


@operator("Expand")
def expand(call: Call) -> torch.Tensor:
    """Repeat axes of length one; both shapes may be the longer one."""
    wanted = np.broadcast_shapes(tuple(call[0].shape), tuple(call[1].tolist()))
    return call[0].expand(check_shape(wanted))


@operator("Tile")
def tile(call: Call) -> torch.Tensor:
    """Repeat along every axis."""
    times = call[1].tolist()
    check_shape([n * time for n, time in zip(call[0].shape, times, strict=True)])
    return call[0].repeat(times)


@operator("Range")
def count(call: Call) -> torch.Tensor:
    """Count from a number to another."""
    start, end, step = (call[place].item() for place in range(3))
    check_shape([max(0, math.ceil((end - start) / step))])
    return torch.arange(start, end, step, dtype=call[0].dtype, device=call[0].device)


@operator("ArgMax", axis=anything, keepdims=only(0, 1), select_last_index=only(0))
def argmax(call: Call) -> torch.Tensor:
    """Where the largest entry along an axis is; no gradient passes."""
    return call[0].argmax(call.setting("axis", 0), bool(call.setting("keepdims", 1)))


@operator("Trilu", upper=only(0, 1))
def triangle(call: Call) -> torch.Tensor:
    """Keep the upper or the lower triangle."""
    shift = call.get(1)
    keep = torch.triu if call.setting("upper", 1) else torch.tril
    return keep(call[0], 0 if shift is None else int(shift))


@operator("DepthToSpace", blocksize=anything, mode=only("DCR", "CRD"))
def depth_to_space(call: Call) -> torch.Tensor:
    """Move channels into blocks of places."""
    (n, k, h, w), b = call[0].shape, call.setting("blocksize")
    if call.setting("mode", "DCR") == "CRD":
        return F.pixel_shuffle(call[0], b)
    blocks = call[0].reshape(n, b, b, k // b**2, h, w).permute(0, 3, 4, 1, 5, 2)
    return blocks.reshape(n, k // b**2, h * b, w * b)


@operator("SpaceToDepth", blocksize=anything)
def space_to_depth(call: Call) -> torch.Tensor:
    """Move blocks of places into channels."""
    (n, k, h, w), b = call[0].shape, call.setting("blocksize")
    blocks = call[0].reshape(n, k, h // b, b, w // b, b).permute(0, 3, 5, 1, 2, 4)
    return blocks.reshape(n, k * b**2, h // b, w // b)


@operator("Dropout", outputs=2, ratio=anything, seed=anything)
def dropout(call: Call) -> list[torch.Tensor]:
    """Drop nothing, as in evaluation."""
    training = call.get(2)
    if training is not None and bool(training):
        raise ValueError("it drops at random, which is no evaluation")
    return [call[0], torch.ones_like(call[0], dtype=torch.bool)][: call.outputs]


@operator("Pad", mode=only("constant", "reflect", "edge"), pads=anything, value=anything)
def pad(call: Call) -> torch.Tensor:
    """Widen axes by a value, by the edge or by the mirror; negative widths cut."""
    value, mode, widths = call[0], call.setting("mode", "constant"), call.whole(1, "pads")
    assert widths is not None
    axes = call.whole(3, "") or list(range(value.ndim))
    around = dict(zip(axes, zip(widths, widths[len(axes) :], strict=False), strict=True))
    check_shape([n + sum(around.get(axis, (0, 0))) for axis, n in enumerate(value.shape)])
    if mode == "constant":
        filler = call.get(2)
        flat = [w for axis in reversed(range(value.ndim)) for w in _ends(around, axis, value.ndim)]
        return F.pad(
            value, flat, value=call.setting("value", 0.0) if filler is None else filler.item()
        )
    for axis, (before, after) in around.items():
        places = torch.arange(-before, value.shape[axis] + after, device=value.device)
        last = value.shape[axis % value.ndim] - 1
        if mode == "reflect" and last:
            places = last - (places.remainder(2 * last) - last).abs()
        value = value.index_select(axis, places.clamp(0, last))
    return value


def _ends(around: dict[int, tuple[int, int]], axis: int, rank: int) -> tuple[int, int]:
    """How much an axis is widened before and after, however it is numbered."""
    return around.get(axis, around.get(axis - rank, (0, 0)))
