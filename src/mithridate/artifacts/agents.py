"""Policies of reinforcement learning as stable-baselines3 saves them: the weights, and no more.

Such a zip holds `policy.pth`, tensors by name, and `data`, JSON in which pickles stand in base64.
The library runs those when it loads the file, whatever they are; here they are passed over. Of
`data` only two plain words are read: the name of the activation and the kind of the actions.
Axes: d values of an observation, c actions.
"""

from __future__ import annotations

import io
import json
import re
from dataclasses import dataclass
from typing import Any, BinaryIO

import torch

from mithridate.artifacts.archives import Archive, Member, open_archive
from mithridate.artifacts.findings import FileLimits, Log
from mithridate.core.errors import DataError

DATA, WEIGHTS = "data", "policy.pth"
"""The members by which such an archive is known, and which are read."""

LARGEST = 1 << 30
"""Bytes of a policy that are read."""

ACTORS = (
    (r"mlp_extractor\.policy_net\.(\d+)\.(weight|bias)", "action_net", "tanh"),
    (r"q_net\.q_net\.(\d+)\.(weight|bias)", "", "relu"),
)
"""The layers of the part that acts, by name, what follows them, and the usual activation."""

BESIDE = re.compile(r"(mlp_extractor\.)?(value_net|q_net_target)\b.*|optimizer\b.*")
"""What a policy learns with and does not act by."""

ACTIVATION = re.compile(r"<class 'torch\.nn\.modules\.activation\.([A-Za-z]{1,20})'>")


def is_agent(members: Archive) -> bool:
    """Tell whether an archive is one of stable-baselines3."""
    return {DATA, WEIGHTS} <= set(members.members)


def inner(members: Archive, log: Log) -> io.BytesIO | None:
    """Unpack the weights of an archive; None, with a finding, where that fails."""
    content = members.read(members.members[WEIGHTS], LARGEST, log)
    return None if content is None else io.BytesIO(content)


def say_pickles(log: Log) -> None:
    """Say what nobody looked at."""
    log.unknown(
        "the member 'data' holds pickles in base64, which stable-baselines3 runs when it loads the "
        "file; they are not read here, and neither is a normaliser of observations, which lies in "
        "another file", DATA, "take the weights alone: they are opened without the rest",
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class KeptPolicy:
    """A policy out of an archive.

    Attributes:
        tensors: by the names of our own network of policies.
        network: the name of that network, which says its activation and its widths.
    """

    tensors: dict[str, torch.Tensor]
    network: str


def kept_policy(
    file: BinaryIO, size: int, tensors: dict[str, torch.Tensor], path: str
) -> KeptPolicy:
    """Give the part of a policy that acts.

    Args:
        file: the archive.
        size: of it, in bytes.
        tensors: of its member `policy.pth`.
        path: how the file is spoken of.

    Raises:
        DataError: where the policy is of another form than layers one after the other.
    """
    layers, usual = _acting(tensors, path)
    widths = [len(v) for k, v in layers.items() if re.fullmatch(r"hidden\.\d+\.weight", k)]
    name = "-".join([_told(file, size) or usual, *map(str, widths)])
    return KeptPolicy(layers, f"policy:{name}")


def _told(file: BinaryIO, size: int) -> str:
    """Read the name of the activation out of `data`; "" where it says none."""
    log = Log(FileLimits())
    members = open_archive(file, size, log)
    held: Member | None = members.members.get(DATA) if members else None
    words = members.read(held, log.limits.words, log) if members and held else None
    try:
        told: Any = json.loads(words or b"{}").get("policy_kwargs")
        spoken = str(told.get("activation_fn", ""))
    except (ValueError, AttributeError, RecursionError):
        return ""
    parts = ACTIVATION.fullmatch(spoken)
    return parts[1].lower() if parts else ""


def _acting(tensors: dict[str, torch.Tensor], path: str) -> tuple[dict[str, torch.Tensor], str]:
    """Give the layers that act under the names of our own network, and the usual activation."""
    for pattern, last, usual in ACTORS:
        places = sorted({int(p[1]) for k in tensors if (p := re.fullmatch(pattern, k))})
        if not places:
            continue
        stem = pattern.partition(r"(\d+)")[0].replace("\\", "")
        names = [f"{stem}{place}" for place in places] + ([last] if last else [])
        known = {f"{name}.{part}" for name in names for part in ("weight", "bias")}
        strange = [k for k in tensors if k not in known and not BESIDE.fullmatch(k)]
        if strange or not all(key in tensors and tensors[key].ndim in (1, 2) for key in known):
            raise _refused(path, strange)
        ours = [f"hidden.{1 + 2 * n}" for n in range(len(names) - 1)] + ["head"]
        layers = {
            f"{new}.{part}": tensors[f"{old}.{part}"].float()
            for new, old in zip(ours, names, strict=True)
            for part in ("weight", "bias")
        }
        return layers, usual
    raise _refused(path, list(tensors))


def _refused(path: str, strange: list[str]) -> DataError:
    return DataError(
        f"{path!r}: expected a policy of linear layers with an action among a few (MlpPolicy of "
        f"PPO, A2C or DQN), found other weights, {strange[:3]}; build the network yourself and "
        "give its weights as safetensors"
    )
