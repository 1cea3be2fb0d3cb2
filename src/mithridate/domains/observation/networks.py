"""Small networks of observations, for behaviour cloning and for the policies of other libraries.

They take prepared observations [b, h, w, k], bytes or floats, and give float[b, c].
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import torch
from torch import nn

from mithridate.core.errors import MethodError

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "tanh": nn.Tanh, "relu": nn.ReLU, "elu": nn.ELU, "silu": nn.SiLU, "gelu": nn.GELU,
    "leakyrelu": nn.LeakyReLU,
}  # fmt: skip

LARGEST, DEEPEST = 4096, 16
"""Units of a layer and layers of a network that a name may ask for: it may come from a file."""


class Standardise(nn.Module):
    """Prepared observations as floats; vectors are standardised by each value."""

    def __init__(self, seen: torch.Tensor) -> None:
        super().__init__()
        shape = seen.shape[1:]
        mean, scale = torch.zeros(shape), torch.ones(shape)
        if seen.is_floating_point() and len(seen):
            # sorted first, so that the order of examples changes not even the rounding
            ordered = seen.double().sort(0).values
            mean = ordered.mean(0).float()
            scale = ordered.std(0, correction=0).float().clamp_min(1e-3)
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Standardise."""
        return (batch.float() - self.get_buffer("mean")) / self.get_buffer("scale")


class Floats(nn.Module):
    """Prepared observations as floats and nothing else, as the policies of other libraries do."""

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Convert."""
        return batch.float()


class ChannelsFirst(nn.Module):
    """[b, h, w, k] to [b, k, h, w], which convolutions take."""

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Move the last axis."""
        return batch.permute(0, 3, 1, 2).contiguous()


def layers(
    inputs: int, widths: Sequence[int], activation: str, *, normalised: bool = True
) -> list[nn.Module]:
    """Linear layers of some widths, each normalised over the batch or not, and its activation."""
    made: list[nn.Module] = []
    for width in widths:
        norm = [nn.BatchNorm1d(width)] if normalised else []
        made += [nn.Linear(inputs, width), *norm, ACTIVATIONS[activation]()]
        inputs = width
    return made


def mlp(seen: torch.Tensor, classes: int, how: str) -> nn.Module:
    """Two layers of 64 units, or of the widths that are given, as in "mlp:128-64"."""
    widths = _widths(how or "64-64", f"mlp:{how}")
    inputs = seen[0].numel()
    body = layers(inputs, widths, "relu")
    return nn.Sequential(Standardise(seen), nn.Flatten(), *body, nn.Linear(widths[-1], classes))


def conv(seen: torch.Tensor, classes: int, how: str) -> nn.Module:
    """One convolution of 16 channels, or as many as are given, and a layer of 128 units.

    The network of Young and Tian, MinAtar, 2019, with normalisation over the batch, which repairs
    look at.
    """
    (channels,) = _widths(how or "16", f"conv:{how}", most=1)
    kernel = nn.Conv2d(seen.shape[3], channels, 3, padding=1)
    inner = [ChannelsFirst(), kernel, nn.BatchNorm2d(channels), nn.ReLU()]
    inputs = channels * seen.shape[1] * seen.shape[2]
    body = layers(inputs, [128], "relu")
    return nn.Sequential(Standardise(seen), *inner, nn.Flatten(), *body, nn.Linear(128, classes))


class Policy(nn.Module):
    """A policy that another library trained: its observations enter as they are.

    Attributes:
        features: the convolution, or nothing.
        hidden: linear layers with an activation each.
        head: one logit, or one value, for each action.
    """

    def __init__(self, seen: torch.Tensor, classes: int, how: PolicyForm) -> None:
        super().__init__()
        inputs = seen[0].numel()
        self.features = nn.Sequential(Floats())
        if how.channels:
            kernel = nn.Conv2d(seen.shape[3], how.channels, 3, padding=1)
            self.features.extend([ChannelsFirst(), kernel, nn.ReLU()])
            inputs = how.channels * seen.shape[1] * seen.shape[2]
        body = layers(inputs, how.widths, how.activation, normalised=False)
        self.hidden = nn.Sequential(nn.Flatten(), *body)
        self.head = nn.Linear(how.widths[-1] if how.widths else inputs, classes)

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Give a logit, or a value, for each action."""
        answers: torch.Tensor = self.head(self.hidden(self.features(batch)))
        return answers


class PolicyForm:
    """The form of a policy as a name: "tanh-64-64", or "relu-c16-128" with a convolution first.

    Attributes:
        activation: of every linear layer.
        channels: of a convolution of 3 x 3 that keeps the sides, 0 for none.
        widths: of the linear layers before the last one.
    """

    def __init__(self, name: str) -> None:
        parts = re.fullmatch(r"([a-z]+)((?:-c[0-9]{1,4})?)((?:-[0-9]{1,4})*)", name)
        if not parts or parts[1] not in ACTIVATIONS:
            raise MethodError(
                "a policy is named by its activation and its widths, as in 'policy:tanh-64-64' or "
                f"'policy:relu-c16-128'; found {name[:40]!r}, known activations: "
                f"{', '.join(ACTIVATIONS)}"
            )
        self.activation = parts[1]
        self.channels = int(parts[2][2:] or 0)
        widths = parts[3].strip("-")
        self.widths = _widths(widths, f"policy:{name}") if widths else []


def policy(seen: torch.Tensor, classes: int, how: str) -> nn.Module:
    """What stable-baselines3 trains: "policy:tanh-64-64" is its default, with nothing encoded."""
    return Policy(seen, classes, PolicyForm(how or "tanh-64-64"))


def _widths(text: str, name: str, most: int = DEEPEST) -> list[int]:
    """Read widths like "64-64"; raises MethodError where they are none."""
    parts = text.split("-")
    sound = all(part.isascii() and part.isdigit() and 0 < int(part) <= LARGEST for part in parts)
    if not sound or len(parts) > most:
        raise MethodError(
            f"expected at most {most} widths from 1 to {LARGEST}, as in 'mlp:64-64'; found "
            f"{name[:40]!r}"
        )
    return [int(part) for part in parts]


NETWORKS: dict[str, Callable[[torch.Tensor, int, str], nn.Module]] = {
    "mlp": mlp,
    "conv": conv,
    "policy": policy,
}


def build(name: str, seen: torch.Tensor, classes: int) -> nn.Module:
    """Build a network by name for prepared observations; what follows a colon is its size.

    Raises:
        MethodError: for an unknown name or size.
    """
    kind, _, how = name.partition(":")
    if kind not in NETWORKS:
        raise MethodError(
            f"unknown network of observations {kind[:40]!r}; available: {', '.join(NETWORKS)}"
        )
    return NETWORKS[kind](seen, classes, how)
