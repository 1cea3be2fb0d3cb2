"""The state of a training on disk, so that it can be stopped and go on; no pickle is involved."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from mithridate.core.files import read_tensors, write_tensors


class Checkpoint:
    """Saves and restores the buffers, what is trained, its momentum and the recorded losses.

    A checkpoint of another key is ignored: it belongs to another training; so is a damaged one.

    Attributes:
        ended: Whether the training that was restored had been ended before its last epoch.
    """

    def __init__(
        self,
        folder: Path | None,
        modules: Sequence[nn.Module],
        optimiser: torch.optim.Optimizer,
        parameters: Sequence[nn.Parameter],
        losses: torch.Tensor,
        key: str,
    ) -> None:
        self.file = folder / "training.safetensors" if folder else None
        self.optimiser, self.losses, self.parameters = optimiser, losses, parameters
        self.buffers = [buffer for module in modules for buffer in module.buffers()]
        shapes = [list(value.shape) for value in (*self.buffers, *parameters, losses)]
        self.note = {"key": key, "shapes": shapes}
        self.ended = False
        if folder:
            folder.mkdir(parents=True, exist_ok=True)

    def save(self, epochs: int, ended: bool) -> None:
        """Write the state after a number of epochs, whole or not at all."""
        if self.file is None:
            return
        tensors = {f"buffer.{number}": buffer for number, buffer in enumerate(self.buffers)}
        for number, parameter in enumerate(self.parameters):
            tensors[f"parameter.{number}"] = parameter
            momentum = self.optimiser.state[parameter].get("momentum_buffer")
            if momentum is not None:
                tensors[f"momentum.{number}"] = momentum
        tensors["losses"] = self.losses
        note = json.dumps(self.note | {"epochs": epochs, "ended": ended})
        write_tensors(self.file, tensors, {"training": note})

    def restore(self) -> int:
        """Take up a saved state of the same training; returns the epochs already done."""
        tensors, note = read_tensors(self.file, "training")
        if any(note.get(name) != value for name, value in self.note.items()):
            return 0
        self.losses.copy_(tensors["losses"])
        for number, buffer in enumerate(self.buffers):
            buffer.copy_(tensors[f"buffer.{number}"])
        for number, parameter in enumerate(self.parameters):
            with torch.no_grad():
                parameter.copy_(tensors[f"parameter.{number}"])
            momentum = tensors.get(f"momentum.{number}")
            if momentum is not None:
                copy = torch.empty_like(parameter).copy_(momentum.to(parameter.device))
                self.optimiser.state[parameter]["momentum_buffer"] = copy
        self.ended = bool(note["ended"])
        return int(note["epochs"])
