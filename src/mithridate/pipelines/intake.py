"""The door of a federation's server: what a client sends is checked once, and nonsense stays out.

Axes: m clients of a round, p numbers of all parameters, q of all running moments.
"""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

import torch

from mithridate.core.errors import DataError, MethodError
from mithridate.core.federated import Round
from mithridate.core.flat import FlatForm, Part


class Noticed(NamedTuple):
    """A client that was left out, or whose claim was bounded, and why.

    Attributes:
        client: its number.
        why: in a few words.
    """

    client: int
    why: str


@dataclass
class Intake:
    """The door of one round: takes each client's answer as it comes, and makes a `Round` of all.

    The rows of the round are in the order of the clients' numbers, so it makes no difference in
    which order they answer. A client that sends nonsense is left out and named, and the round
    goes on.

    Attributes:
        form: of the model.
        granted: the clients that were asked, each with the most examples that it is believed to
            have; a larger claim is bounded to it, and named.
        masked: whether every client must send a mask.
        mask_size: the most numbers that a mask may hold; None: any.
        refused: who was left out, and why.
        bounded: whose claim was bounded, and to what.
    """

    form: FlatForm
    granted: Mapping[int, int]
    masked: bool = False
    mask_size: int | None = None
    refused: list[Noticed] = field(default_factory=list)
    bounded: list[Noticed] = field(default_factory=list)

    def __post_init__(self) -> None:
        m, p = len(self.granted), self.form.size
        if m < 1 or min(self.granted.values()) < 1:
            raise MethodError("expected one client or more, each granted 1 example or more")
        self._ids = torch.tensor(sorted(self.granted), dtype=torch.int64)
        self._rows = {client: row for row, client in enumerate(self._ids.tolist())}
        self._there = torch.zeros(m, dtype=torch.bool)
        self._updates = torch.empty(m, p)
        self._sizes = torch.zeros(m)
        self._moments = torch.empty(m, self.form.moments_size)
        self._masks = torch.empty(m, p, dtype=torch.bool) if self.masked else None

    @property
    def count(self) -> int:
        """How many clients have been let in."""
        return int(self._there.sum())

    def take(
        self,
        client: int,
        update: object,
        size: object,
        moments: object = None,
        mask: object = None,
    ) -> bool:
        """Take what a client sends; False where it is left out.

        Args:
            client: its number.
            update: float32[p], trained minus global parameters.
            size: how many examples it says it has.
            moments: float32[q], its running moments; not asked for where the model has none.
            mask: bool[p], the numbers that it trained.
        """
        try:
            row = self._row(client)
            change = vector(update, "the update", self.form.size, torch.float32)
            kept = self._running(moments)
            trained = self._mask(mask)
            believed = self._believed(client, size)  # the last, since it may be noted as bounded
        except DataError as error:
            self.refused.append(Noticed(client, str(error)))
            return False
        self._updates[row], self._sizes[row], self._moments[row] = change, believed, kept
        if self._masks is not None and trained is not None:
            self._masks[row] = trained
        self._there[row] = True
        return True

    def take_state(
        self,
        client: int,
        state: object,
        size: object,
        start: torch.Tensor,
        mask: object = None,
    ) -> bool:
        """Take a client's trained tensors by name, and see to `take`; False where it is left out.

        Args:
            state: its parameters and running moments, of the shapes and types of the model; other
                keys are nonsense.
            start: float32[p], the parameters that the server sent.
        """
        try:
            parts = by_name(state, (*self.form.parameters, *self.form.moments))
        except DataError as error:
            self.refused.append(Noticed(client, str(error)))
            return False
        update = self.form.flatten(parts) - start
        return self.take(client, update, size, self.form.moments_of(parts), mask)

    def round(self, number: int, **given: Any) -> Round:
        """Make the round of all that were let in; who answers afterwards is late.

        Args:
            number: of the round, from 0.
            given: other fields of `Round`, such as seed, root and answers.
        """
        self._close()
        return Round(
            updates=self._updates, sizes=self._sizes, ids=self._ids, number=number,
            segments=self.form.segments, masks=self._masks, head=self.form.head, **given,
        )  # fmt: skip

    def mean_moments(self, trust: torch.Tensor | None = None) -> torch.Tensor:
        """Give the mean running moments of those let in, float32[q], by their examples.

        Args:
            trust: float[m] of the aggregator; who was left out by it is left out here, too.
        """
        self._close()
        weights = self._sizes.double()
        if trust is not None and bool((trust > 0).any()):
            weights = weights * (trust > 0)
        return ((weights / weights.sum()) @ self._moments.double()).float()

    def _close(self) -> None:
        """Move the rows of those let in together; nobody comes after that."""
        self._rows, there = {}, self._there
        self._updates, self._moments = _rows(self._updates, there), _rows(self._moments, there)
        self._masks = None if self._masks is None else _rows(self._masks, there)
        self._sizes, self._ids, self._there = self._sizes[there], self._ids[there], there[there]

    def _row(self, client: int) -> int:
        """The row of a client that was asked and has not answered yet."""
        if client not in self._rows:
            asked = client in self.granted
            raise DataError("it is late" if asked else "it was not asked in this round")
        if bool(self._there[self._rows[client]]):
            raise DataError("it has answered already; its first answer counts")
        return self._rows[client]

    def _believed(self, client: int, size: object) -> float:
        """The number of examples that a client is believed to have."""
        claimed = cast(float, size)
        if isinstance(size, bool) or not isinstance(size, numbers.Real) or not claimed >= 1:
            raise DataError(f"expected a number of examples of 1 or more, found {_short(size)}")
        most = self.granted[client]
        if claimed > most:
            self.bounded.append(Noticed(client, f"says {_short(size)} examples, counts as {most}"))
        return float(min(claimed, most))

    def _running(self, moments: object) -> torch.Tensor:
        """The running moments that a client sends; variances are not negative."""
        q = self.form.moments_size
        if q == 0 and moments is None:
            return torch.zeros(0)
        kept = vector(moments, "the running moments", q, torch.float32)
        start = 0
        for part in self.form.moments:
            piece = kept[start : start + part.size]
            start += part.size
            if part.key.endswith("running_var") and bool((piece < 0).any()):
                raise DataError(f"{part.key} holds a variance below 0")
        return kept

    def _mask(self, mask: object) -> torch.Tensor | None:
        """The mask that a client sends; None where none is asked for."""
        if not self.masked:
            return None
        trained = vector(mask, "the mask", self.form.size, torch.bool)
        held = int(trained.sum())
        if self.mask_size is not None and held > self.mask_size:
            raise DataError(f"the mask holds {held} numbers, expected at most {self.mask_size}")
        return trained


def vector(value: object, what: str, size: int, dtype: torch.dtype) -> torch.Tensor:
    """Give a client's vector, checked: a dense tensor in memory, of a length and type, finite.

    Raises:
        DataError: with what was expected and what was sent.
    """
    tensor = _dense(value, what)
    if tensor.dtype != dtype or tensor.shape != (size,):
        raise DataError(
            f"expected {what} as {dtype} of shape [{size}], found {tensor.dtype} of shape "
            f"{list(tensor.shape)[:8]}"
        )
    _finite(tensor, what)
    return tensor


def by_name(state: object, parts: tuple[Part, ...]) -> dict[str, torch.Tensor]:
    """Give a client's tensors by name, checked: the keys, shapes and types of the model, finite.

    Raises:
        DataError: with what was expected and what was sent.
    """
    if not isinstance(state, Mapping):
        raise DataError(f"expected tensors by name, found {type(state).__name__}")
    expected = {part.key for part in parts}
    absent, other = sorted(expected - set(state)), [key for key in state if key not in expected]
    if absent or other:
        raise DataError(
            f"expected {len(expected)} tensors; {len(absent)} are absent "
            f"({_short(absent[:1])}) and {len(other)} are others ({_short(other[:1])})"
        )
    for part in parts:
        tensor = _dense(state[part.key], part.key)
        if tensor.dtype != part.dtype or tuple(tensor.shape) != part.shape:
            raise DataError(
                f"expected {part.key} as {part.dtype} of shape {list(part.shape)}, found "
                f"{tensor.dtype} of shape {list(tensor.shape)[:8]}"
            )
        _finite(tensor, part.key)
    return {part.key: state[part.key] for part in parts}


def _dense(value: object, what: str) -> torch.Tensor:
    """A plain tensor with its numbers in memory."""
    if not isinstance(value, torch.Tensor):
        raise DataError(f"expected {what} as a tensor, found {type(value).__name__}")
    if value.layout != torch.strided or value.is_meta or value.is_quantized:
        raise DataError(f"expected {what} as a dense tensor with its numbers in memory")
    return value.detach()


def _finite(tensor: torch.Tensor, what: str) -> None:
    bad = int((~tensor.isfinite()).sum())
    if bad:
        raise DataError(f"{what} holds {bad} numbers that are not finite")


def _rows(matrix: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
    """The rows that are there; the same memory where all are, moved up in it where some are not."""
    for row, old in enumerate(there.nonzero().flatten().tolist()):
        if row != old:
            matrix[row] = matrix[old]
    return matrix[: int(there.sum())]


def _short(value: object) -> str:
    """A stranger's value in a few plain characters."""
    return ascii(value)[:60]
