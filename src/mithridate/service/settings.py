"""What the service may spend."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from mithridate.core.errors import MethodError


@dataclass(frozen=True)
class Settings:
    """What the service may spend on requests, and when it says no.

    Attributes:
        batch: inputs that are judged together, and the most of one request.
        wait_ms: milliseconds that a batch waits to fill.
        queue: inputs that may wait.
        timeout: seconds from a request to its answer.
        body: bytes of one request.
    """

    batch: int = 32
    wait_ms: float = 5.0
    queue: int = 256
    timeout: float = 10.0
    body: int = 4_194_304

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if not value > 0:
                raise MethodError(f"expected {field.name} above 0, found {value}")
        if self.queue < self.batch:
            raise MethodError(
                f"expected a queue that holds a batch of {self.batch}, found {self.queue}"
            )
