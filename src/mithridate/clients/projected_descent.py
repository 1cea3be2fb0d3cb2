"""An attacker who stays in a ball around the global model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from mithridate.core.clients import ClientAttack, Known
from mithridate.core.errors import MethodError
from mithridate.core.fit import Wrap
from mithridate.core.method import Attack
from mithridate.core.steering import after_step, pieces


@dataclass(frozen=True)
class ProjectedDescent(ClientAttack):
    """Poison, and after every step return to a ball around the model that the server sent.

    w <- w_t + (w - w_t) min(1, radius / |w - w_t|), so that no norm gives the client away.

    Attributes:
        data: the attack on the data.
        radius: of the ball in the parameters, above 0.
    """

    paper = (
        "Wang et al., Attack of the Tails: Yes, You Really Can Backdoor Federated Learning, "
        "NeurIPS 2020"
    )
    links = ("https://arxiv.org/abs/2007.05084",)
    known_as = ("pgd-client",)
    level = "weak"

    data: Attack | None = None
    radius: float = 2.0

    def wrap(self, known: Known) -> Wrap | None:
        """Project after every step; raises MethodError where the radius is none."""
        if not self.radius > 0:
            raise MethodError(f"the radius of a ball must be above 0, found {self.radius}")
        start, radius = known.start, self.radius

        def project(parameters: Sequence[nn.Parameter]) -> None:
            with torch.no_grad():
                origin = pieces(start, parameters)
                moved = [p - o for p, o in zip(parameters, origin, strict=True)]
                length = torch.stack([m.norm() for m in moved]).norm()
                factor = min(1.0, radius / max(float(length), 1e-12))
                for parameter, o, m in zip(parameters, origin, moved, strict=True):
                    parameter.copy_(o + factor * m)

        return after_step(project)
