"""The state of a training on disk, so that it can be stopped and go on; no pickle is involved."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn


class Checkpoint:
    """Saves and restores the model, the momentum and the recorded losses of a training.

    A checkpoint of another seed is ignored: it belongs to another training.
    """

    def __init__(
        self,
        folder: Path | None,
        model: nn.Module,
        optimiser: torch.optim.SGD,
        losses: torch.Tensor,
        seed: int,
    ) -> None:
        self.file = folder / "training.safetensors" if folder else None
        self.model, self.optimiser, self.losses, self.seed = model, optimiser, losses, seed
        if folder:
            folder.mkdir(parents=True, exist_ok=True)

    def save(self, epochs: int) -> None:
        """Write the state after a number of epochs, whole or not at all."""
        if self.file is None:
            return
        tensors = {f"model.{k}": v.contiguous().cpu() for k, v in self.model.state_dict().items()}
        for number, parameter in enumerate(self.model.parameters()):
            momentum = self.optimiser.state[parameter].get("momentum_buffer")
            if momentum is not None:
                tensors[f"momentum.{number}"] = momentum.contiguous().cpu()
        tensors["losses"] = self.losses
        note = {"seed": self.seed, "epochs": epochs, "shape": list(self.losses.shape)}
        temporary = self.file.with_suffix(".writing")
        save_file(tensors, temporary, metadata={"training": json.dumps(note)})
        temporary.replace(self.file)

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
        self.model.load_state_dict(
            {k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")}
        )
        for number, parameter in enumerate(self.model.parameters()):
            momentum = tensors.get(f"momentum.{number}")
            if momentum is not None:
                copy = torch.empty_like(parameter).copy_(momentum.to(parameter.device))
                self.optimiser.state[parameter]["momentum_buffer"] = copy
        return int(note["epochs"])
