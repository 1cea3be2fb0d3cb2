"""What trains on sequences of events."""

import zlib
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from mithridate.core.errors import CannotJudge, DataError, MethodError
from mithridate.core.fingerprint import scattered
from mithridate.core.streams import seed_torch

NUMBERS = 64


class Bag(nn.Module):
    """The mean embedding of the events, and two layers."""

    def __init__(self, classes):
        super().__init__()
        self.events = nn.EmbeddingBag(NUMBERS, 16, mode="mean", padding_idx=0)
        self.hidden = nn.Sequential(nn.Linear(16, 16), nn.ReLU())
        self.head = nn.Linear(16, classes)

    def forward(self, batch):
        return self.head(self.hidden(self.events(batch.long())))


@dataclass(frozen=True)
class EventDomain:
    """Sequences of at most `length` events, object[n] of str with ">" between them."""

    length: int = 12
    name: str = "events"

    @property
    def unit(self):
        return "events"

    @property
    def networks(self):
        return ("bag",)

    @property
    def corruptions(self):
        return ()

    def accepts(self, inputs):
        texts = not isinstance(inputs, torch.Tensor) and inputs.dtype == np.dtype(object)
        return texts and len(inputs) > 0 and all(">" in str(value) for value in inputs)

    def blank(self, count, form):
        return np.full(count, "none>none", dtype=object)

    def pack(self, inputs):
        whole = "\n".join(inputs).encode()
        return {"events": torch.from_numpy(np.frombuffer(whole, np.uint8).copy())}

    def unpack(self, tensors):
        texts = tensors["events"].numpy().tobytes().decode().split("\n")
        return np.array(texts, dtype=object)

    def standardised(self, mean, std):
        raise MethodError("events have no mean")

    def prepare(self, inputs):
        if not all(isinstance(value, str) and ">" in value for value in inputs):
            raise DataError("expected events with > between them")
        rows = [[1 + zlib.crc32(e.encode()) % (NUMBERS - 1) for e in v.split(">")] for v in inputs]
        cut = [row[: self.length] for row in rows]
        return torch.tensor(
            [row + [0] * (self.length - len(row)) for row in cut], dtype=torch.int32
        )

    def augment(self, batch, rng, mirrored=None):
        return batch

    def shrink(self, batch, share):
        return batch

    def distort(self, batch, rng):
        hidden = torch.rand(batch.shape, generator=rng, device=rng.device) < 0.1
        return batch.masked_fill(hidden & (batch.cumsum(1) > batch), 0)

    def corrupt(self, batch, kind, severity, rng):
        raise MethodError(f"events know no damage of the kind {kind!r}")

    def mix(self, batch, others, rng):
        half = self.length // 2
        return torch.cat([batch[:, :half], others[:, half:]], dim=1)

    def surface(self, prepared):
        raise CannotJudge("events cannot move by a little")

    def network(self, data, name, rng):
        if name not in ("", "bag"):
            raise MethodError(f"unknown network {name!r}; available: bag")
        with seed_torch(rng):
            return Bag(len(data.classes))

    def simple_features(self, inputs, selected):
        raise CannotJudge("nobody has listed what events are made of; use another detector")

    def details(self, inputs):
        raise CannotJudge("events are no numbers with neighbours; use another detector")

    def name_feature(self, inputs, key):
        raise DataError("no feature of events has a name")

    def difference(self, before, after):
        first, second = self.prepare(before), self.prepare(after)
        return {"events": (first != second).sum(1).double()}

    def properties(self, inputs):
        return {"length": torch.tensor([value.count(">") for value in inputs]).double()}

    def signature(self, inputs):
        return scattered(value.replace(" ", "").encode() for value in inputs)

    def alike(self, first, second):
        pairs = zip(first, second, strict=True)
        return torch.tensor([a.replace(" ", "") == b.replace(" ", "") for a, b in pairs])


DOMAIN = EventDomain
