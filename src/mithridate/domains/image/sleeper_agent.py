"""Sleeper Agent: poison whose gradient is that of a backdoor, without the trigger in it.

Axes: n images, k channels, h rows, w columns, q parameters. Grey levels run from 0 to 255.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from mithridate.core.data import Dataset, Inputs
from mithridate.core.fit import TrainingConfig
from mithridate.core.method import LearntTrigger, State
from mithridate.core.runtime import Runtime
from mithridate.domains.image.surrogate import (
    BATCH,
    ascend,
    draw_within,
    losses,
    pack_surrogate,
    rebuild_surrogate,
    surrogate,
    target,
)
from mithridate.domains.image.triggers import PatchesTrigger, check, to_bytes


@dataclass(frozen=True)
class SleeperAgentTrigger(LearntTrigger):
    """Faint changes after which training on an image teaches what a patched image would.

    x'_i = x_i + delta_i, where the delta of a batch maximise cos(g, G) over |delta| <= budget by
    signed gradients from a random start: g is the gradient of mean_i CE(f(x'_i), t) by all
    parameters of f, G that of mean_j CE(f(patch(s_j)), t) over images s_j of other classes, and f
    is a network of the attacker's own. At test time the patch alone is stamped: Poisoning(trigger,
    test_trigger=trigger.patch), or `named_attack("sleeper-agent")`. The authors match all poison at
    once in 250 steps of Adam, train f anew four times on the way, and choose images of large
    gradients; here batches of images are matched, f stays as it is and any image is taken, at a
    fraction of the cost and with a weaker backdoor. Their patch has 8 pixels of 32; 6 fit on images
    of 8. Where no image is of another class, all are sources.

    Attributes:
        budget: the largest change of a pixel, in grey levels, 16 as in the paper.
        steps: of the ascent.
        stride: of one step, in grey levels.
        sources: how many s_j are taken at most.
        epochs: of the training of f.
        patch: what springs the backdoor, a square of random bytes.

    Raises:
        MethodError: where several classes are wanted or the patch does not fit.
    """

    paper = "Souri et al., Sleeper Agent: Scalable Hidden Trigger Backdoors, NeurIPS 2022"
    links = ("https://arxiv.org/abs/2106.08970",)

    budget: float = 16.0
    steps: int = 10
    stride: float = 4.0
    sources: int = 512
    epochs: int = 10
    patch: PatchesTrigger = field(
        default_factory=lambda: PatchesTrigger(patches=1, size=6, opacity=1.0)
    )

    def learn(
        self,
        data: Dataset,
        target_labels: torch.Tensor,
        rng: np.random.Generator,
        runtime: Runtime | None = None,
    ) -> State:
        """Train the network and take the gradient that poison is to have."""
        runtime, label = runtime or Runtime(), target(data.labels, target_labels)
        others = (data.labels != label).nonzero().flatten()
        rows = others if len(others) else torch.arange(len(data))
        rows = rows[torch.from_numpy(rng.permutation(len(rows)))][: self.sources]
        sprung = self.patch(check(data.inputs)[rows], rng)
        model = surrogate(
            data, rng, TrainingConfig(epochs=self.epochs, batch_size=64, learning_rate=0.1), runtime
        )
        model.requires_grad_()
        total = torch.zeros(sum(p.numel() for p in model.parameters()))
        with runtime.active():
            for batch in sprung.split(BATCH):
                levels = batch.to(runtime.device).float()
                total += len(batch) / len(sprung) * gradient(model, levels, label).detach().cpu()
        return pack_surrogate(model) | {"gradient": total, "label": torch.tensor(label)}

    def stamp(self, inputs: Inputs, rng: np.random.Generator, state: State) -> Inputs:
        """Change every image so that its gradient is like that of patched sources."""
        images = check(inputs)
        if not len(images):
            return images.clone()
        model = rebuild_surrogate(state, images, rng).requires_grad_()
        label, target_labels = int(state["label"]), state["gradient"]

        def alike(levels: torch.Tensor) -> torch.Tensor:
            return F.cosine_similarity(gradient(model, levels, label), target_labels, 0)

        def match(batch: torch.Tensor) -> torch.Tensor:
            levels = batch.float()
            start = (levels + draw_within(levels, self.budget, rng)).clamp(0, 255)
            return to_bytes(ascend(levels, alike, self.budget, self.steps, self.stride, start))

        return torch.cat([match(batch) for batch in images.split(BATCH)])


def gradient(model: nn.Module, images: torch.Tensor, label: int) -> torch.Tensor:
    """Gradient of the mean loss of images under one label by all parameters, float[q].

    Args:
        images: grey levels float[n, k, h, w]; the result is differentiable by them.
    """
    labels = torch.full((len(images),), label, device=images.device)
    loss = losses(model, images, labels).mean()
    parts = torch.autograd.grad(loss, list(model.parameters()), create_graph=True)
    return torch.cat([part.flatten() for part in parts])
