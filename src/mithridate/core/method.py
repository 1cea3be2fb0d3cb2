"""A method is a value: a frozen dataclass with one verb.

Its fields are its hyper-parameters, its repr, its command-line flags, its documentation table and
its cache key. The framework verifies; the method computes.
Axes: n examples.
"""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import inspect
import pkgutil
import re
from collections.abc import Mapping
from typing import Any, ClassVar, TypeAlias, TypeVar, cast, final

import numpy as np
import torch
from torch import nn

from mithridate.core.data import Dataset, Inputs, Poisoned
from mithridate.core.domain import Domain
from mithridate.core.errors import ContractError, MethodError, UnknownMethod
from mithridate.core.objective import Objective
from mithridate.core.runtime import Runtime
from mithridate.core.scores import Scores
from mithridate.core.view import View

State: TypeAlias = dict[str, torch.Tensor]
"""What `fit` learnt, as plain tensors."""

HOMES = ("domains", "attacks", "detectors", "trainers", "repairs")
"""The packages that hold methods."""


class Method:
    """A configured algorithm. Subclasses are frozen dataclasses; the constructor only stores."""

    kind: ClassVar[str]
    paper: ClassVar[str] = ""
    """Where the method was published; empty for a control."""
    space: ClassVar[Mapping[str, tuple[Any, ...]]] = {}
    """The values that tuning may try, by field; the default is among them."""
    adapted: ClassVar[str] = ""
    """For a defence, the name of an attack that is made to pass it; empty where none is known."""

    @classmethod
    def name(cls) -> str:
        """The class name in kebab case: ActivationClustering is activation-clustering."""
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", cls.__name__).lower()

    @classmethod
    def summary(cls) -> str:
        """The first line of the docstring: one plain sentence."""
        return (inspect.getdoc(cls) or "").partition("\n")[0]

    def config(self) -> dict[str, Any]:
        """The method's name and fields as plain values, methods inside it included."""
        return {"method": self.name(), **_plain_fields(self)}


def _plain_fields(value: Any) -> dict[str, Any]:
    return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}


def _plain(value: Any) -> Any:
    """A method becomes its configuration, a dataclass or a sequence its parts."""
    if isinstance(value, Method):
        return value.config()
    if isinstance(value, tuple):
        return tuple(_plain(item) for item in value)
    return _plain_fields(value) if dataclasses.is_dataclass(value) else value


class Trigger(Method):
    """A change to raw inputs that a model can learn to obey."""

    kind = "trigger"

    def __call__(self, inputs: Inputs, rng: np.random.Generator) -> Inputs:
        """Stamp every input: raw to raw, same shape, the argument left untouched."""
        raise NotImplementedError


class Attack(Method):
    """An attacker who changes training data."""

    kind = "attack"

    def poison(self, data: Dataset, rng: np.random.Generator) -> Poisoned:
        """Poison training data; the argument is left untouched."""
        raise NotImplementedError

    def trap(self, data: Dataset, rng: np.random.Generator) -> Dataset:
        """Give triggered test data with the labels that the attacker wants.

        Rows whose true label already is the wanted one, or that the attack does not aim at, are
        left out; ids say which rows of `data` remain. The one home of the attack success rate.
        """
        raise NotImplementedError


class TrainingAttack(Attack):
    """An attacker who also trains the model, and hands it over with the data."""

    def objective(self, poisoned: Poisoned) -> Objective:
        """Give what the attacker's training on `poisoned.data` minimises."""
        raise NotImplementedError


class Detector(Method):
    """A judge of samples, written on the evidence it needs."""

    kind = "detector"
    assumes: ClassVar[str] = ""
    """What must hold for the method to see a backdoor, in one plain sentence."""

    def fit(self, view: View) -> State:
        """Learn from a view what `score` needs; a method that needs nothing returns {}."""
        raise NotImplementedError

    def score(self, state: State, view: View) -> torch.Tensor:
        """Score every example of a view, float[n], larger is more suspicious."""
        raise NotImplementedError

    @final
    def judge(self, view: View, fitted_on: View | None = None) -> Scores:
        """Fit on one view (by default the same), score another, and check the contract.

        Raises ContractError where the scores have the wrong shape or are not finite.
        """
        values = self.score(self.fit(fitted_on or view), view).detach().double().cpu()
        expected = len(view.labels)
        if values.shape != (expected,):
            raise ContractError(
                f"{self.name()} must give one score for each of {expected} examples, "
                f"found shape {list(values.shape)}"
            )
        return Scores(values)


@dataclasses.dataclass(frozen=True, eq=False)
class Trained:
    """A trained model and what was recorded on the way.

    losses: float32[n, epochs], of each training example as it was visited (augmented, before the
    step it took part in); cost: seconds, and examples passed forward and backward.
    """

    model: nn.Module
    losses: torch.Tensor
    cost: dict[str, float]


class Trainer(Method):
    """A way to train a fresh or given network on data."""

    kind = "trainer"

    def train(
        self,
        model: nn.Module,
        data: Dataset,
        domain: Domain,
        rng: np.random.Generator,
        runtime: Runtime | None = None,
    ) -> Trained:
        """Train `model` in place on `data` and give it back with what was recorded."""
        raise NotImplementedError


class Repair(Method):
    """A way to take a backdoor out of a trained model."""

    kind = "repair"

    def repair(self, view: View, rng: np.random.Generator) -> nn.Module:
        """Give a repaired copy of `view.model`; the model of the view is left untouched."""
        raise NotImplementedError


M = TypeVar("M", bound=Method)


def find(kind: type[M]) -> dict[str, type[M]]:
    """Find every method of a kind, by name, in alphabetical order."""
    for home in HOMES:
        package = importlib.import_module(f"mithridate.{home}")
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    found: dict[str, type[M]] = {}
    queue: list[type[M]] = list(kind.__subclasses__())
    while queue:
        method = queue.pop()
        queue += method.__subclasses__()
        if not method.__module__.startswith(tuple(f"mithridate.{home}." for home in HOMES)):
            continue  # a base class, the referee's own, or a method of somebody's tests
        if not inspect.isabstract(method) and dataclasses.is_dataclass(method):
            found[method.name()] = method
    return dict(sorted(found.items()))


def get(kind: type[M], name: str, **fields: Any) -> M:
    """Build a method by name with some of its fields.

    Raises UnknownMethod with the nearest names, MethodError where a field does not exist.
    """
    methods = find(kind)
    if name not in methods:
        near = difflib.get_close_matches(name, methods, n=3)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        raise UnknownMethod(f"unknown {kind.kind} {name!r}: {hint}available: {', '.join(methods)}")
    method = methods[name]
    known = {f.name for f in dataclasses.fields(cast(Any, method))}
    wrong = sorted(set(fields) - known)
    if wrong:
        raise MethodError(f"{name} has no field {wrong[0]!r}; its fields: {sorted(known)}")
    return method(**fields)
