"""A method is a value: a frozen dataclass with one verb.

Its fields are its hyper-parameters, its repr, its command-line flags, its documentation table and
its cache key. The framework verifies; the method computes.
Axes: n examples.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, TypeAlias, final

import numpy as np
import torch
from torch import nn

from mithridate.core.data import Dataset, Inputs, Poisoned, leave_untouched
from mithridate.core.domain import Domain
from mithridate.core.errors import ContractError, MethodError
from mithridate.core.names import earliest, kebab
from mithridate.core.objective import Objective
from mithridate.core.runtime import Runtime
from mithridate.core.scores import Scores
from mithridate.core.training_run import TrainingRun
from mithridate.core.view import View

State: TypeAlias = dict[str, torch.Tensor]
"""What `fit` learnt, as plain tensors."""


class Method:
    """A configured algorithm. Subclasses are frozen dataclasses; the constructor only stores."""

    kind: ClassVar[str]
    paper: ClassVar[str] = ""
    """Where the method was published; empty for a control."""
    links: ClassVar[tuple[str, ...]] = ()
    """Where that can be read: a URL for each paper, as far as one is known for certain."""
    known_as: ClassVar[tuple[str, ...]] = ()
    """Other names that the field has for it, by which `registry.get` finds it, too."""
    spelled: ClassVar[str] = ""
    """Its name where the rule of `name` gives another than the field's, as for TeCo."""
    space: ClassVar[Mapping[str, tuple[Any, ...]]] = {}
    """The values that tuning may try, by field; the default is among them."""
    adapted: ClassVar[str] = ""
    """For a defence, the name of an attack that is made to pass it; empty where none is known."""

    @classmethod
    def name(cls) -> str:
        """The class name in kebab case: ActivationClustering is activation-clustering."""
        return vars(cls).get("spelled") or kebab(cls.__name__)

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Every name by which it is found: its own, those of `known_as`, and its earliest."""
        return tuple(dict.fromkeys((cls.name(), *cls.aliases(), earliest(cls.__name__))))

    @classmethod
    def aliases(cls) -> tuple[str, ...]:
        """The other names that the field has for it; the earliest spelling is found, not told."""
        return tuple(vars(cls).get("known_as", ()))

    @classmethod
    def summary(cls) -> str:
        """The first line of the docstring: one plain sentence."""
        return (inspect.getdoc(cls) or "").partition("\n")[0]

    def config(self) -> dict[str, Any]:
        """The method's name and fields as plain values, methods inside it included."""
        return {"method": self.name(), **_plain_fields(self)}


def lacking(method: Method, verb: str) -> ContractError:
    """The error of a method without the verb of its kind."""
    return ContractError(
        f"{method.name()} has no {verb}; every {method.kind} must have it: write it in the class "
        f"{type(method).__name__} of {type(method).__module__}"
    )


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
        raise lacking(self, "__call__")

    def divided(self, parts: int) -> tuple[Trigger, ...]:
        """Give parts of the trigger, for attackers who share it between them.

        Raises:
            MethodError: where it is not divided.
        """
        raise MethodError(
            f"{self.name()} cannot be divided among attackers; take a trigger that can, such as "
            "plus-trigger"
        )


class LearntTrigger(Trigger):
    """A trigger that is learnt from data before it can stamp anything."""

    def learn(
        self,
        data: Dataset,
        target_labels: torch.Tensor,
        rng: np.random.Generator,
        runtime: Runtime | None = None,
    ) -> State:
        """Learn from clean data what `stamp` needs, as plain tensors.

        Args:
            target_labels: int64[n], the label that the attacker wants for each example; its own
                where the attack does not aim at it.
        """
        raise lacking(self, "learn")

    def uses(self, n: int) -> int:
        """How many of n examples are learnt from: all, or as many as the setting `examples`."""
        return min(n, int(getattr(self, "examples", n)))

    def stamp(self, inputs: Inputs, rng: np.random.Generator, state: State) -> Inputs:
        """Stamp every input with what was learnt; see `Trigger`."""
        raise lacking(self, "stamp")

    @final
    def __call__(self, inputs: Inputs, rng: np.random.Generator) -> Inputs:
        """Refuse: raises MethodError, since nothing was learnt."""
        raise MethodError(
            f"{self.name()} must learn first: state = attack.learn(data, rng), and then "
            "attack.poison(data, rng, state) and attack.triggered_test(test, rng, state)"
        )


class Attack(Method):
    """An attacker who changes training data."""

    kind = "attack"
    controls: ClassVar[Literal["data", "training", "weights"]] = "data"
    """What the attacker must have in hand; who only holds data changes some."""

    @property
    def learns(self) -> bool:
        """Whether `learn` has anything to do."""
        return False

    def learn(
        self, data: Dataset, rng: np.random.Generator, runtime: Runtime | None = None
    ) -> State:
        """Learn what the attack needs before it changes anything; {} where it needs nothing."""
        return {}

    def poison(
        self, data: Dataset, rng: np.random.Generator, state: State | None = None
    ) -> Poisoned:
        """Poison training data; the argument is left untouched. state: of `learn`."""
        raise lacking(self, "poison")

    def triggered_test(
        self, data: Dataset, rng: np.random.Generator, state: State | None = None
    ) -> Dataset:
        """Give triggered test data with the labels that the attacker wants.

        Rows whose true label already is the wanted one, or that the attack does not aim at, are
        left out; ids say which rows of `data` remain. The one home of the attack success rate.

        Args:
            state: of `learn`, or of `WeightsAttack.implant`.
        """
        raise lacking(self, "triggered_test")


class TrainingAttack(Attack):
    """An attacker who also trains the model, and hands it over with the data."""

    controls = "training"

    def objective(
        self, poisoned: Poisoned, model: nn.Module, rng: np.random.Generator
    ) -> Objective:
        """Give what the attacker's training of `model` on `poisoned.data` minimises."""
        raise lacking(self, "objective")


@dataclasses.dataclass(frozen=True, eq=False)
class Implanted:
    """A model with a backdoor in its weights, and what `triggered_test` needs to spring it."""

    model: nn.Module
    state: State


class WeightsAttack(Attack):
    """An attacker who changes the weights of a trained model and leaves the data alone."""

    controls = "weights"

    def poison(
        self, data: Dataset, rng: np.random.Generator, state: State | None = None
    ) -> Poisoned:
        """Give the data as they are: there is nothing in them to find."""
        return leave_untouched(data)

    def implant(
        self,
        model: nn.Module,
        data: Dataset,
        domain: Domain,
        rng: np.random.Generator,
        runtime: Runtime | None = None,
    ) -> Implanted:
        """Give a changed copy of `model`, of the same form; the argument is left untouched.

        Args:
            data: clean examples that the attacker has.
        """
        raise lacking(self, "implant")


class Detector(Method):
    """A judge of samples, written on the evidence it needs."""

    kind = "detector"
    assumes: ClassVar[str] = ""
    """What must hold for the method to see a backdoor, in one plain sentence."""

    def fit(self, view: View) -> State:
        """Learn from a view what `score` needs; a method that needs nothing returns {}."""
        raise lacking(self, "fit")

    def score(self, state: State, view: View) -> torch.Tensor:
        """Score every example of a view, float[n], larger is more suspicious."""
        raise lacking(self, "score")

    @final
    def judge(
        self, view: View, fitted_on: View | None = None, state: State | None = None
    ) -> Scores:
        """Fit on one view (by default the same), score another, and check the contract.

        Args:
            state: What was fitted already; then nothing is fitted.

        Raises:
            ContractError: where the scores have the wrong shape or are not finite.
        """
        if state is None:
            state = self.fit(fitted_on or view)
        if not isinstance(state, dict):
            raise ContractError(
                f"{self.name()}: expected a dict of tensors from fit, {{}} where there is nothing "
                f"to keep, found {type(state).__name__}"
            )
        values = self.scored(state, view)
        bad = int((~torch.isfinite(values)).sum())
        if bad:
            raise ContractError(f"{self.name()}: scores must be finite, found {bad} that are not")
        return Scores(values)

    @final
    def scored(self, state: State, view: View) -> torch.Tensor:
        """Score with what was fitted before, float64[n] without gradients, and check the contract.

        Raises:
            ContractError: where the answer is no tensor with one score for each example.
        """
        values: object = self.score(state, view)
        if not isinstance(values, torch.Tensor):
            raise ContractError(
                f"{self.name()}: expected a torch.Tensor of scores, found {type(values).__name__}"
            )
        expected = len(view.labels)
        if values.shape != (expected,):
            raise ContractError(
                f"{self.name()} must give one score for each of {expected} examples, "
                f"found shape {list(values.shape)}"
            )
        return values.detach().double().cpu()


@dataclasses.dataclass(frozen=True, eq=False)
class Trained:
    """A trained model and what was recorded on the way.

    Attributes:
        losses: float32[n, epochs], of each training example as it was visited (augmented, before
            the step it took part in).
        cost: seconds, and examples passed forward and backward.
        notes: what a trainer found out about the examples, by name.
    """

    model: nn.Module
    losses: torch.Tensor
    cost: dict[str, float]
    notes: dict[str, torch.Tensor] = dataclasses.field(default_factory=dict)


class Trainer(Method):
    """A way to train a fresh or given network on data."""

    kind = "trainer"
    takes_objective: ClassVar[bool] = False
    """Whether `train` minimises an objective that a run brings; most have one of their own."""
    only: ClassVar[bool] = False
    """Whether nothing else trains what `form` gives, as no descent grows a tree."""

    def form(self, model: nn.Module) -> nn.Module:
        """Give the network in the form that this trainer hands over: as it is, by default.

        A trainer that replaces layers, or that stamps what arrives, does so here and nowhere else,
        so that kept weights find their network again. `train` is given a network in this form.
        """
        return model

    def train(
        self,
        model: nn.Module,
        data: Dataset,
        domain: Domain,
        rng: np.random.Generator,
        run: TrainingRun | None = None,
    ) -> Trained:
        """Train `model` in place on `data` and give it back with what was recorded.

        Args:
            model: In the form of `form`.
            data: What is learnt from; some of it may be poisoned.
            domain: That the data are of.
            rng: Decides every bit, together with the arguments before it.
            run: Where it computes, who is told, where it is kept; see `TrainingRun`.

        Raises:
            MethodError: Where a setting is out of range, or the run brings an objective that this
                trainer does not take.
        """
        raise lacking(self, "train")

    @final
    def checked(self, run: TrainingRun | None) -> TrainingRun:
        """Give the run, by default an ordinary one; refuse an objective as `train` says."""
        run = run or TrainingRun()
        if run.objective is not None and not self.takes_objective:
            raise MethodError(
                f"{self.name()} has an objective of its own and takes no other; "
                "leave the objective out of the run, or take another trainer"
            )
        return run


class Repair(Method):
    """A way to take a backdoor out of a trained model."""

    kind = "repair"

    def repair(self, view: View, rng: np.random.Generator) -> nn.Module:
        """Give a repaired copy of `view.model`; the model of the view is left untouched."""
        raise lacking(self, "repair")

    @final
    def mend(self, view: View, rng: np.random.Generator) -> nn.Module:
        """Repair, and check that a network of the same form came back.

        Raises:
            ContractError: where it is no network, or has other weights than the one of the view.
        """
        result: object = self.repair(view, rng)
        if not isinstance(result, nn.Module):
            raise ContractError(
                f"{self.name()}: expected a repaired network, a torch.nn.Module, from repair, "
                f"found {type(result).__name__}"
            )
        given, made = (_form(model) for model in (view.model, result))
        if given != made:
            other = min(name for name, _ in given.items() ^ made.items())
            raise ContractError(
                f"{self.name()}: expected a network of the same form as the given one; {other!r} "
                "is missing on one side, or of another shape or type"
            )
        return result


def _form(model: nn.Module) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
    """Names, shapes and types of what a network keeps."""
    return {name: (tuple(v.shape), v.dtype) for name, v in model.state_dict().items()}
