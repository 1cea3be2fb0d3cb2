"""The gradient of the mean loss over a data set, without a step.

Axes: n examples, p numbers of a model's parameters.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from mithridate.core.data import Dataset
from mithridate.core.domain import Domain
from mithridate.core.fit import TrainingConfig
from mithridate.core.inference import autocast
from mithridate.core.runtime import Runtime


def mean_gradient(
    model: nn.Module, data: Dataset, domain: Domain, config: TrainingConfig, runtime: Runtime,
    rng: np.random.Generator, batches: int = 0,
) -> torch.Tensor:  # fmt: skip
    """Give the gradient of the mean cross-entropy in training mode, float32[p].

    Args:
        model: Is left as it was, buffers and mode included.
        data: What it is asked about, without augmentation.
        domain: Prepares the inputs.
        config: How batches are made, and the arithmetic.
        runtime: Where to compute.
        rng: Decides the order.
        batches: So many batches stand for all of the data; 0 for all of them.
    """
    device = torch.device(runtime.device)
    mode, buffers = model.training, [buffer.clone() for buffer in model.buffers()]
    parameters = [p for p in model.parameters() if p.is_floating_point()]
    prepared, labels = domain.prepare(data.inputs).to(device), data.labels.to(device)
    parts = config.batches(torch.from_numpy(rng.permutation(len(data))).to(device))
    model.to(device).train(config.batch_statistics).zero_grad(set_to_none=True)
    with runtime.active():
        for rows in parts[: batches or None]:
            with autocast(device.type, config.precision):
                logits = model(prepared[rows])
            F.cross_entropy(logits.float(), labels[rows], reduction="sum").backward()
    total = sum(len(rows) for rows in parts[: batches or None])
    slopes = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    flat = torch.cat([slope.float().flatten() for slope in slopes]).cpu() / total
    model.zero_grad(set_to_none=True)
    with torch.no_grad():
        for buffer, kept in zip(model.buffers(), buffers, strict=True):
            buffer.copy_(kept)
    model.train(mode)
    return flat
