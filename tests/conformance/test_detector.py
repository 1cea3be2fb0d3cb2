"""What every detector keeps to, in every domain; no detector is named here."""

import dataclasses
import functools

import pytest
import torch

from conformance.worlds import SMALL, domains, every, labelled, tried_in, variants
from mithridate.core.data import Dataset
from mithridate.core.errors import CannotJudge, EvidenceWithheld, MethodError
from mithridate.core.inference import forward
from mithridate.core.method import Detector
from mithridate.core.runtime import Runtime
from mithridate.core.streams import stream
from mithridate.core.threat import EVIDENCE, ThreatModel
from mithridate.core.view import View

DOMAINS = domains()


def brief(detector: Detector, domain: str) -> Detector:
    """The same detector; one that trains networks trains a small one, once and briefly."""
    if not hasattr(detector, "trainings"):
        return detector
    return dataclasses.replace(detector, trainings=1, epochs=1, network=SMALL.get(domain, ""))


CASES = [
    (domain, brief(detector, domain))
    for domain in DOMAINS
    for cls in every(Detector).values()
    if tried_in(cls, domain)
    for detector in variants(cls, domain)
]


def each(test):
    """Try every detector in every domain; one that cannot judge there must say why."""

    @functools.wraps(test)
    def tried(*arguments, **named):
        try:
            test(*arguments, **named)
        except CannotJudge as reason:
            assert len(str(reason).split()) >= 8, "say why, and what to do next"
            pytest.skip(f"does not apply here: {reason}")

    return pytest.mark.parametrize("domain, detector", CASES, ids=lambda v: str(v)[:70])(tried)


NUMBERS = ("features", "logits", "losses")


class World:
    """A data set, an untrained network and all evidence about it, computed once."""

    def __init__(self, domain: str, data: Dataset) -> None:
        self.domain, self.data = DOMAINS[domain], data
        self.model = self.domain.network(data, SMALL.get(domain, ""), stream(0, "network"))
        prepared = self.domain.prepare(data.inputs)
        self.features, self.logits = forward(self.model, prepared, Runtime())
        noise = torch.from_numpy(stream(0, "losses").exponential(1.0, (len(data), 10))).float()
        self.losses = noise / torch.arange(1, 11)
        self.trusted = labelled(domain, len(data.classes), copies=2)

    def view(self, rows: torch.Tensor | None = None, **changes) -> View:
        """The evidence about some rows."""
        rows = torch.arange(len(self.data)) if rows is None else rows
        given = {
            name: getattr(self, name)[rows].clone() for name in ("features", "logits", "losses")
        }
        place = {"domain": self.domain, "model": self.model, "clean": self.trusted}
        return View(self.data.subset(rows), **{**place, **given, **changes})


@pytest.fixture(scope="module")
def worlds():
    """An ordinary world of every domain: 120 examples in three classes."""
    return {name: World(name, labelled(name, 3, copies=3)) for name in DOMAINS}


def evidence(detector, world):
    """What a detector asks for; asked once for each detector and domain."""
    key = world.domain.name, repr(detector)
    if key not in USED:
        view = world.view()
        detector.judge(view)
        USED[key] = view.used
    return USED[key]


USED: dict[tuple[str, str], set[str]] = {}


def test_every_detector_is_tried():
    assert {type(detector) for _, detector in CASES} == set(every(Detector).values())


@pytest.mark.parametrize("method", every(Detector).values(), ids=lambda m: m.name())
def test_every_detector_applies_somewhere(method, worlds):
    reasons = []
    for domain, detector in CASES:
        if type(detector) is method:
            try:
                detector.judge(worlds[domain].view())
                return
            except CannotJudge as reason:
                reasons.append(str(reason))
    pytest.fail(f"it judges nowhere: {reasons}")


@each
def test_it_says_where_it_comes_from_and_what_it_assumes(domain, detector):
    assert detector.paper or "control" in (type(detector).__doc__ or "").lower()
    assert len(detector.assumes.split()) >= 4


@each
def test_it_gives_one_finite_score_for_each_example(domain, detector, worlds):
    scores = detector.judge(worlds[domain].view())
    assert scores.values.shape == (120,)
    assert scores.unit == "sample"


@each
def test_it_uses_evidence_of_the_closed_list_and_respects_what_is_withheld(
    domain, detector, worlds
):
    used = evidence(detector, worlds[domain])
    assert used <= set(EVIDENCE)
    for name in used:
        threat = ThreatModel(granted=frozenset(EVIDENCE) - {name})
        with pytest.raises(EvidenceWithheld, match=name):
            detector.judge(worlds[domain].view(threat=threat))


@each
def test_the_same_view_gives_the_same_scores(domain, detector, worlds):
    before = torch.random.get_rng_state()
    first, second = (detector.judge(worlds[domain].view()).values for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(before, torch.random.get_rng_state()), "global randomness was used"


@each
def test_nothing_that_it_is_shown_is_changed(domain, detector, worlds):
    world, view = worlds[domain], worlds[domain].view()
    weights = {name: value.clone() for name, value in world.model.state_dict().items()}
    prepared = world.domain.prepare(world.data.inputs).clone()
    detector.judge(view)
    for name in NUMBERS:
        assert torch.equal(getattr(view, name), getattr(world, name)), name
    assert torch.equal(view.labels, world.data.labels)
    assert torch.equal(world.domain.prepare(view.inputs), prepared)
    assert all(torch.equal(world.model.state_dict()[n], v) for n, v in weights.items())


def clusters():
    """Three classes of 200, one in five of each far off: all that numbers can show clearly."""
    rng, labels = stream(0, "clusters"), torch.arange(600) % 3
    features = torch.from_numpy(rng.standard_normal((600, 12))).float() + 10 * labels[:, None]
    odd = torch.arange(600) % 5 == 0
    features[:, 0] += 9 * odd
    losses = torch.from_numpy(rng.exponential(1.0, (600, 10))).float()
    losses[odd] /= 10
    return {"labels": labels, "features": features, "logits": features[:, :3], "losses": losses}


@each
def test_the_order_of_the_examples_does_not_matter(domain, detector, worlds):
    if not detector.paper:
        pytest.skip("a control may score by position")
    if evidence(detector, worlds[domain]) <= {"labels", *NUMBERS}:
        known = clusters()
        rows = torch.from_numpy(stream(0, "order").permutation(600))
        views = View(**known), View(**{name: value[rows] for name, value in known.items()})
    else:
        rows = torch.from_numpy(stream(0, "order").permutation(120))
        views = worlds[domain].view(), worlds[domain].view(rows)
    straight, shuffled = (detector.judge(view).values for view in views)
    torch.testing.assert_close(shuffled, straight[rows], rtol=1e-3, atol=1e-5 * span(straight))


def span(scores):
    """The range of the scores, for tolerances relative to it."""
    return max(float(scores.max() - scores.min()), 1e-6)


@each
def test_what_was_fitted_scores_other_examples(domain, detector, worlds):
    world = worlds[domain]
    state = detector.fit(world.view(torch.arange(90)))
    assert all(type(value) is torch.Tensor for value in state.values())
    kept = {name: value.clone() for name, value in state.items()}
    scores = detector.score(state, world.view(torch.arange(90, 120)))
    assert scores.shape == (30,)
    assert torch.isfinite(scores).all()
    assert all(torch.equal(state[name], value) for name, value in kept.items())


@each
def test_a_score_does_not_depend_on_the_others_that_are_scored(domain, detector, worlds):
    """Or a calibration would compare statistics that were fitted on different data."""
    if not detector.paper:
        pytest.skip("a control may score by position")
    world = worlds[domain]
    state = detector.fit(world.view(torch.arange(90)))
    together = detector.score(state, world.view(torch.arange(90, 120)))
    alone = detector.score(state, world.view(torch.arange(95, 100)))
    torch.testing.assert_close(
        alone.double(), together[5:10].double(), rtol=1e-3, atol=1e-5 * span(together)
    )


def family(name, domain):
    """A data set at the edge of what a detector meets."""
    data = labelled(domain, 3, copies=3)
    if name == "a class of one":
        return data.subset((data.labels != 2) | (torch.arange(120) == 2))
    if name == "one class only":
        return data.subset(data.labels == 1)
    if name == "an empty class":
        return data.subset(data.labels != 1)
    if name == "identical inputs":
        return data.with_inputs(data.subset([0] * 120).inputs)
    return data.subset(torch.arange({"two examples": 2, "one example": 1}[name]))


REGULAR = ("a class of one", "one class only", "an empty class", "identical inputs")
TINY = ("two examples", "one example")


@each
@pytest.mark.parametrize("name", REGULAR)
def test_it_scores_every_regular_family(domain, detector, name):
    world = World(domain, family(name, domain))
    assert len(detector.judge(world.view()).values) == len(world.data)


@each
@pytest.mark.parametrize("name", TINY)
def test_it_scores_a_tiny_data_set_or_says_what_it_needs(domain, detector, name):
    world = World(domain, family(name, domain))
    try:
        assert len(detector.judge(world.view()).values) == len(world.data)
    except MethodError as error:
        assert len(str(error)) > 20


@each
def test_a_class_that_was_not_fitted_is_scored_or_refused(domain, detector, worlds):
    world = worlds[domain]
    state = detector.fit(world.view((world.data.labels != 2).nonzero().flatten()))
    try:
        assert torch.isfinite(detector.score(state, world.view())).all()
    except MethodError as error:
        assert len(str(error)) > 20


@each
@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_it_survives_evidence_of_any_size(domain, detector, worlds, scale):
    world = worlds[domain]
    if not evidence(detector, world) <= {"labels", *NUMBERS}:
        pytest.skip("it computes its own numbers from the inputs")
    scaled = {name: getattr(world, name) * scale for name in NUMBERS}
    detector.judge(View(labels=world.data.labels, **scaled))


@each
def test_it_survives_more_dimensions_than_examples(domain, detector, worlds):
    world = worlds[domain]
    if not evidence(detector, world) <= {"labels", *NUMBERS}:
        pytest.skip("it computes its own numbers from the inputs")
    rows, wide = torch.arange(12), torch.randn(12, 300, generator=torch.Generator().manual_seed(0))
    known = {"logits": world.logits[rows], "losses": world.losses[rows]}
    detector.judge(View(labels=world.data.labels[rows], features=wide, **known))
