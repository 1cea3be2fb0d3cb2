"""A federation of a few clients with four numbers an example, which trains in milliseconds."""

from dataclasses import replace

import torch
from torch import nn

from mithridate.aggregators.fed_avg import FedAvg
from mithridate.core.data import dataset
from mithridate.core.fit import TrainingConfig
from mithridate.core.streams import stream
from mithridate.core.training_run import TrainingRun
from mithridate.pipelines.federated import Federation
from mithridate.pipelines.splits import Iid

TRAINING = TrainingConfig(
    epochs=1, batch_size=8, learning_rate=0.1, momentum=0.0, augment=False, precision="fp32",
    schedule="flat",
)  # fmt: skip


class Numbers:
    """The least domain: inputs are floats already."""

    name = "numbers"

    def prepare(self, inputs):
        return inputs

    def augment(self, batch, rng):
        return batch


def network():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))


def clients(m=4, n=96):
    rng = stream(0, "numbers")
    inputs = torch.from_numpy(rng.standard_normal((n, 4))).float()
    data = dataset(inputs, (inputs[:, 0] > 0).long() + (inputs[:, 1] > 1).long())
    return [data.subset(rows) for rows in Iid(m).divide(data.labels, stream(0, "split"))]


def federate(data=None, attackers=None, model=None, look=None, run=None, root=None, **settings):
    """Run it, and give what came out."""
    usual = Federation(FedAvg(), rounds=3, training=TRAINING)
    data = clients() if data is None else data
    return replace(usual, **settings).run(
        model or network(), data, Numbers(), stream(0, "federation"), run or TrainingRun(),
        attackers=attackers, look=look, root=root,
    )  # fmt: skip


def bits(result):
    """All tensors of the model, and what the server saw but for its time."""
    lines = [replace(line, seconds=0.0) for line in result.lines]
    return {k: v.clone() for k, v in result.model.state_dict().items()}, lines


def same(first, second):
    mine, theirs = bits(first), bits(second)
    return mine[1] == theirs[1] and all(torch.equal(v, theirs[0][k]) for k, v in mine[0].items())
