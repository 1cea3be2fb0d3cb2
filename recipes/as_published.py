"""The five detectors of "Quantization Blindspots" as its code ran them, for comparison only.

Written from a description of the code (Pandey and Ye, 2025). Every rule sees clean test images
only, has a fixed threshold and no control on clean networks, and whatever goes wrong counts as "not
detected". They are kept as they are, faults included; do not use them to detect anything.
Axes: n clean test images, c classes, d features.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

BATCH, STEPS, FEW = 64, 50, 320


def neural_cleanse(model: nn.Module, images: torch.Tensor, classes: int) -> bool:
    """Fifty Adam steps for each class; flagged by an anomaly index above 2; no spread, no flag."""
    norms = np.array([_norm(model, images[:FEW], label) for label in range(classes)])
    centre = np.median(norms)
    spread = 1.4826 * np.median(np.abs(norms - centre))
    if spread == 0:
        return False
    return bool(((np.abs(norms - centre) / spread > 2) & (norms < centre)).any())


def _norm(model: nn.Module, images: torch.Tensor, label: int) -> float:
    """The size of the mask after the search for one class."""
    pattern = torch.zeros(images.shape[1:], requires_grad=True)
    mask = torch.zeros(1, *images.shape[2:], requires_grad=True)
    optimiser = torch.optim.Adam([pattern, mask], lr=0.1)
    batches = images.float().split(BATCH)
    for step in range(STEPS):
        batch, share = batches[step % len(batches)], torch.sigmoid(mask)
        # the code searches in standardised inputs; 0 is the mean there, and 1 about 64 levels
        logits = model((1 - share) * batch + share * (127.5 + 64 * pattern))
        loss = F.cross_entropy(logits, torch.full((len(batch),), label)) + 0.01 * share.sum()
        found = torch.autograd.grad(loss, [pattern, mask], allow_unused=True)
        for part, gradient in zip((pattern, mask), found, strict=True):
            part.grad = gradient  # none comes back through a packed layer, and nobody looks
        optimiser.step()
    return float(torch.sigmoid(mask).sum())


def seen(model: nn.Module, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Features float[n, d], what the last linear layer is given, quantised or not, and logits."""
    last = [m for m in model.modules() if type(m).__name__ in ("Linear", "LinearReLU")][-1]
    features: list[torch.Tensor] = []

    def note(_: nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        features.append(given[0].dequantize().float())

    hook = last.register_forward_pre_hook(note)
    try:
        with torch.no_grad():
            logits = [model(batch) for batch in images.split(BATCH)]
    finally:
        hook.remove()
    return torch.cat(features), torch.cat(logits)


def activation_clustering(model: nn.Module, images: torch.Tensor, classes: int) -> bool:
    """Flagged where the norms of the features of one predicted class scatter by half their mean."""
    features, logits = seen(model, images)
    norms, predicted = features.norm(dim=1), logits.argmax(1)
    own = [norms[predicted == label] for label in range(classes)]
    return any(float(n.std() / n.mean()) > 0.5 for n in own if len(n) > 1)


def strip(model: nn.Module, images: torch.Tensor, classes: int) -> bool:
    """Flagged where over a tenth lies below the twentieth quantile of the same numbers: never."""
    order = torch.Generator().manual_seed(0)
    entropies = []
    for _ in range(5):
        others = images[torch.randperm(len(images), generator=order)]
        shares = model((images.float() + others.float()) / 2).softmax(1)
        entropies.append(-(shares * (shares + 1e-10).log()).sum(1))
    mean = torch.stack(entropies).mean(0)
    return bool((mean < mean.quantile(0.05)).double().mean() > 0.1)


def spectral_signatures(model: nn.Module, images: torch.Tensor, classes: int) -> bool:
    """Flagged where over a tenth lies above its own 95th percentile, or one direction holds half.

    Whether the code centres the features first is not known to us; here they are centred.
    """
    features = seen(model, images)[0]
    left, extents, _ = torch.linalg.svd(features - features.mean(0), full_matrices=False)
    scores, shares = left[:, 0].square(), extents.square()
    above = (scores > scores.quantile(0.95)).double().mean() > 0.1
    return bool(above or shares[0] / shares.sum() > 0.5)


def fine_pruning(model: nn.Module, images: torch.Tensor, classes: int) -> bool:
    """Flagged where three in ten channels are nearly silent; nothing is pruned."""
    quiet: list[torch.Tensor] = []

    def note(_: nn.Module, __: object, output: torch.Tensor) -> None:
        axes = [axis for axis in range(output.ndim) if axis != 1]
        quiet.append(output.abs().mean(axes) < 0.01)

    layers = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_hook(note) for layer in layers]
    try:
        model(images[:FEW])
    finally:
        for hook in hooks:
            hook.remove()
    return bool(torch.cat(quiet).double().mean() > 0.3)


Rule = Callable[[nn.Module, torch.Tensor, int], bool]
RULES: dict[str, Rule] = {
    "Neural Cleanse": neural_cleanse, "Activation Clustering": activation_clustering,
    "STRIP": strip, "Spectral Signatures": spectral_signatures, "Fine-Pruning": fine_pruning,
}  # fmt: skip


def detected(rule: Rule, model: nn.Module, images: torch.Tensor, classes: int) -> tuple[bool, str]:
    """What a rule says, and the error that was taken for "not detected", if there was one."""
    try:
        return rule(model.eval(), images, classes), ""
    except Exception as error:  # as the code does
        return False, f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"


def int4_simulated(model: nn.Module) -> nn.Module:
    """Sixteen levels from the least to the largest of every tensor called weight, in place.

    Convolutions, linear layers and the scales of batch normalisation alike.
    """
    with torch.no_grad():
        for name, values in model.named_parameters():
            if "weight" in name:
                low, high = values.min(), values.max()
                step = (high - low).clamp_min(1e-12) / 15
                values.copy_(((values - low) / step).round() * step + low)
    return model
