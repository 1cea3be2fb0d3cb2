"""A federation on disk, so that it can be stopped and go on at its round; no pickle is involved."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from mithridate.core.data import Dataset
from mithridate.core.files import read_tensors, write_tensors
from mithridate.core.fingerprint import fingerprint
from mithridate.core.method import State
from mithridate.pipelines.federation_lines import RoundLine

FILE, NOTE = "federation.safetensors", "federation"


@dataclass
class ServerState:
    """Where a server stands between two rounds.

    Attributes:
        flat: float32[p], the global parameters.
        moments: float32[q], the running moments.
        last_step: float32[p], what the parameters moved by in the last round.
        aggregator: its state.
        protocol: the state of all clients in the protocol.
    """

    flat: torch.Tensor
    moments: torch.Tensor
    last_step: torch.Tensor
    aggregator: State
    protocol: State

    def tensors(self) -> dict[str, torch.Tensor]:
        """Give all of it by name."""
        own = {"flat": self.flat, "moments": self.moments, "last_step": self.last_step}
        states = {"aggregator": self.aggregator, "protocol": self.protocol}
        inside = {f"{n}.{k}": v for n, state in states.items() for k, v in state.items()}
        return own | inside

    @staticmethod
    def of(tensors: dict[str, torch.Tensor]) -> ServerState:
        """Read what `tensors` gave."""
        states: dict[str, State] = {"aggregator": {}, "protocol": {}}
        for name, value in tensors.items():
            kind, dot, key = name.partition(".")
            if dot:
                states[kind][key] = value
        return ServerState(
            tensors["flat"], tensors["moments"], tensors["last_step"], states["aggregator"],
            states["protocol"],
        )  # fmt: skip


class Kept:
    """A folder that holds a federation after its last whole round.

    Args:
        folder: Where; None for nowhere.
        about: All that its bits depend on; what was kept of another federation is passed over.
    """

    def __init__(self, folder: Path | None, about: tuple[object, ...]) -> None:
        self.file = None if folder is None else folder / FILE
        self.key = "" if folder is None else _digest(about)
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    def save(self, now: ServerState, lines: Sequence[RoundLine]) -> None:
        """Write the state after a round, whole or not at all."""
        if self.file is not None:
            note = json.dumps({"key": self.key, "lines": [line.plain() for line in lines]})
            write_tensors(self.file, now.tensors(), {NOTE: note})

    def restore(self, now: ServerState) -> tuple[ServerState, list[RoundLine]]:
        """Take up what was kept of the same federation; else give what it begins with.

        A damaged file is passed over, too: its federation begins again.
        """
        tensors, note = read_tensors(self.file, NOTE)
        if not tensors or note.get("key") != self.key:
            return now, []
        return ServerState.of(tensors), [RoundLine.read(raw) for raw in note["lines"]]


def _digest(about: object) -> str:
    """The digest of tensors, data sets and values, inside sequences too."""
    digest = hashlib.sha256()
    queue = [about]
    while queue:
        thing = queue.pop()
        if isinstance(thing, list | tuple) and not hasattr(thing, "_fields"):
            digest.update(f"{len(thing)}:".encode())
            queue += thing
        elif isinstance(thing, torch.Tensor):
            digest.update(thing.contiguous().numpy().tobytes())
        elif isinstance(thing, Dataset):
            digest.update(fingerprint(thing).encode())
        else:
            digest.update(repr(thing).encode())
    return digest.hexdigest()
