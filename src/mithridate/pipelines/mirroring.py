"""How inputs enter a training, as a user says it."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from typing import Any, cast

from mithridate.core.domain import Domain
from mithridate.core.errors import MethodError
from mithridate.core.spelling import option


def flipped(domain: Domain, flip: bool | None) -> Domain:
    """Set whether training may mirror the examples, where that means something.

    Args:
        domain: Of the examples.
        flip: Whether it may; None leaves it as the domain has it.

    Raises:
        MethodError: where the domain knows no mirroring.
    """
    if flip is None:
        return domain
    if not any(f.name == "flip" for f in dataclasses.fields(cast(Any, domain))):
        flags = " and ".join(option("flip", value) for value in (True, False))
        raise MethodError(f"{flags} mean nothing for data of kind {domain.name}")
    return cast(Domain, replace(cast(Any, domain), flip=flip))
