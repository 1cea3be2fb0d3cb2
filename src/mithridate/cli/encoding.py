"""How inputs enter a network and its training, as a user says it."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from typing import Any, cast

from mithridate.core.domain import Domain
from mithridate.core.errors import MethodError
from mithridate.domains.elsewhere import is_elsewhere


def set_encoding(
    domain: Domain, network: str, mean: str, std: str, *, graph: bool = False
) -> Domain:
    """Let networks from elsewhere standardise inputs, images by (x / 255 - mean) / std.

    Args:
        graph: whether the network is an ONNX graph, which is from elsewhere in any case.

    Raises:
        MethodError: where the network is not from elsewhere or such data have no mean.
    """
    if not mean and not std:
        return domain
    if not (graph or is_elsewhere(network)):
        raise MethodError(
            "--mean and --std are for ONNX files and for networks that --network says are from "
            "elsewhere; files of this library hold their own"
        )
    return domain.standardised(numbers(mean), numbers(std))


def numbers(words: str) -> tuple[float, ...]:
    """Read numbers with commas between them."""
    try:
        return tuple(float(word) for word in words.split(",") if word.strip())
    except ValueError:
        raise MethodError(f"expected numbers with commas between them, found {words!r}") from None


def flipped(domain: Domain, flip: bool | None) -> Domain:
    """Set whether training may mirror the examples, where that means something."""
    if flip is None:
        return domain
    if not any(f.name == "flip" for f in dataclasses.fields(cast(Any, domain))):
        raise MethodError(f"--flip and --no-flip mean nothing for data of kind {domain.name}")
    return cast(Domain, replace(cast(Any, domain), flip=flip))
