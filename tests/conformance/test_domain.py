"""What every domain keeps to; no domain is named here."""

import dataclasses
import importlib
from itertools import pairwise

import numpy as np
import pytest
import torch

from conformance.worlds import (
    EDGES,
    LARGER,
    ORDINARY,
    Ready,
    changed,
    copy,
    domains,
    labelled,
    modules_of,
    same,
    triggers,
)
from mithridate.core.domain import Domain
from mithridate.core.errors import CannotJudge, DataError, MethodError
from mithridate.core.inference import forward, last_linear
from mithridate.core.runtime import Runtime
from mithridate.core.streams import stream, torch_generator
from mithridate.domains.registry import usual_triggers

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
def test_mirrored_inputs_are_given_by_the_caller_and_nothing_else_is(name):
    prepared, domain = DOMAINS[name].prepare(ORDINARY[name]), DOMAINS[name]
    some = torch.arange(len(prepared)) % 2 == 0
    first, other, again = (
        domain.augment(prepared, torch_generator(stream(1, "mirror")), mirrored)
        for mirrored in (some, ~some, some)
    )
    assert torch.equal(first, again)
    differ = (first != other).flatten(1).any(1)
    assert differ.all() or not differ.any(), "all are mirrored in one of the two, or none is"


@each
def test_shrinking_keeps_rows_type_and_argument_and_grows_with_the_share(name):
    domain = DOMAINS[name]
    for family, inputs in {"ordinary": ORDINARY[name], **EDGES[name]}.items():
        prepared = domain.prepare(inputs)
        before, sizes = prepared.clone(), []
        for share in (0.5, 0.75, 1.0):
            small = domain.shrink(prepared, share)
            assert len(small) == len(prepared) and small.dtype == prepared.dtype, family
            assert torch.equal(small[3:5], domain.shrink(prepared[3:5], share)), family
            sizes.append(small.numel())
        assert sizes == sorted(sizes), family
        assert torch.equal(small, prepared), family
        assert torch.equal(prepared, before), family


@each
def test_the_strong_variation_changes_every_ordinary_input_and_differs_by_draw(name):
    prepared = DOMAINS[name].prepare(ORDINARY[name])
    first, second = (
        DOMAINS[name].distort(prepared, torch_generator(stream(seed, "strong"))) for seed in (1, 2)
    )
    assert (first != prepared).flatten(1).any(1).all()
    assert (first != second).any()


def damages():
    """Every (domain, kind of damage)."""
    return [(name, kind) for name, domain in DOMAINS.items() for kind in domain.corruptions]


@pytest.mark.parametrize("name, kind", damages())
def test_damage_keeps_form_and_argument_and_obeys_its_stream(name, kind):
    domain = DOMAINS[name]
    for family, inputs in {"ordinary": ORDINARY[name], **EDGES[name]}.items():
        prepared = domain.prepare(inputs)
        before = prepared.clone()
        first, second = (
            domain.corrupt(prepared, kind, 3, torch_generator(stream(1, kind))) for _ in range(2)
        )
        assert first.shape == prepared.shape, family
        assert first.dtype == prepared.dtype, family
        assert torch.equal(first, second), family
        assert torch.equal(prepared, before), family


@pytest.mark.parametrize("name, kind", damages())
def test_damage_is_none_at_severity_0_grows_and_treats_every_input_alone(name, kind):
    domain = DOMAINS[name]
    prepared = domain.prepare(LARGER[name])

    def damaged(severity, rows=slice(None), seed=0):
        return domain.corrupt(prepared[rows], kind, severity, torch_generator(stream(seed, kind)))

    assert torch.equal(damaged(0), prepared)
    assert torch.equal(damaged(4)[3:5], damaged(4, slice(3, 5)))
    assert len(damaged(2, slice(0, 0))) == 0
    much = [
        sum(amount(damaged(severity, seed=seed), prepared) for seed in range(6))
        for severity in range(1, 6)
    ]
    grows = [0.95 * before <= after for before, after in pairwise(much)]  # noise has no coarse part
    assert all(grows) and 0 < much[0] < much[-1], much


def amount(damaged, prepared):
    """Mean distance of numbers that are near to each other, and else the share that differs."""
    distance = (damaged.double() - prepared.double()).abs()
    near = prepared.dtype in (torch.uint8, torch.int16, torch.bool) or prepared.is_floating_point()
    return float((distance if near else distance > 0).double().mean())


@each
def test_unknown_damage_is_refused_with_the_known_kinds(name):
    domain = DOMAINS[name]
    prepared = domain.prepare(ORDINARY[name])
    known = domain.corruptions[0]
    for kind, severity in (("no-such-kind", 1), (known, 6), (known, -1)):
        with pytest.raises(MethodError, match="from 0 to 5" if kind == known else known):
            domain.corrupt(prepared, kind, severity, torch_generator(stream(1, "damage")))


@each
def test_a_mixture_keeps_form_and_arguments_and_treats_every_pair_alone(name):
    domain = DOMAINS[name]
    prepared = domain.prepare(ORDINARY[name])
    others = prepared.flip(0).clone()
    before = prepared.clone(), others.clone()
    first, second = (
        domain.mix(prepared, others, torch_generator(stream(1, "mix"))) for _ in range(2)
    )
    assert first.shape == prepared.shape and first.dtype == prepared.dtype
    assert torch.equal(first, second)
    assert torch.equal(prepared, before[0]) and torch.equal(others, before[1])
    alone = domain.mix(prepared[3:5], others[3:5], torch_generator(stream(1, "mix")))
    assert torch.equal(first[3:5], alone)
    assert torch.equal(domain.mix(prepared, prepared, torch_generator(stream(1, "mix"))), prepared)
    differ = (prepared != others).flatten(1).any(1)
    for pure in (prepared, others):
        assert (first != pure).flatten(1).any(1)[differ].all()


@each
def test_a_surface_fits_its_inputs_or_there_is_a_reason_for_none(name):
    domain = DOMAINS[name]
    prepared = domain.prepare(ORDINARY[name])
    try:
        surface = domain.surface(prepared)
    except CannotJudge as reason:
        assert len(str(reason).split()) >= 8
        return
    assert surface.low <= float(prepared.min()) <= float(prepared.max()) <= surface.high
    assert surface.pattern == tuple(prepared.shape[1:])
    assert torch.broadcast_shapes(surface.mask, surface.pattern) == prepared.shape[1:]
    model = built(name, "").eval()
    with torch.inference_mode():  # floats and what was prepared mean the same
        assert torch.allclose(model(prepared.float()), model(prepared), atol=1e-4)


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
def test_an_input_is_a_copy_of_itself_and_its_signature_depends_on_it_alone(name):
    domain = DOMAINS[name]
    for family, inputs in {"ordinary": ORDINARY[name], **EDGES[name]}.items():
        points = domain.signature(inputs)
        assert points.dtype == np.float64 and points.shape[0] == len(inputs), family
        assert np.isfinite(points).all(), family
        assert np.allclose(points[1:3], domain.signature(inputs[1:3])), family
        assert domain.alike(inputs, copy(inputs)).shape == (len(inputs),), family
    assert domain.alike(ORDINARY[name], copy(ORDINARY[name])).all()
    assert len(domain.signature(ORDINARY[name][:0])) == 0


@each
def test_properties_are_numbers_that_do_not_depend_on_the_order_of_inputs(name):
    domain = DOMAINS[name]
    for family, inputs in {"ordinary": ORDINARY[name], **EDGES[name]}.items():
        measured = domain.properties(inputs)
        assert measured
        backwards = domain.properties(
            inputs[::-1] if isinstance(inputs, np.ndarray) else inputs.flip(0)
        )
        for key, values in measured.items():
            assert values.dtype == torch.float64 and values.shape == (len(inputs),), (family, key)
            assert torch.isfinite(values).all(), (family, key)
            assert torch.allclose(backwards[key].flip(0), values), (family, key)


@each
def test_usual_triggers_change_every_input_keep_its_form_and_differ_by_draw(name):
    first, again, other = (
        usual_triggers(name, ORDINARY[name], stream(seed, "usual")) for seed in (1, 1, 2)
    )
    assert list(first) == list(again) == list(other) and len(first) > 1
    for kind, trigger in first.items():
        inputs, before = copy(ORDINARY[name]), copy(ORDINARY[name])
        stamped = trigger(inputs, stream(3, "stamp"))
        assert same(inputs, before), f"{kind} changes what it is given"
        assert type(stamped) is type(inputs) and stamped.shape == inputs.shape, kind
        assert stamped.dtype == inputs.dtype and len(trigger(inputs[:0], stream(3, "stamp"))) == 0
        assert changed(stamped, inputs).all(), kind
        assert same(again[kind](inputs, stream(3, "stamp")), stamped), kind
        assert not same(other[kind](inputs, stream(3, "stamp")), stamped), kind


@each
def test_usual_triggers_survive_inputs_at_the_edge(name):
    for family, inputs in EDGES[name].items():
        for kind, trigger in usual_triggers(name, inputs[:1], stream(0, "usual")).items():
            assert len(trigger(inputs, stream(0, "stamp"))) == len(inputs), (family, kind)


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
