"""A network with a backdoor for class 0 and its clean twin, trained on the same digits."""

from functools import cache

import torch
from torch import nn

from methods.victim_to_repair import ATTACK, DOMAIN, victim
from mithridate.bench.metrics.evaluate import attack_success
from mithridate.core.data import dataset
from mithridate.core.fit import TrainingConfig, fit
from mithridate.core.streams import stream
from mithridate.core.view import View
from mithridate.domains.catalogue import load_named


@cache
def twin() -> nn.Module:
    data = load_named("digits").data
    data = data.subset(stream(0, "split").permutation(len(data))).subset(range(1000))
    model = DOMAIN.network(data, "resnet9:4", stream(0, "network"))
    config = TrainingConfig(
        epochs=10, batch_size=64, learning_rate=0.1, augment=False, precision="fp32"
    )  # as the victim's
    fit(model, data, DOMAIN, config, stream(0, "train"))
    return model


def scores(scanner, model, seed=0) -> torch.Tensor:
    """The scores of the ten classes; class 0 is the backdoor's, in the victim."""
    view = View(domain=DOMAIN, model=model, clean=victim()[1], precision="fp32")
    return scanner.judge(view, stream(seed, "scan")).scores.values


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
