"""What every domain keeps to; no domain is named here."""

import dataclasses
import importlib

import numpy as np
import pytest
import torch

from conformance.worlds import (
    EDGES,
    ORDINARY,
    Ready,
    copy,
    domains,
    labelled,
    modules_of,
    same,
    triggers,
)
from mithridate.core.domain import Domain
from mithridate.core.errors import DataError, MethodError
from mithridate.core.runtime import Runtime
from mithridate.core.streams import stream, torch_generator
from mithridate.core.view import forward, last_linear

DOMAINS = domains()


def networks():
    """Every (domain, network); the empty name is the default network."""
    for name in DOMAINS:
        yield name, ""
        if "networks" in {m.name for m in modules_of(f"mithridate.domains.{name}")}:
            home = importlib.import_module(f"mithridate.domains.{name}.networks")
            yield from ((name, network) for network in home.NETWORKS)


each = pytest.mark.parametrize("name", DOMAINS)
network = pytest.mark.parametrize("name, architecture", list(networks()))


def built(name, architecture, classes=4, seed=0):
    data = labelled(name, classes)
    return DOMAINS[name].network(data, architecture, stream(seed, "network"))


@each
def test_it_keeps_the_contract(name):
    domain = DOMAINS[name]
    assert isinstance(domain, Domain)
    assert domain.name == name
    assert domain.__dataclass_params__.frozen
    assert hash(domain) == hash(dataclasses.replace(domain))
    assert name in ORDINARY, "tests/conformance/worlds.py needs examples of the domain"


@each
def test_prepare_gives_one_row_for_each_input(name):
    for family, inputs in {"ordinary": ORDINARY[name], **EDGES[name]}.items():
        prepared = DOMAINS[name].prepare(inputs)
        assert isinstance(prepared, torch.Tensor), family
        assert len(prepared) == len(inputs), family
        assert torch.equal(prepared, DOMAINS[name].prepare(inputs)), family


@each
def test_prepare_treats_every_input_alone(name):
    domain, inputs = DOMAINS[name], ORDINARY[name]
    assert torch.equal(domain.prepare(inputs)[3:5], domain.prepare(inputs[3:5]))


@each
@pytest.mark.parametrize(
    "wrong", [None, 3, [1, 2], torch.zeros(4), np.zeros((4, 2)), torch.zeros(2, 3, 8, 8)], ids=str
)
def test_prepare_refuses_what_is_not_of_the_domain(name, wrong):
    with pytest.raises(DataError):
        DOMAINS[name].prepare(wrong)


@each
@pytest.mark.parametrize("verb", ["augment", "distort"])
def test_a_variation_keeps_form_and_argument_and_obeys_its_stream(name, verb):
    domain = DOMAINS[name]
    for family, inputs in {"ordinary": ORDINARY[name], **EDGES[name]}.items():
        prepared = domain.prepare(inputs)
        before = prepared.clone()
        first, second = (
            getattr(domain, verb)(prepared, torch_generator(stream(1, verb))) for _ in range(2)
        )
        assert first.shape == prepared.shape, family
        assert first.dtype == prepared.dtype, family
        assert torch.equal(first, second), family
        assert torch.equal(prepared, before), family


@each
def test_the_strong_variation_changes_every_ordinary_input_and_differs_by_draw(name):
    prepared = DOMAINS[name].prepare(ORDINARY[name])
    first, second = (
        DOMAINS[name].distort(prepared, torch_generator(stream(seed, "strong"))) for seed in (1, 2)
    )
    assert (first != prepared).flatten(1).any(1).all()
    assert (first != second).any()


@each
def test_no_change_differs_by_nothing_on_every_measure(name):
    """Whatever the inputs are, a measure has one value that means no change."""
    domain = DOMAINS[name]
    nothing = {m: v[0] for m, v in domain.difference(ORDINARY[name], ORDINARY[name]).items()}
    assert nothing
    for family, inputs in {"ordinary": ORDINARY[name], **EDGES[name]}.items():
        found = domain.difference(inputs, copy(inputs))
        assert found.keys() == nothing.keys(), family
        for measure, values in found.items():
            assert values.dtype == torch.float64, (family, measure)
            assert values.shape == (len(inputs),), (family, measure)
            assert torch.equal(values, nothing[measure].expand(len(inputs))), (family, measure)


@pytest.mark.parametrize("name, trigger", triggers(), ids=str)
def test_what_a_network_sees_of_a_trigger_some_measure_sees_too(name, trigger):
    domain, inputs = DOMAINS[name], ORDINARY[name]
    before = copy(inputs)
    stamped = Ready(trigger)(inputs, stream(0, "trigger"))
    nothing = domain.difference(inputs, inputs)
    found = domain.difference(inputs, stamped)
    assert same(inputs, before), "the inputs were changed"
    moved = torch.stack([found[measure] != nothing[measure] for measure in found]).any(0)
    seen = (domain.prepare(stamped) != domain.prepare(inputs)).flatten(1).any(1)
    assert all(torch.isfinite(values).all() for values in found.values())
    assert torch.equal(moved | seen, moved)


@each
def test_inputs_without_a_twin_are_refused(name):
    inputs = ORDINARY[name]
    for wrong in (inputs[:-1], None):
        with pytest.raises(DataError):
            DOMAINS[name].difference(inputs, wrong)


@network
def test_a_network_gives_one_finite_logit_for_each_class(name, architecture):
    model = built(name, architecture)
    prepared = DOMAINS[name].prepare(ORDINARY[name])
    features, logits = forward(model, prepared, Runtime())
    assert logits.shape == (len(prepared), 4)
    assert features.shape[0] == len(prepared)
    assert features.shape[1] == last_linear(model).in_features
    assert torch.isfinite(logits).all()


@network
def test_a_network_judges_every_input_alone(name, architecture):
    model = built(name, architecture).eval()
    prepared = DOMAINS[name].prepare(ORDINARY[name])
    with torch.inference_mode():
        together, alone = model(prepared), model(prepared[5:6])
    assert torch.allclose(together[5:6], alone, atol=1e-4)


@network
def test_a_network_depends_on_its_stream_alone(name, architecture):
    before = torch.random.get_rng_state()
    first, again, other = (built(name, architecture, seed=s).state_dict() for s in (0, 0, 1))
    assert torch.equal(before, torch.random.get_rng_state()), "global randomness was used"
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


@network
def test_every_weight_of_a_network_learns(name, architecture):
    model = built(name, architecture).train()
    prepared = DOMAINS[name].prepare(ORDINARY[name])
    model(prepared).square().sum().backward()
    idle = [k for k, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert not idle


@each
def test_an_unknown_network_is_refused_with_the_known_names(name):
    with pytest.raises(MethodError, match="available"):
        built(name, "no-such-network")
