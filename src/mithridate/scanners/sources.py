"""What a search for a class starts from: a model ready for derivatives, and examples of others.

Axes: n trusted examples, c classes, b examples of a class, r rows.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from mithridate.core.domain import Surface
from mithridate.core.errors import CannotJudge
from mithridate.core.runtime import Runtime
from mithridate.core.view import View
from mithridate.scanners.gradients import check_gradients


class Sources(NamedTuple):
    """Trusted examples of other classes, for every class.

    Attributes:
        prepared: [n, ...].
        learn: rows of it that are not of the class, int64[c, b] each, the same number for every
            class; no example is both learnt from and held out.
        held: rows of it that are not of the class, int64[c, b] each, the same number for every
            class; no example is both learnt from and held out.
    """

    prepared: torch.Tensor
    learn: torch.Tensor
    held: torch.Tensor


def sources(view: View, examples: int, rng: np.random.Generator, share: float = 0.25) -> Sources:
    """Draw trusted examples of other classes to learn from, and others to test on.

    Args:
        examples: of each class to learn from, at most; up to twice as many are held out.
        share: of the trusted examples that may be learnt from; few trusted examples thus cost
            little.

    Raises:
        CannotJudge: where a class has none.
    """
    clean = view.clean
    order = torch.from_numpy(rng.permutation(len(clean)))
    cut = round(share * len(clean))
    drawn = []
    for part, most in ((order[:cut], examples), (order[cut:], 2 * examples)):
        rows = [part[clean.labels[part] != label] for label in range(view.classes)]
        fewest = min((len(row) for row in rows), default=0)
        if not fewest or most < 1:
            raise CannotJudge(
                f"a search needs trusted examples that are not of the class it searches for, some "
                f"to learn from and some to test on; found {len(clean)} of "
                f"{len(clean.labels.unique())} classes, {examples} asked for: trust more"
            )
        drawn.append(torch.stack([row[: min(most, fewest)] for row in rows]))
    return Sources(view.domain.prepare(clean.inputs), *drawn)


@contextlib.contextmanager
def differentiable_model(
    view: View, prepared: torch.Tensor, surface: Surface
) -> Iterator[nn.Module]:
    """Give the model of a view in evaluation mode, once its gradients were tested.

    It stands on the device of the view's runtime; afterwards it stands where it stood, and each of
    its modules has the mode that it had.

    Raises:
        CannotJudge: where its gradients cannot be trusted.
    """
    model, device = view.model, view.runtime.device
    modes = [(module, module.training) for module in model.modules()]
    first = next(itertools.chain(model.parameters(), model.buffers()), None)
    stood = device if first is None else first.device
    try:
        with view.runtime.active():
            check_gradients(model.to(device), prepared.to(device), surface)
            yield model.eval()
    finally:
        for module, mode in modes:
            module.training = mode
        model.to(stood)


def groups(classes: int, each: int, runtime: Runtime) -> tuple[torch.Tensor, ...]:
    """Split the classes so that one pass, `each` inputs a class, fits the runtime's batch."""
    parts: tuple[torch.Tensor, ...] = torch.arange(classes).split(
        max(1, runtime.batch_size // each)
    )
    return parts
