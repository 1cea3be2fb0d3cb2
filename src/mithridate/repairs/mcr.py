"""Mode connectivity repair: a network from the middle of a path of low loss.

Axes: b examples of a batch, c classes.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np
import torch
from torch import nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm

from mithridate.core.data import Dataset
from mithridate.core.errors import MethodError
from mithridate.core.inference import accuracy, autocast
from mithridate.core.streams import torch_generator
from mithridate.core.view import View
from mithridate.repairs.fine_tuning import FineTuning
from mithridate.repairs.trusted import hold_out

PLACES = 5  # on the path, of which the most accurate is taken
EXAMPLES = 256  # of which one estimate of the moments of a normalisation is made, about


@dataclass(frozen=True)
class ModeConnectivityRepair(FineTuning):
    """Take a network from the middle of a path of low loss, between the model and a tuned copy.

    The path is w(t) = (1 - t)^2 w_0 + 2 t (1 - t) b + t^2 w_1 for t in 0..1, w_0 the weights of the
    model and w_1 those of a copy fine-tuned on trusted examples. The bend b starts halfway and is
    trained on trusted examples to minimise E_t mean_i CE(f_w(t)(x_i), y_i), with one t, uniform in
    0..1, for each step. Taken is the network that calls most held-out trusted examples right, of
    five at even distances with t from margin to 1 - margin; the one nearest to the middle wins a
    tie. Moments of batch normalisation are those of the trusted examples that were learnt from. The
    paper connects two models with backdoors, or one and its fine-tuned copy, as here, and shows the
    whole path; how t is to be chosen it leaves to the reader. Accuracy alone would lead back to the
    model itself, whence the margin.

    Attributes:
        margin: how far t stays from both ends, in 0..0.5.

    Raises:
        MethodError: where fewer than ten examples are trusted or a setting is out of range.
    """

    paper = (
        "Zhao et al., Bridging Mode Connectivity in Loss Landscapes and Adversarial Robustness, "
        "ICLR 2020"
    )
    links = ("https://arxiv.org/abs/2005.00060",)
    known_as = ("mcr",)
    space: ClassVar[dict[str, tuple[float, ...]]] = {
        "margin": (0.1, 0.3, 0.5),
        "learning_rate": (0.1, 0.2, 0.4),
    }

    epochs: int = 10
    learning_rate: float = 0.2
    margin: float = 0.3

    def repair(self, view: View, rng: np.random.Generator) -> nn.Module:
        """Train the bend of the path and take the best network of its middle."""
        if not 0 <= self.margin <= 0.5:
            raise MethodError(f"the margin must lie in 0..0.5, found {self.margin}")
        learn, held = hold_out(view, rng)
        copied = self.tune(copy.deepcopy(view.model), view, learn, rng)
        path = Path(copy.deepcopy(view.model).to(view.runtime.device), copied, rng)
        self.tune(path, view, learn, rng, parameters=list(path.bend))
        best, most = copied, -1.0
        for t in places(self.margin):
            model = self.settled(path.network_at(t), view, learn)
            right = accuracy(model, held, view.domain, view.runtime)
            if right > most:  # of equals the first, which is nearer to the middle
                best, most = model, right
        return best

    def settled(self, model: nn.Module, view: View, data: Dataset) -> nn.Module:
        """Estimate the moments of batch normalisation anew, from examples as they are."""
        layers = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.momentum]
        usual = [layer.momentum for layer in layers]
        for layer in layers:
            layer.reset_running_stats()
            layer.momentum = None  # all batches count alike
            layer.train()
        device = view.runtime.device
        prepared = view.domain.prepare(data.inputs)
        with view.runtime.active(), torch.no_grad(), autocast(device, self.training().precision):
            for batch in prepared.tensor_split(max(1, len(prepared) // EXAMPLES)):
                model(batch.to(device))
        for layer, momentum in zip(layers, usual, strict=True):
            layer.momentum = momentum
        return model.eval()


def places(margin: float) -> list[float]:
    """Where on the path to look, from the middle outwards and the tuned end first."""
    even = np.linspace(margin, 1 - margin, PLACES).tolist()
    return sorted(even, key=lambda t: (round(abs(t - 0.5), 9), -t))


class Path(nn.Module):
    """A network whose weights lie on a path with a bend that is trained.

    It is asked at a random place of the path while it is trained.
    """

    def __init__(self, start: nn.Module, end: nn.Module, rng: np.random.Generator) -> None:
        super().__init__()
        self.network, self.noise = start, torch_generator(rng)
        self.names = [name for name, _ in start.named_parameters()]
        self.first = [p.detach().clone() for p in start.parameters()]
        self.last = [p.detach().clone() for p in end.parameters()]
        halfway = [(a + b) / 2 for a, b in zip(self.first, self.last, strict=True)]
        self.bend = nn.ParameterList(halfway)

    def weights(self, t: float) -> dict[str, torch.Tensor]:
        """Give the weights at one place of the path by name."""
        parts = zip(self.first, self.bend, self.last, strict=True)
        points = [(1 - t) ** 2 * a + 2 * t * (1 - t) * b + t**2 * c for a, b, c in parts]
        return dict(zip(self.names, points, strict=True))

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Give logits[b, c] at a random place."""
        t = float(torch.rand((), generator=self.noise))
        return cast(torch.Tensor, functional_call(self.network, self.weights(t), (batch,)))

    def network_at(self, t: float) -> nn.Module:
        """Give a network of its own with the weights of one place."""
        model = copy.deepcopy(self.network)
        with torch.no_grad():
            weights = self.weights(t)
            for name, parameter in model.named_parameters():
                parameter.copy_(weights[name])
        return model.eval()
