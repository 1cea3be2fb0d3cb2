"""A network with a backdoor for class 0 and its clean twin, trained on the same digits."""

from functools import cache

import torch
from torch import nn

from methods.victim_to_repair import ATTACK, DOMAIN, untrained, victim
from mithridate.bench.metrics.evaluate import attack_success
from mithridate.core.data import dataset
from mithridate.core.streams import stream
from mithridate.core.view import View
from mithridate.domains.catalogue import load_named
from networks.kept import kept


@cache
def twin(seed: int = 0) -> nn.Module:
    """The network that the victim of the same seed would be without poison."""
    return kept(f"twin-{seed}", untrained())


def scores(scanner, model, seed=0) -> torch.Tensor:
    """The scores of the ten classes; class 0 is the backdoor's, in the victim."""
    view = View(domain=DOMAIN, model=model, clean=victim()[1], precision="fp32")
    return scanner.judge(view, stream(seed, "scan")).scores.values


def pairs(scanner) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """The scores of three victims and of their clean twins."""
    return [(scores(scanner, victim(k)[0]), scores(scanner, twin(k))) for k in range(3)]


def obeyed(model) -> float:
    test = load_named("digits", "test").data
    return attack_success(model, ATTACK, test, DOMAIN, stream(0, "trap")).value


def view_of(model, labels=(0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2), side=4) -> View:
    """Trusted grey squares for a model made by hand."""
    inputs = torch.full((len(labels), 1, side, side), 100, dtype=torch.uint8)
    classes = [str(k) for k in range(3)]
    return View(
        domain=DOMAIN, model=model, clean=dataset(inputs, torch.tensor(labels), classes),
        precision="fp32",
    )  # fmt: skip


class Linear(nn.Module):
    """Logits that are a linear function of inputs on the scale 0..1."""

    def __init__(self, weight, bias=None):
        super().__init__()
        self.layer = nn.Linear(weight.shape[1], len(weight))
        with torch.no_grad():
            self.layer.weight.copy_(weight)
            self.layer.bias.copy_(torch.zeros(len(weight)) if bias is None else bias)

    def forward(self, batch):
        return self.layer(batch.flatten(1).float() / 255)
