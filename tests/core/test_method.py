import dataclasses
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch

from mithridate.core.errors import ContractError, EvidenceWithheld, MethodError, UnknownMethod
from mithridate.core.method import Detector, Method, Repair
from mithridate.core.registry import find, get
from mithridate.core.scores import Scores, Verdict
from mithridate.core.streams import stream
from mithridate.core.threat import ThreatModel
from mithridate.core.view import View


@dataclass(frozen=True)
class Planted(Detector):
    """Answer with whatever a test plants."""

    answer: tuple[float, ...] = (0.0, 1.0)

    def fit(self, view):
        return {"labels": view.labels}

    def score(self, state, view):
        return torch.tensor(self.answer, requires_grad=True)


@dataclass(frozen=True)
class WithMethods(Method):
    """Hold another method."""

    inner: Planted = field(default_factory=Planted)
    rate: float = 0.5


@dataclass(frozen=True)
class ABLWith2Stages(Planted):
    """Have an awkward name."""


@dataclass(frozen=True)
class TwoNames(Planted):
    """Have a name that no rule gives."""

    spelled = "twonames"
    known_as = ("tn", "2n")


@dataclass(frozen=True)
class WithoutVerb(Detector):
    """Forget what a detector does."""


class Below(TwoNames):
    """Inherit no name."""


VIEW = View(labels=torch.tensor([0, 1]))


def test_names_are_the_class_in_kebab_case():
    assert Planted.name() == "planted"
    assert WithMethods.name() == "with-methods"
    assert ABLWith2Stages.name() == "abl-with2-stages"
    assert ABLWith2Stages.names() == ("abl-with2-stages", "ablwith2-stages")
    assert TwoNames.names() == ("twonames", "tn", "2n", "two-names")
    assert Below.names() == ("below",)
    assert Planted.summary() == "Answer with whatever a test plants."


def test_the_configuration_names_methods_inside():
    assert WithMethods().config() == {
        "method": "with-methods",
        "inner": {"method": "planted", "answer": (0.0, 1.0)},
        "rate": 0.5,
    }


def test_judge_gives_scores_free_of_gradients():
    scores = Planted().judge(VIEW)
    assert scores.values.tolist() == [0.0, 1.0]
    assert scores.values.dtype == torch.float64
    assert not scores.values.requires_grad


def test_judge_fits_elsewhere_where_asked():
    class Elsewhere(Planted):
        def score(self, state, view):
            return state["labels"].float()[: len(view.labels)]

    other = View(labels=torch.tensor([5, 6, 7]))
    assert Elsewhere().judge(VIEW, fitted_on=other).values.tolist() == [5, 6]


@pytest.mark.parametrize(
    "answer, message",
    [
        ((0.0,), r"planted must give one score for each of 2 examples, found shape \[1\]"),
        ((0.0, 1.0, 2.0), r"found shape \[3\]"),
        ((0.0, float("nan")), "must be finite, found 1 that are not"),
        ((float("inf"), float("-inf")), "found 2 that are not"),
    ],
)
def test_a_broken_answer_is_caught(answer, message):
    with pytest.raises(ContractError, match=message):
        Planted(answer).judge(VIEW)


def test_a_table_of_scores_is_caught():
    with pytest.raises(ContractError, match=r"float\[n\], found shape \[2, 1\]"):
        Scores(torch.zeros(2, 1))


def test_withheld_evidence_stops_a_detector():
    view = View(labels=torch.tensor([0, 1]), threat=ThreatModel(granted=frozenset()))
    with pytest.raises(EvidenceWithheld, match="labels"):
        Planted().judge(view)


@dataclass(frozen=True)
class Careless(Detector):
    """Answer with something else than tensors."""

    state: object = None
    scores: object = None

    def fit(self, view):
        return self.state

    def score(self, state, view):
        return self.scores


@pytest.mark.parametrize(
    ("detector", "message"),
    [
        (Careless(torch.ones(2)), "careless: expected a dict of tensors from fit.*found Tensor"),
        (Careless(None), "found NoneType"),
        (Careless({}, [0.0, 1.0]), r"careless: expected a torch.Tensor of scores, found list"),
        (Careless({}, np.zeros(2)), "found ndarray"),
        (Careless({}, torch.tensor([0.0, float("nan")])), "careless: scores must be finite"),
        (WithoutVerb(), "without-verb has no fit; every detector must have it.*WithoutVerb of "),
    ],
)
def test_what_is_no_answer_is_named(detector, message):
    with pytest.raises(ContractError, match=message):
        detector.judge(VIEW)


@dataclass(frozen=True)
class Returns(Repair):
    """Give back what a test plants."""

    made: object = None

    def repair(self, view, rng):
        return self.made


def test_a_repair_gives_a_network_of_the_same_form():
    model = torch.nn.Linear(2, 2)
    view, rng = View(model=model), stream(0, "test")
    kept = torch.nn.Linear(2, 2)
    assert Returns(kept).mend(view, rng) is kept
    for made, message in (
        (None, "returns: expected a repaired network, a torch.nn.Module.*found NoneType"),
        (model.state_dict(), "found OrderedDict"),
        (torch.nn.Linear(2, 2).double(), "same form as the given one; 'bias' is missing"),
        (torch.nn.Linear(2, 2, bias=False), "'bias' is missing on one side"),
    ):
        with pytest.raises(ContractError, match=message):
            Returns(made).mend(view, rng)


def test_judge_cannot_be_replaced():
    assert getattr(Detector.judge, "__final__", False)


def test_methods_of_others_are_not_listed():
    assert "planted" not in find(Detector)
    assert all(m.__module__.startswith("mithridate.") for m in find(Method).values())
    assert list(find(Method)) == sorted(find(Method))


def test_a_method_is_built_by_name():
    name, method = next(iter(find(Detector).items()))
    built = get(Detector, name)
    assert type(built) is method
    for f in dataclasses.fields(method)[:1]:
        assert get(Detector, name, **{f.name: getattr(built, f.name)}) == built


def test_a_slip_of_the_pen_gets_a_hint():
    name = next(iter(find(Detector)))
    with pytest.raises(UnknownMethod, match=f"unknown detector '{name}x': did you mean .*{name}"):
        get(Detector, name + "x")
    with pytest.raises(UnknownMethod, match="'qqqq': available: "):
        get(Detector, "qqqq")
    with pytest.raises(MethodError, match=f"{name} has no field 'colour'; its fields: "):
        get(Detector, name, colour="red")


def test_a_verdict_speaks_plainly():
    assert str(Verdict("clean", 0.05, 0.4, 0.01)) == "clean"
    unsure = Verdict("cannot judge", 0.05, None, None, why="no trusted examples")
    assert str(unsure) == "cannot judge: no trusted examples"
