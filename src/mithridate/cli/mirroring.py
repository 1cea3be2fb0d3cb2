"""How inputs enter a training, as a user says it."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from typing import Any, cast

from mithridate.core.domain import Domain
from mithridate.core.errors import MethodError


def flipped(domain: Domain, flip: bool | None) -> Domain:
    """Set whether training may mirror the examples, where that means something."""
    if flip is None:
        return domain
    if not any(f.name == "flip" for f in dataclasses.fields(cast(Any, domain))):
        raise MethodError(f"--flip and --no-flip mean nothing for data of kind {domain.name}")
    return cast(Domain, replace(cast(Any, domain), flip=flip))
