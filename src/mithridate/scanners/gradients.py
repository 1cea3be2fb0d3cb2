"""Whether a model has gradients at all: asked before any method relies on them.

A quantised layer may cut the gradient without a word; an inversion then returns the point where it
began, for every class alike, and calls it a finding.
Axes: n examples, c classes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from mithridate.core.domain import Surface
from mithridate.core.errors import CannotJudge

FEW = 16
"""Examples that the test looks at."""
AGREE = 0.5
"""A step along the gradient must change the loss by at least this share of what it promises."""


def check_gradients(model: nn.Module, prepared: torch.Tensor, surface: Surface) -> None:
    """Compare the derivative of the loss by the inputs with a small step that is really taken.

    The loss is the mean cross-entropy towards the class after the one that is predicted. The step
    moves every input against the sign of its gradient by a hundredth of the range at first, then by
    less.

    Args:
        prepared: inputs[n, ...], a few of which are looked at.

    Raises:
        CannotJudge: where the gradient is absent, zero or not finite, or where no step lowers the
            loss by half of what the gradient promises.
    """
    few = prepared[:FEW].float().requires_grad_(True)
    model.eval()
    try:
        logits = model(few)
    except Exception as error:  # whatever the model is made of: it does not take floats
        raise CannotJudge(
            f"the model does not run on floats, so it has no gradient: {error}"
        ) from error
    target_labels = (logits.argmax(1) + 1) % logits.shape[1]
    loss = F.cross_entropy(logits.float(), target_labels)
    if not loss.requires_grad:
        raise CannotJudge(BLOCKED)
    (gradient,) = torch.autograd.grad(loss, few, allow_unused=True)
    if gradient is None or not bool(torch.isfinite(gradient).all()) or not bool(gradient.any()):
        raise CannotJudge(BLOCKED)
    with torch.no_grad():
        for part in (1e-2, 1e-3, 1e-4):
            step = part * (surface.high - surface.low) * gradient.sign()
            moved = (few - step).clamp(surface.low, surface.high)
            promised = float((gradient * (few - moved)).sum())
            gained = float(loss - F.cross_entropy(model(moved).float(), target_labels))
            if gained >= AGREE * promised:
                return
    raise CannotJudge(
        "the gradient of the model does not say what its answers do: a step along it does not "
        "lower the loss; scan a dequantised twin, or use a method without gradients"
    )


BLOCKED = (
    "the gradient by the inputs is absent, zero or not finite: the model was probably quantised; "
    "scan its dequantised twin, or use a method without gradients"
)
