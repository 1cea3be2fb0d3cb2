"""Random streams named by place, so that what is compared is paired by construction."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator

import numpy as np
import torch


def stream(seed: int, *place: str | int) -> np.random.Generator:
    """Give the random stream of one place, e.g. `stream(0, "poison")`.

    Streams of different places are independent; the same seed and place give the same stream on
    every machine, whatever else was drawn before.
    """
    name = "/".join(str(part).replace("/", "//") for part in (seed, *place))
    digest = hashlib.blake2b(name.encode(), digest_size=16).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "big")))


def torch_generator(
    rng: np.random.Generator, device: torch.device | str = "cpu"
) -> torch.Generator:
    """Give a torch generator that is seeded by the next draw of `rng`."""
    return torch.Generator(device=device).manual_seed(int(rng.integers(2**62)))


@contextlib.contextmanager
def seed_torch(rng: np.random.Generator, device: torch.device | str = "cpu") -> Iterator[None]:
    """Seed torch's own generators inside the block by the next draw of `rng`, and restore them.

    For what takes no generator, such as initialisation and dropout: without it a result would
    depend on what ran before.
    """
    kind = torch.device(device)
    with torch.random.fork_rng(devices=[kind] if kind.type == "cuda" else []):
        drawn = int(rng.integers(2**62))
        if kind.type == "cpu":
            # torch.manual_seed also leaves a call with its traceback for each kind of accelerator
            # that was not used yet, every time: time, and memory that is not given back
            torch.default_generator.manual_seed(drawn)
        else:
            torch.manual_seed(drawn)
        yield
