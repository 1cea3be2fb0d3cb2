"""Requests into raw inputs: everything from outside is bounded, checked and never quoted.

Axes: n inputs of a request.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from mithridate.core.data import Inputs
from mithridate.core.domain import Domain
from mithridate.core.errors import DataError
from mithridate.domains.registry import requests_like


class Refused(Exception):
    """A request that cannot be answered: its status, and a sentence that quotes nothing of it."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status, self.sentence = status, sentence


@dataclass(frozen=True)
class Question:
    """The inputs of a request; single: whether it asked about one, outside of a list."""

    inputs: Sequence[Any]
    single: bool


class Reader:
    """Reads the inputs that one domain takes.

    Args:
        blank: a prepared input [1, ...], whose shape images must have.
        most: inputs of one request.
    """

    def __init__(self, domain: Domain, blank: torch.Tensor, most: int) -> None:
        self.most = most
        self.inputs = requests_like(domain, tuple(blank.shape[1:]))

    def read(self, kind: str, body: bytes) -> Question:
        """Read the body of a request, whose content type is `kind`; raises Refused."""
        kind = kind.partition(";")[0].strip().lower()
        if kind.startswith(self.inputs.media):
            return Question([self._one(self.inputs.from_body, body)], single=True)
        if kind != "application/json":
            also = "".join(f", or one input ({media}...)" for media in self.inputs.media)
            raise Refused(415, f"expected the content type application/json{also}")
        return self._question(parse_json(body))

    def together(self, inputs: Sequence[Any]) -> Inputs:
        """Put single inputs into a batch of raw inputs[n]."""
        return self.inputs.stack(inputs)

    def _question(self, body: Any) -> Question:
        keys = set(body) if isinstance(body, dict) else set()
        if keys == {"input"}:
            return Question([self._one(self.inputs.from_json, body["input"])], single=True)
        if keys != {"inputs"} or not isinstance(body["inputs"], list):
            raise Refused(422, 'expected {"input": ...} or {"inputs": [...]} and nothing else')
        n = len(body["inputs"])
        if not 1 <= n <= self.most:
            raise Refused(422, f"expected 1 to {self.most} inputs in a request, found {n}")
        return Question(
            [self._one(self.inputs.from_json, each) for each in body["inputs"]], single=False
        )

    @staticmethod
    def _one(read: Callable[[Any], Any], value: Any) -> Any:
        """Read one input; a domain's errors quote nothing of it."""
        try:
            return read(value)
        except DataError as error:
            raise Refused(422, str(error)) from None


def parse_json(body: bytes) -> Any:
    """Read JSON; raises Refused where it is none."""
    try:
        return json.loads(body)
    except RecursionError:
        raise Refused(400, "expected JSON, found lists too deep to read") from None
    except ValueError:
        raise Refused(400, "expected JSON in UTF-8, found something else") from None
