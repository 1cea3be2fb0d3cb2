"""Measure rounds of Lockdown's clients against a loop of data loaders, in one process and thread.

    python recipes/benchmark_federation.py run      # half a minute of one core; resumable
    python recipes/benchmark_federation.py table

The other loop is what published code does, written again in few lines: for each client a copy of
the model, a `DataLoader` whose workers are none, images decoded one by one, a full pass for the
gradients, masked steps, and two sorts of every tensor. Both do the same arithmetic: float32, the
same batches and epochs. Seconds are those of the processor; the two take turns, and the best of
three counts, since other work on the machine only adds.
"""

from __future__ import annotations

import copy
import functools
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as Samples

from cells import markdown, records
from mithridate.aggregators.lockdown import Lockdown
from mithridate.clients.subspace import IsolatedSubspace
from mithridate.core.data import Dataset
from mithridate.core.flat import FlatForm
from mithridate.core.runtime import environment
from mithridate.core.steering import pieces
from mithridate.core.streams import seed_torch, stream
from mithridate.domains.catalogue import load_named
from mithridate.domains.image.domain import ImageDomain
from mithridate.domains.image.layers import Encode, convolution
from mithridate.pipelines.federated import LOCAL, Federation
from mithridate.pipelines.splits import Iid
from worlds import World, command_line

FOLDER = "benchmark_federation"
CLIENTS, EACH, ROUNDS, REPEATS = 8, 128, 2, 3
ALPHA, DENSITY = 0.1, 0.25


def mlp(data: Dataset) -> nn.Module:
    """A hidden layer of 100."""
    return nn.Sequential(
        Encode(data.inputs), nn.Flatten(), nn.Linear(784, 100), nn.ReLU(), nn.Linear(100, 10)
    )


def cnn(data: Dataset) -> nn.Module:
    """Two convolutions and a last layer."""
    return nn.Sequential(
        Encode(data.inputs), convolution(1, 16), nn.MaxPool2d(2), convolution(16, 32),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(32 * 7 * 7, 10),
    )  # fmt: skip


NETWORKS: dict[str, Callable[[Dataset], nn.Module]] = {"MLP": mlp, "small CNN": cnn}


class OneByOne(Samples[Any]):
    """Images of a client, one at a time through PIL and into numbers, as `torchvision` does."""

    def __init__(self, data: Dataset) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, int]:
        picture = Image.fromarray(self.data.inputs[row, 0].numpy())
        image = torch.from_numpy(np.array(picture, copy=True))[None].float().div(255)
        mean, spread = torch.tensor([0.1307]), torch.tensor([0.3081])
        return (image - mean[:, None, None]) / spread[:, None, None], int(self.data.labels[row])


def published(model: nn.Module, clients: list[Dataset]) -> None:
    """The rounds of Lockdown's clients by data loaders and sorts."""
    form, shared = FlatForm.of(model), copy.deepcopy(model)
    masks = [torch.rand(form.size) < DENSITY for _ in clients]
    for number in range(ROUNDS):
        updates = []
        for client, data in enumerate(clients):
            local = copy.deepcopy(shared)
            loader = DataLoader(OneByOne(data), batch_size=LOCAL.batch_size, shuffle=True)
            masks[client] = regained(local, loader, masks[client], form, number)
            trained = descend(local, loader, masks[client])
            flat = form.flatten(trained.state_dict())
            masks[client] = pruned(flat, masks[client], form)
            updates.append((flat - form.flatten(shared.state_dict())) * masks[client])
        step = torch.stack(updates).mean(0)
        form.write(shared, form.flatten(shared.state_dict()) + step)


def body(model: nn.Module) -> nn.Sequential:
    """The network behind its encoding, since the loader encodes."""
    return nn.Sequential(*list(model.children())[1:])


def regained(
    model: nn.Module, loader: DataLoader[Any], mask: torch.Tensor, form: FlatForm, number: int
) -> torch.Tensor:
    """A full pass for the gradients, and a sort of each tensor; nothing in the first round."""
    if not number:
        return mask
    model.train().zero_grad()
    for images, labels in loader:
        F.cross_entropy(body(model)(images), labels).backward()
    slopes = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    mask = mask.clone()
    for begin, end in form.segments:
        free = slopes[begin:end].abs().masked_fill(mask[begin:end], -1.0)
        order = free.sort(descending=True).indices
        mask[begin:end][order[: int(ALPHA * int(mask[begin:end].sum()))]] = True
    return mask


def descend(model: nn.Module, loader: DataLoader[Any], mask: torch.Tensor) -> nn.Module:
    """Masked steps."""
    optimiser = torch.optim.SGD(model.parameters(), lr=LOCAL.learning_rate, weight_decay=1e-4)
    kept = pieces(mask, list(model.parameters()))
    for _ in range(LOCAL.epochs):
        for images, labels in loader:
            optimiser.zero_grad()
            F.cross_entropy(body(model)(images), labels).backward()
            for parameter, keep in zip(model.parameters(), kept, strict=True):
                assert parameter.grad is not None
                parameter.grad.mul_(keep)
            optimiser.step()
    return model


def pruned(flat: torch.Tensor, mask: torch.Tensor, form: FlatForm) -> torch.Tensor:
    """A sort of each tensor."""
    mask = mask.clone()
    for begin, end in form.segments:
        small = flat[begin:end].abs().masked_fill(~mask[begin:end], torch.inf)
        order = small.sort().indices
        mask[begin:end][order[: int(ALPHA * int(mask[begin:end].sum()))]] = False
    return mask


def ours(model: nn.Module, clients: list[Dataset], precision: str = "fp32") -> None:
    """The same rounds by the engine."""
    training = replace(LOCAL, precision=precision)
    federation = Federation(Lockdown(), IsolatedSubspace(DENSITY, ALPHA), ROUNDS, training)
    federation.run(model, clients, ImageDomain(), stream(0, "rounds"))


def seconds(work: Callable[[], None]) -> float:
    """Of the processor."""
    began = time.process_time()
    work()
    return time.process_time() - began


def world(name: str) -> dict[str, Any]:
    """Both loops in turns."""
    data = load_named("mnist").data.subset(range(CLIENTS * EACH))
    rows = Iid(CLIENTS).divide(data.labels, stream(0, "split"))
    clients = [data.subset(each) for each in rows]
    with seed_torch(stream(0, "init")):
        model = NETWORKS[name](data)
    loops = {
        "loaders": published,
        "engine": ours,
        "engine, bf16": functools.partial(ours, precision="bf16"),
    }
    taken: dict[str, list[float]] = {loop: [] for loop in loops}
    for _ in range(REPEATS):
        for loop, run in loops.items():
            taken[loop].append(seconds(lambda run=run: run(copy.deepcopy(model), clients)))  # type: ignore[misc]
    return {
        "network": name, "parameters": sum(p.numel() for p in model.parameters()),
        "seconds": taken, "top_k": top_k(), "rounds": ROUNDS, "origin": environment(),
    }  # fmt: skip


def top_k() -> dict[str, float]:
    """Seconds of choosing a thousandth of a million numbers, by sorting and by selecting."""
    values = torch.rand(2_000_000, generator=torch.Generator().manual_seed(0))
    best = {}
    for name, choose in (("sort", values.sort), ("select", functools.partial(values.topk, 2000))):
        best[name] = min(seconds(choose) for _ in range(REPEATS))  # type: ignore[arg-type]
    return best


def worlds(_: Iterable[str]) -> Iterator[World]:
    """One for each network."""
    for name in NETWORKS:
        yield name.replace(" ", "-"), functools.partial(world, name)


def table() -> str:
    """The best seconds of a round, and how many times as fast the engine is."""
    rows = []
    for record in records(FOLDER, "*"):
        best = {loop: min(values) / record["rounds"] for loop, values in record["seconds"].items()}
        chosen = record["top_k"]["sort"] / record["top_k"]["select"]
        rows.append([
            record["network"], f"{record['parameters']:,}",
            *(f"{best[loop]:.3f}" for loop in ("loaders", "engine", "engine, bf16")),
            *(f"{best['loaders'] / best[loop]:.1f}" for loop in ("engine", "engine, bf16")),
            f"{chosen:.0f}",
        ])  # fmt: skip
    header = [
        "network", "parameters", "loaders, s", "engine, s", "engine in bf16, s", "times as fast",
        "in bf16", "top-k beside a sort",
    ]  # fmt: skip
    return markdown(header, rows)


if __name__ == "__main__":
    command_line(__doc__, FOLDER, table, {"run": worlds}, ["mnist"])
