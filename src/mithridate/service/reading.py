"""Requests into raw inputs: everything from outside is bounded, checked and never quoted.

Axes: n inputs of a request, k channels, h rows, w columns.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from mithridate.core.data import Inputs
from mithridate.core.domain import Domain
from mithridate.core.errors import DataError, MethodError, UnsafeData
from mithridate.domains.formats.decoding import KINDS, decode
from mithridate.domains.formats.source import LIMITS, Limits


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
        self.most, self.form = most, tuple(blank.shape[1:])
        if domain.name not in ("image", "text"):
            raise MethodError(f"the service reads images and texts, found {domain.name!r}")
        self.images = domain.name == "image"

    def read(self, kind: str, body: bytes) -> Question:
        """Read the body of a request, whose content type is `kind`; raises Refused."""
        kind = kind.partition(";")[0].strip().lower()
        if self.images and kind.startswith("image/"):
            return Question([self._picture(body)], single=True)
        if kind != "application/json":
            also = ", or an image (image/png)" if self.images else ""
            raise Refused(415, f"expected the content type application/json{also}")
        return self._question(parse_json(body))

    def together(self, inputs: Sequence[Any]) -> Inputs:
        """Put single inputs into a batch of raw inputs[n]."""
        if self.images:
            return torch.stack(list(inputs))
        batch = np.empty(len(inputs), dtype=object)
        batch[:] = inputs
        return batch

    def _question(self, body: Any) -> Question:
        keys = set(body) if isinstance(body, dict) else set()
        if keys == {"input"}:
            return Question([self._one(body["input"])], single=True)
        if keys != {"inputs"} or not isinstance(body["inputs"], list):
            raise Refused(422, 'expected {"input": ...} or {"inputs": [...]} and nothing else')
        n = len(body["inputs"])
        if not 1 <= n <= self.most:
            raise Refused(422, f"expected 1 to {self.most} inputs in a request, found {n}")
        return Question([self._one(each) for each in body["inputs"]], single=False)

    def _one(self, value: Any) -> Any:
        if not self.images:
            return _text(value)
        if isinstance(value, str):
            try:
                return self._picture(base64.b64decode(value, validate=True))
            except (binascii.Error, ValueError):
                raise Refused(422, "expected an image file in base64, found no base64") from None
        return self._numbers(value)

    def _numbers(self, value: Any) -> torch.Tensor:
        expected = f"expected an image as lists of bytes 0 to 255 of the shape {list(self.form)}"
        try:
            numbers = np.array(value)
        except (ValueError, OverflowError):
            raise Refused(422, f"{expected}, found lists of several lengths") from None
        if numbers.dtype.kind not in "iu":
            raise Refused(422, f"{expected}, found something else than whole numbers")
        if numbers.shape != self.form:
            raise Refused(422, f"{expected}, found the shape {list(numbers.shape)[:8]}")
        if numbers.min() < 0 or numbers.max() > 255:
            raise Refused(422, f"{expected}, found numbers beyond")
        return torch.from_numpy(numbers.astype(np.uint8))

    def _picture(self, body: bytes) -> torch.Tensor:
        channels, height, width = self.form
        what = f"an image of {width}x{height} pixels as {KINDS}"
        try:
            picture = decode(body, Limits(pixels=height * width))
        except UnsafeData:
            raise Refused(422, f"expected {what}, found one of more pixels") from None
        except DataError:
            raise Refused(422, f"expected {what}, found none that is whole") from None
        pixels = picture.pixels
        if pixels.shape[:2] != (height, width) or pixels.shape[2] > channels:
            shape = "x".join(map(str, pixels.shape))
            raise Refused(422, f"expected {what} and {channels} channels, found {shape}")
        if picture.constant:  # read as black, as 16 bits may be: no answer would be about it
            raise Refused(422, f"expected {what}, found one that is (nearly) constant")
        tensor = torch.from_numpy(np.array(pixels.transpose(2, 0, 1)))
        return tensor.expand(channels, -1, -1).contiguous()  # grey is read as RGB, as in training


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise Refused(422, "expected a text as a string")
    if len(value) > LIMITS.text:
        raise Refused(422, f"expected a text of at most {LIMITS.text} characters")
    return value


def parse_json(body: bytes) -> Any:
    """Read JSON; raises Refused where it is none."""
    try:
        return json.loads(body)
    except RecursionError:
        raise Refused(400, "expected JSON, found lists too deep to read") from None
    except ValueError:
        raise Refused(400, "expected JSON in UTF-8, found something else") from None
