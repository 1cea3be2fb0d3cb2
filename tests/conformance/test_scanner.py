"""What every scanner keeps to, in every domain; no scanner is named here."""

import pytest
import torch

from conformance.worlds import domains, every, labelled, tried_in, variants
from mithridate.core.errors import CannotJudge, EvidenceWithheld
from mithridate.core.scanner import Scanned, Scanner
from mithridate.core.scores import Scores
from mithridate.core.streams import stream
from mithridate.core.threat import EVIDENCE, ThreatModel
from mithridate.core.view import View

DOMAINS = domains()
CASES = [
    (domain, scanner)
    for domain in DOMAINS
    for cls in every(Scanner).values()
    if tried_in(cls, domain)
    for scanner in variants(cls, domain)
]
each = pytest.mark.parametrize("domain, scanner", CASES, ids=lambda v: str(v)[:70])


NETWORKS = {"image": "resnet9:4"}
"""What costs little to search, where the default network is large."""


@pytest.fixture(scope="module")
def worlds():
    """An untrained network of every domain and the examples that the defender trusts."""
    found = {}
    for name, domain in DOMAINS.items():
        data = labelled(name, 3, copies=1)
        network = domain.network(data, NETWORKS.get(name, ""), stream(0, "network"))
        found[name] = domain, network.eval(), data
    return found


def view_of(world, **changes):
    domain, model, data = world
    return View(domain=domain, model=model, clean=data, **changes)


def judged(world, scanner, **changes):
    """What a scanner answers and the evidence that it asked for; skips where it does not apply."""
    view = view_of(world, **changes)
    try:
        return scanner.judge(view, stream(0, "scan")), view.used
    except CannotJudge as reason:
        assert len(str(reason).split()) >= 8, "say why, and what to do next"
        pytest.skip(f"does not apply here: {reason}")


@each
def test_it_says_where_it_comes_from_and_what_it_assumes(domain, scanner):
    assert scanner.paper or "control" in (type(scanner).__doc__ or "").lower()
    assert len(scanner.assumes.split()) >= 4


def test_every_scanner_applies_somewhere():
    if every(Scanner):
        assert {type(scanner) for _, scanner in CASES} == set(every(Scanner).values())


@each
def test_it_scores_what_it_says_it_scores(domain, scanner, worlds):
    scanned, _ = judged(worlds[domain], scanner)
    assert scanned.scores.unit == scanner.unit
    assert len(scanned.scores.values) == (3 if scanner.unit == "class" else 1)
    for name, value in scanned.shown.items():
        assert isinstance(value, torch.Tensor), name
        assert len(value) == 3, f"{name}: one row for each class"
        assert torch.isfinite(value).all(), name


@each
def test_the_same_stream_gives_the_same_scores_and_no_global_randomness_is_used(
    domain, scanner, worlds
):
    before = torch.random.get_rng_state()
    first, _ = judged(worlds[domain], scanner)
    second, _ = judged(worlds[domain], scanner)
    assert torch.equal(first.scores.values, second.scores.values)
    assert torch.equal(before, torch.random.get_rng_state())


@each
def test_the_model_and_the_examples_are_left_as_they_are(domain, scanner, worlds):
    _, model, data = worlds[domain]
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    target_labels = [p.requires_grad for p in model.parameters()]
    prepared = DOMAINS[domain].prepare(data.inputs).clone()
    judged(worlds[domain], scanner)
    assert all(torch.equal(model.state_dict()[name], value) for name, value in weights.items())
    assert [p.requires_grad for p in model.parameters()] == target_labels
    assert all(p.grad is None for p in model.parameters())
    assert torch.equal(DOMAINS[domain].prepare(data.inputs), prepared)
    assert not model.training


@each
def test_it_uses_evidence_of_the_closed_list_and_respects_what_is_withheld(domain, scanner, worlds):
    _, used = judged(worlds[domain], scanner)
    assert used
    assert used <= set(EVIDENCE)
    for name in used:
        threat = ThreatModel(granted=frozenset(EVIDENCE) - {name})
        with pytest.raises(EvidenceWithheld, match=name):
            scanner.judge(view_of(worlds[domain], threat=threat), stream(0, "scan"))


class Silent(torch.nn.Module):
    """A model with the answers of another and without its gradients, as quantised layers are."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, batch):
        return self.model(batch).detach()


@each
def test_who_needs_gradients_refuses_a_model_without_them(domain, scanner, worlds):
    if not scanner.gradients:
        pytest.skip("it needs none")
    judged(worlds[domain], scanner)  # skips where the domain has none either
    kind, model, data = worlds[domain]
    with pytest.raises(CannotJudge, match="gradient"):
        scanner.judge(view_of((kind, Silent(model), data)), stream(0, "scan"))


class Even(Scanner):
    """Planted: gives every class the same."""

    def scan(self, view, rng):
        return Scanned(Scores(torch.ones(view.classes), unit="class"))


def test_the_same_score_for_every_class_is_no_answer(worlds):
    with pytest.raises(CannotJudge, match="nothing was measured"):
        Even().judge(view_of(worlds["image"]), stream(0, "scan"))
