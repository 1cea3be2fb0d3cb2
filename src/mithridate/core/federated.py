"""The contracts of a federation: what a server sees of a round, and what it makes of it.

Axes: m clients of a round, p numbers of a model's parameters, c classes, k inputs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, NamedTuple, TypeAlias, final

import torch

from mithridate.core.errors import ContractError, MethodError
from mithridate.core.flat import LastLayer
from mithridate.core.method import Method, State, lacking

Answers: TypeAlias = Callable[[torch.Tensor], torch.Tensor]
"""Asks the global model, moved by an update float32[p], about k inputs of noise: float32[k, c].

Gives probabilities; the inputs are the same in every call of a round.
"""

NEEDS = ("root", "masks", "head", "answers")
"""What an aggregator may need of a round beside updates: fields of `Round` that may be None."""


class Round(NamedTuple):
    """What a server knows once the clients of a round have answered.

    Attributes:
        updates: float32[m, p], trained minus global parameters; finite, since the intake has left
            out what is not.
        sizes: float32[m], examples that each client is believed to have; positive.
        ids: int64[m], who they are, in no order; each once.
        number: of the round, from 0.
        segments: first and last-plus-one number of each tensor among the p, as `FlatForm` says.
        seed: decides all that the aggregator draws in this round.
        masks: bool[m, p], the numbers that each client trained; None where all train all.
        root: float32[p], the update of trusted data that the server has; None where it has none.
        head: where the last linear layer lies; None where it is not known.
        answers: asks a moved model about noise; None where the server cannot.
    """

    updates: torch.Tensor
    sizes: torch.Tensor
    ids: torch.Tensor
    number: int
    segments: tuple[tuple[int, int], ...] = ()
    seed: int = 0
    masks: torch.Tensor | None = None
    root: torch.Tensor | None = None
    head: LastLayer | None = None
    answers: Answers | None = None


class Aggregated(NamedTuple):
    """What an aggregator makes of a round.

    Attributes:
        step: float32[p], what the global parameters move by, before the server's rate.
        state: what the next round is given.
        trust: float32[m], the weight of each client against the largest, its examples apart: 0 left
            out, 1 counted in full; None where nobody is weighed.
        suspicion: float64[m], what clients are ranked by, larger is more suspicious; None where
            nobody is ranked. Where it is None and trust is not, clients are ranked by 1 - trust.
    """

    step: torch.Tensor
    state: State
    trust: torch.Tensor | None = None
    suspicion: torch.Tensor | None = None


class Aggregator(Method):
    """A rule by which a server makes one step of the updates of its clients.

    No field holds how many attackers there are. What is assumed of them is a guess of the
    defender, with a default by the number of clients.
    """

    kind = "aggregator"
    needs: ClassVar[frozenset[str]] = frozenset()
    """Which of `NEEDS` it cannot do without."""
    obeys: ClassVar[frozenset[str]] = frozenset({"shift", "scale"})
    """Laws of its first step: "shift", the same added to every update is added to the step;
    "scale", updates multiplied by a positive number multiply the step (and the root, if any)."""
    assumes: ClassVar[str] = ""
    """What must hold for it to keep a backdoor out, in one plain sentence."""

    def least(self) -> int:
        """Give the fewest clients that it can make a step of."""
        return 1

    def init(self, p: int) -> State:
        """Give the state before the first round, plain tensors, for p parameters."""
        return {}

    def step(self, state: State, seen: Round) -> Aggregated:
        """Make one step of a round; neither argument is changed."""
        raise lacking(self, "step")

    @final
    def aggregate(self, state: State, seen: Round) -> Aggregated:
        """Make one step, and check the round and the contract.

        Raises:
            MethodError: where there are fewer clients than `least`, or the round lacks what the
                aggregator needs.
            ContractError: where the round is malformed, or the answer is of another form or not
                finite.
        """
        m, p = check_round(seen)
        if m < self.least():
            raise MethodError(
                f"{self.name()} as it is set needs at least {self.least()} clients in a round, "
                f"found {m}; let more take part, or assume fewer attackers"
            )
        absent = sorted(name for name in self.needs if getattr(seen, name) is None)
        if absent:
            raise MethodError(
                f"{self.name()} needs {', '.join(absent)} of every round; give it to the "
                "federation, or take another aggregator"
            )
        with torch.no_grad():
            answer: object = self.step(state, seen)
        return self._checked(answer, m, p)

    def _checked(self, answer: object, m: int, p: int) -> Aggregated:
        """Refuse an answer that breaks the contract."""
        if not isinstance(answer, Aggregated):
            raise ContractError(
                f"{self.name()}: expected Aggregated(step, state, ...) from step, found "
                f"{type(answer).__name__}"
            )
        self._finite("step", answer.step, (p,), torch.float32)
        if answer.trust is not None:
            self._finite("trust", answer.trust, (m,), torch.float32)
        if answer.suspicion is not None:
            self._finite("suspicion", answer.suspicion, (m,), torch.float64)
        if answer.trust is not None and not bool(((answer.trust >= 0) & (answer.trust <= 1)).all()):
            raise ContractError(f"{self.name()}: trust must lie in 0..1")
        if not all(isinstance(value, torch.Tensor) for value in answer.state.values()):
            raise ContractError(f"{self.name()}: a state holds plain tensors and nothing else")
        return answer

    def _finite(self, name: str, value: object, shape: tuple[int, ...], dtype: torch.dtype) -> None:
        """Refuse what is no finite tensor of a shape and type."""
        if not isinstance(value, torch.Tensor) or value.dtype != dtype:
            of = value.dtype if isinstance(value, torch.Tensor) else type(value).__name__
            raise ContractError(f"{self.name()}: {name} must be a tensor of {dtype}, found {of}")
        if value.shape != shape or not bool(value.isfinite().all()):
            raise ContractError(
                f"{self.name()}: {name} must be finite, of shape {list(shape)}; found shape "
                f"{list(value.shape)} with {int((~value.isfinite()).sum())} that are not finite"
            )


def check_round(seen: Round) -> tuple[int, int]:
    """Refuse a malformed round; give its numbers of clients and parameters, m and p.

    Raises:
        ContractError: with what was expected and what was given.
    """
    if seen.updates.ndim != 2 or 0 in seen.updates.shape:
        raise ContractError(
            "expected updates float32[m, p] of one client or more, found shape "
            f"{list(seen.updates.shape)}"
        )
    m, p = seen.updates.shape
    expected: dict[str, tuple[torch.Tensor | None, torch.dtype, tuple[int, ...]]] = {
        "updates": (seen.updates, torch.float32, (m, p)),
        "sizes": (seen.sizes, torch.float32, (m,)),
        "ids": (seen.ids, torch.int64, (m,)),
        "masks": (seen.masks, torch.bool, (m, p)),
        "root": (seen.root, torch.float32, (p,)),
    }
    for name, (value, dtype, shape) in expected.items():
        if value is not None and (value.dtype != dtype or value.shape != shape):
            raise ContractError(
                f"expected {name} of a round as {dtype}{list(shape)}, found "
                f"{value.dtype}{list(value.shape)}"
            )
    for name in ("updates", "sizes", "root"):
        value = getattr(seen, name)
        if value is not None and not _all_finite(value):
            raise ContractError(f"{name} of a round must be finite; the intake leaves out others")
    if not bool((seen.sizes > 0).all()) or len(set(seen.ids.tolist())) != m:
        raise ContractError("expected sizes above 0 and each client once in a round")
    return m, p


def _all_finite(value: torch.Tensor) -> bool:
    """Whether every number is finite; row by row, since the answer for all at once is large."""
    return all(bool(row.isfinite().all()) for row in torch.atleast_2d(value))
