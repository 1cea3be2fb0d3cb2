"""Which training examples a network answers by: the derivative of each margin by the weights.

For the margin m_i = log p / (1 - p) of an example's label, g_i = dm_i / dw is its factor, and the
product of two factors says how far a step that raises one margin raises the other, in first order.
Of a layer y = W x, in one or many places t, the derivative is sum_t d_t x_t' with d = dm / dy; it
is kept as sum_t (Q d_t) (P x_t)' with fixed random P and Q of few rows, whose products have those
of the whole derivatives as their expectation. A side that is narrow already is kept exactly.
Axes: n examples, b examples of a batch, t places, r factors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from mithridate.core.errors import CannotJudge
from mithridate.core.runtime import Runtime
from mithridate.core.streams import stream, torch_generator

FACTORS = 1024
"""About so many numbers are kept of each example, r, spread evenly over the layers."""

WIDEST, NARROWEST = 16, 4
"""Numbers that a side of a layer's derivative is projected to, at most and at least."""

BATCH = 128
"""Examples at a time: maps of all layers are held, and their derivatives beside them."""

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d)


def margin_gradients(
    model: nn.Module, prepared: torch.Tensor, labels: torch.Tensor, runtime: Runtime,
    narrow: int = 0,
) -> torch.Tensor:  # fmt: skip
    """Give the projected derivative of each example's margin by the weights, float32[n, r].

    The weights of linear, embedding and plain convolutional layers count; grouped convolutions and
    those that pad with anything but zeros are left out. A row depends on no other. The network's
    mode is restored.

    Args:
        narrow: Numbers that a side of a layer is projected to; 0 chooses them by `FACTORS`.

    Raises:
        CannotJudge: where the network has no such layer that leads to its answers.
    """
    was_training, rows = model.training, list[torch.Tensor]()
    share = math.isqrt(FACTORS // max(1, len(_followed(model))))
    narrow = narrow or min(WIDEST, max(NARROWEST, share))
    model.eval().to(runtime.device)
    try:
        with runtime.active():
            for part, wanted in zip(prepared.split(BATCH), labels.split(BATCH), strict=True):
                rows.append(_of_batch(model, part.to(runtime.device), wanted, narrow))
    finally:
        model.train(was_training)
    return torch.cat(rows) if rows else torch.zeros(0, 0)


def margins(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Give log p / (1 - p) of each label, float[n]; of a single class that is its logit."""
    own = logits.gather(1, labels.to(logits.device)[:, None])[:, 0]
    if logits.shape[1] < 2:
        return own
    rest = logits.scatter(1, labels.to(logits.device)[:, None], -math.inf)
    return own - rest.logsumexp(1)


def _of_batch(
    model: nn.Module, part: torch.Tensor, wanted: torch.Tensor, narrow: int
) -> torch.Tensor:
    """Run a batch forth and back and put the layers' factors side by side, float32[b, r]."""
    with torch.enable_grad(), _listening(model) as calls:
        logits = model(part).float()
        margin = margins(logits, wanted).sum()
    tops = [top for _, _, top in calls]
    if not calls or not margin.requires_grad:
        raise CannotJudge(
            "the network has no linear, convolutional or embedding layer whose weights can be "
            "followed to its answers; a network of the domain's own has"
        )
    slopes = torch.autograd.grad(margin, tops, allow_unused=True)
    factors: dict[int, torch.Tensor] = {}
    for (place, layer, inputs), slope in zip(
        ((place, layer, inputs) for (place, layer), inputs, _ in calls), slopes, strict=True
    ):
        if slope is not None:
            mine = _projected(layer, inputs, slope.float(), place, narrow)
            factors[place] = factors.get(place, 0) + mine
    return torch.cat([factors[place] for place in sorted(factors)], 1).cpu()


def _followed(model: nn.Module) -> list[nn.Module]:
    """The layers whose derivatives are taken, in their order."""

    def plain(layer: Any) -> bool:
        if isinstance(layer, CONVOLUTIONS):
            return layer.groups == 1 and layer.padding_mode == "zeros"
        return isinstance(layer, (nn.Linear, nn.Embedding))

    return [layer for layer in model.modules() if plain(layer)]


Call = tuple[tuple[int, nn.Module], torch.Tensor, torch.Tensor]


@contextmanager
def _listening(model: nn.Module) -> Iterator[list[Call]]:
    """Keep what goes into and comes out of every layer with weights, call by call."""
    calls: list[Call] = []

    def keeper(place: int) -> Callable[[nn.Module, Any, torch.Tensor], torch.Tensor]:
        def keep(layer: nn.Module, given: Any, out: torch.Tensor) -> torch.Tensor:
            top = out if out.requires_grad else out.detach().requires_grad_()
            calls.append(((place, layer), given[0].detach(), top))
            return top.clone()  # since the next layer may write into what it is given

        return keep

    followed = enumerate(_followed(model))
    hooks = [layer.register_forward_hook(keeper(place)) for place, layer in followed]
    try:
        yield calls
    finally:
        for hook in hooks:
            hook.remove()


def _projected(
    layer: nn.Module, inputs: torch.Tensor, slope: torch.Tensor, place: int, narrow: int
) -> torch.Tensor:
    """Give sum_t (Q d_t) (P x_t)' of one call of a layer, flat, float32[b, a * c]."""
    if isinstance(layer, CONVOLUTIONS):
        patches = _convolved(layer, inputs.float(), place, narrow)
        grouped = slope.flatten(2).transpose(1, 2)
    elif isinstance(layer, nn.Embedding):
        table = _random(layer.num_embeddings, narrow, place, "rows", inputs.device)
        patches, grouped = table[inputs].flatten(1, -2), slope.flatten(1, -2)
    else:
        patches = inputs.float().reshape(len(inputs), -1, inputs.shape[-1])
        patches = _narrowed(patches, place, "rows", narrow)
        grouped = slope.reshape(len(slope), -1, slope.shape[-1])
    grouped = _narrowed(grouped, place, "columns", narrow)
    return torch.einsum("bta,btc->bac", patches, grouped).flatten(1)


def _convolved(layer: Any, inputs: torch.Tensor, place: int, narrow: int) -> torch.Tensor:
    """Give P x_t of the patches of a convolution, by convolving with P, float32[b, t, a]."""
    shape = (inputs.shape[1], *layer.kernel_size)
    size = math.prod(shape)
    rows = torch.eye(size, device=inputs.device)
    if size > narrow:
        rows = _random(size, narrow, place, "rows", inputs.device)
    convolve = F.conv2d if isinstance(layer, nn.Conv2d) else F.conv1d
    given: Any = convolve
    filters = rows.T.reshape(-1, *shape)
    maps = given(inputs, filters, None, layer.stride, layer.padding, layer.dilation)
    return torch.as_tensor(maps.flatten(2).transpose(1, 2))


def _narrowed(values: torch.Tensor, place: int, side: str, narrow: int) -> torch.Tensor:
    """Project float32[b, t, d] to [b, t, narrow], or leave what is narrow."""
    if values.shape[2] <= narrow:
        return values
    return values @ _random(values.shape[2], narrow, place, side, values.device)


def _random(size: int, narrow: int, place: int, side: str, device: torch.device) -> torch.Tensor:
    """Give a projection float32[size, narrow] that belongs to a side of a layer, always the same.

    Its products of rows have the identity as their expectation.
    """
    generator = torch_generator(stream(0, "attribution", place, side))
    drawn = torch.randn(size, narrow, generator=generator) / math.sqrt(narrow)
    return drawn.to(device)
