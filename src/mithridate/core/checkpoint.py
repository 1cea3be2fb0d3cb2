"""The state of a training on disk, so that it can be stopped and go on; no pickle is involved."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

from mithridate.core.files import write_tensors


class Checkpoint:
    """Saves and restores the buffers, what is trained, its momentum and the recorded losses.

    A checkpoint of another seed is ignored: it belongs to another training.
    """

    def __init__(
        self,
        folder: Path | None,
        model: nn.Module,
        optimiser: torch.optim.Optimizer,
        parameters: Sequence[nn.Parameter],
        losses: torch.Tensor,
        seed: int,
    ) -> None:
        self.file = folder / "training.safetensors" if folder else None
        self.model, self.optimiser, self.losses, self.seed = model, optimiser, losses, seed
        self.parameters = parameters
        if folder:
            folder.mkdir(parents=True, exist_ok=True)

    def save(self, epochs: int) -> None:
        """Write the state after a number of epochs, whole or not at all."""
        if self.file is None:
            return
        tensors = {f"model.{k}": v.contiguous().cpu() for k, v in self.model.named_buffers()}
        for number, parameter in enumerate(self.parameters):
            tensors[f"parameter.{number}"] = parameter.detach().clone().contiguous().cpu()
            momentum = self.optimiser.state[parameter].get("momentum_buffer")
            if momentum is not None:
                tensors[f"momentum.{number}"] = momentum.contiguous().cpu()
        tensors["losses"] = self.losses
        note = {"seed": self.seed, "epochs": epochs, "shape": list(self.losses.shape)}
        write_tensors(self.file, tensors, {"training": json.dumps(note)})

    def restore(self) -> int:
        """Take up a saved state of the same training; returns the epochs already done."""
        if self.file is None or not self.file.exists():
            return 0
        from safetensors import safe_open

        with safe_open(self.file, "pt") as opened:
            note = json.loads((opened.metadata() or {}).get("training", "{}"))
        if note.get("seed") != self.seed or note.get("shape") != list(self.losses.shape):
            return 0
        tensors = load_file(self.file)
        self.losses.copy_(tensors["losses"])
        for name, buffer in self.model.named_buffers():
            buffer.copy_(tensors[f"model.{name}"])
        for number, parameter in enumerate(self.parameters):
            with torch.no_grad():
                parameter.copy_(tensors[f"parameter.{number}"])
            momentum = tensors.get(f"momentum.{number}")
            if momentum is not None:
                copy = torch.empty_like(parameter).copy_(momentum.to(parameter.device))
                self.optimiser.state[parameter]["momentum_buffer"] = copy
        return int(note["epochs"])
