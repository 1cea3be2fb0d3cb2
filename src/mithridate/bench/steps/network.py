"""A trained network as later steps see it, whichever step made it.

Axes: n examples.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from mithridate.bench.step import Given, Output, Step
from mithridate.bench.steps.examples import Examples, Split
from mithridate.core.data import Dataset
from mithridate.core.method import Trained, Trainer
from mithridate.core.streams import stream


@dataclass(frozen=True, eq=False)
class Network(Step):
    """A step whose value is a trained network, and what it was trained on and how.

    Attributes:
        poison: the step that gives the suspects.
        network: the name of the architecture.
    """

    poison: Step
    data: Examples
    network: str
    trainer: Trainer
    seed: int

    shows = ("poison", "data", "network", "trainer", "seed")

    def value(self, output: Output, given: Given) -> Trained:
        """Build the network again and give it its weights."""
        split: Split = given(self.data)
        return unpack_trained(output, given(self.poison), split, self.network, self.trainer)


@dataclass(frozen=True, eq=False)
class Changed(Step):
    """A step whose value is a network that a defence made of another one, or left as it was."""

    train: Network

    shows = ("train",)

    def value(self, output: Output, given: Given) -> Trained:
        """Give the network."""
        if output.facts.get("same"):
            trained: Trained = given(self.train)
            return trained
        train = self.train
        split: Split = given(train.data)
        return unpack_trained(output, given(train.poison), split, train.network, train.trainer)


def build_network(data: Dataset, split: Split, network: str, seed: int) -> nn.Module:
    """Build the network of a seed: all trainings of one seed begin with the same weights."""
    return split.domain.network(data, network, stream(seed, "init"))


def pack_trained(trained: Trained) -> Output:
    """Keep a trained model and the mean loss of every epoch."""
    tensors = {f"model.{k}": v for k, v in trained.model.state_dict().items()}
    curve = [round(float(x), 6) for x in trained.losses.nanmean(0)]
    return Output({**tensors, "losses": trained.losses}, {"loss": curve})


def unpack_trained(
    output: Output, data: Dataset, split: Split, network: str, trainer: Trainer
) -> Trained:
    """Build a network like the one that was kept, and give it its weights."""
    few = data.subset(range(min(len(data), 64)))  # the weights hold what was learnt of the rest
    model = trainer.form(build_network(few, split, network, 0))
    weights = {k[6:]: v for k, v in output.tensors.items() if k.startswith("model.")}
    model.load_state_dict(weights)
    return Trained(model.eval(), output.tensors.get("losses", torch.zeros(0, 0)), {})
