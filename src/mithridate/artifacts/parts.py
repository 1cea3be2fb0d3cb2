"""The parts of a checkpoint: every group of tensors by name in it, and the one a network fits."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

DEEPEST, MOST, WAYS = 5, 1_000, 20
"""Levels of dictionaries, groups of tensors, and beginnings of names that are looked at."""

NESTS = ("state_dict", "model_state_dict", "model", "network", "net", "module")
"""Where training scripts keep the weights in a larger dictionary."""

BESIDE = re.compile(
    r"(criterion|loss|loss_(fn|func|function)|(\w*_)?(metrics?|accuracy|acc))(\.|$).*"
    r"|(.*\.)?(_extra_state|n_averaged)"
)
"""Names of what training keeps beside a network: losses and metrics with buffers, counters."""

COUNTERS = "num_batches_tracked"
"""What old files lack of a normalisation, and torch adds."""

Tensors = Mapping[str, torch.Tensor]


def groups(content: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give every dictionary in nested dictionaries, by its path; each of them once."""
    waiting: list[tuple[str, Any, int]] = [("", content, 0)]
    seen: set[int] = set()
    while waiting and len(seen) < MOST:
        path, held, depth = waiting.pop(0)
        if not isinstance(held, dict) or id(held) in seen:
            continue
        seen.add(id(held))
        yield path, {name: value for name, value in held.items() if isinstance(name, str)}
        if depth < DEEPEST:
            inner = [(name, value) for name, value in held.items() if isinstance(value, dict)]
            waiting += [
                (f"{path}.{name}" if path else str(name), value, depth + 1)
                for name, value in inner[:MOST]
            ]


def usual(parts: Mapping[str, Any]) -> str | None:
    """Name the part that holds the weights by the habit of training scripts; None where none."""
    path, name = "", "" if "" in parts else None
    for nest in NESTS:
        inner = f"{path}.{nest}" if path else nest
        if inner in parts:
            path = name = inner
    return name


def listed(parts: Mapping[str, Tensors], most: int = 12) -> str:
    """Spell the names of parts and how many tensors they hold, those of optimisers last."""
    order = sorted(parts, key=lambda name: ("optim" in name.casefold(), -len(parts[name])))
    told = [f"{name[:80] or 'the top level'!r} ({len(parts[name])} tensors)" for name in order]
    more = f" and {len(told) - most} more" if len(told) > most else ""
    return ", ".join(told[:most]) + more


@dataclass(frozen=True, eq=False)
class Fit:
    """Weights of a part under the names that a network gives them.

    Attributes:
        name: Of the part, with what stands before the names of its weights.
        tensors: By the network's own names.
        part: Its name alone.
        prefix: What stands before the names of its weights.

    """

    name: str
    tensors: dict[str, torch.Tensor]
    part: str = ""
    prefix: str = ""


def fits(expected: Tensors, parts: Mapping[str, Tensors]) -> list[Fit]:
    """Find the parts that hold exactly the weights of a network, whatever stands before the names.

    What training keeps beside a network is left out. A part that holds more layers than the network
    does not fit, since the network would not be the one that was trained.

    Args:
        expected: The weights of the network, of which names and shapes are looked at.
        parts: Tensors by name, by the name of the part.

    """
    fitting = []
    for part, tensors in parts.items():
        for prefix in _prefixes(expected, tensors):
            under = {
                name.removeprefix(prefix): value
                for name, value in tensors.items()
                if name.startswith(prefix)
            }
            under = {n: v for n, v in under.items() if n in expected or not BESIDE.fullmatch(n)}
            if _same(expected, under):
                name = ".".join(word for word in (part, prefix.removesuffix(".")) if word)
                fitting.append(Fit(name, under, part, prefix))
    return fitting


def _prefixes(expected: Tensors, tensors: Tensors) -> list[str]:
    """What may stand before the names of a network's weights: "", "module.", "student."."""
    rarest = max((name for name in expected if not name.endswith(COUNTERS)), key=len, default="")
    ends = (name.removesuffix(rarest) for name in tensors if name.endswith(rarest))
    return [end for end in dict.fromkeys(ends) if not end or end.endswith(".")][:WAYS]


def _same(expected: Tensors, given: Tensors) -> bool:
    """Whether names and shapes are those of a network."""
    missing = {name for name in expected.keys() - given.keys() if not name.endswith(COUNTERS)}
    more = given.keys() - expected.keys()
    return not missing and not more and all(
        value.shape == expected[name].shape for name, value in given.items()
    )  # fmt: skip


def chosen(fitting: list[Fit], part: str) -> list[Fit]:
    """Leave those that were asked for by name, or by the end of it; equal weights count once."""
    if part:
        exact = [fit for fit in fitting if fit.name == part]
        fitting = exact or [fit for fit in fitting if fit.name.endswith(f".{part}")]
    left: list[Fit] = []
    for fit in fitting:
        if not any(_equal(fit.tensors, other.tensors) for other in left):
            left.append(fit)
    return left


def _equal(one: Tensors, other: Tensors) -> bool:
    return one.keys() == other.keys() and all(
        value.dtype == other[name].dtype and torch.equal(value, other[name])
        for name, value in one.items()
    )
