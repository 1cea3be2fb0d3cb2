"""What every repair keeps to, in every domain; no repair is named here."""

import copy
import random
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from conformance.worlds import domains, every, learnable, shortened, tried_in, variants
from mithridate.bench.metrics.evaluate import accuracy
from mithridate.core.data import Dataset
from mithridate.core.errors import EvidenceWithheld, MethodError, MithridateError
from mithridate.core.fit import TrainingConfig, fit
from mithridate.core.inference import forward
from mithridate.core.method import Repair
from mithridate.core.runtime import Runtime
from mithridate.core.streams import stream
from mithridate.core.threat import EVIDENCE, ThreatModel
from mithridate.core.view import View

DOMAINS = domains()
CASES = [
    (domain, repair)
    for domain in DOMAINS
    for cls in every(Repair).values()
    if tried_in(cls, domain)
    for repair in variants(cls, domain)
]
each = pytest.mark.parametrize("domain, repair", CASES, ids=lambda v: str(v)[:60])

NETWORKS = {"image": "resnet9:4"}
"""What learns the world and costs little to repair, where the default network is large."""

ABOUT_DATA = {"inputs", "labels", "features", "logits"}


@dataclass(frozen=True, eq=False)
class World:
    """A clean network of a domain, the data it was trained on, trusted and other examples."""

    model: nn.Module
    data: Dataset
    trusted: Dataset
    test: Dataset
    losses: torch.Tensor


@cache
def world(domain: str) -> World:
    whole = learnable(domain, 480)
    data, trusted, test = (whole.subset(range(*ends)) for ends in ((200,), (200, 280), (280, 480)))
    model = DOMAINS[domain].network(data, NETWORKS.get(domain, ""), stream(0, "network"))
    config = TrainingConfig(epochs=6, batch_size=25, learning_rate=0.05)
    result = fit(model, data, DOMAINS[domain], config, stream(0, "train"))
    return World(model, data, trusted, test, result.losses)


def view(domain: str, training: bool = False, **changes: Any) -> View:
    """All evidence there is, about a model of its own."""
    known = world(domain)
    given: dict[str, Any] = {
        "data": known.data, "domain": DOMAINS[domain],
        "clean": known.trusted.subset(range(len(known.trusted))),
        "model": copy.deepcopy(known.model).train(training), "losses": known.losses.clone(),
    }  # fmt: skip
    given |= changes
    return View(given.pop("data"), **given)


def weights(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    same = first.keys() == second.keys()
    return same and all(torch.equal(first[name], second[name]) for name in first)


def modes(model: nn.Module) -> list[bool]:
    return [module.training for module in model.modules()]


def hooks(model: nn.Module) -> list[Any]:
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return [hook for m in model.modules() for kind in kinds for hook in getattr(m, kind).values()]


def marks(model: nn.Module) -> list[Any]:
    """What may be left on a network: hooks, gradients, and what is frozen."""
    return [len(hooks(model)), *((p.requires_grad, p.grad is None) for p in model.parameters())]


def randomness() -> list[Any]:
    numbers = np.random.get_state()
    return [torch.get_rng_state().tolist(), random.getstate(), numbers[1].tolist(), numbers[2]]


@dataclass(frozen=True, eq=False)
class Answer:
    """What a repair gave, and what it was shown before and after."""

    result: nn.Module
    used: frozenset[str]
    model: nn.Module
    untouched: tuple[bool, ...]


@cache
def answer(domain: str, repair: Repair) -> Answer:
    """Repair a network that happens to be in training mode."""
    shown = view(domain, training=True)
    model = shown._model
    before = weights(model), modes(model), marks(model), randomness()
    result = repair.repair(shown, stream(0, "repair"))
    untouched = (
        equal(before[0], weights(model)),
        before[1] == modes(model),
        before[2] == marks(model),
        before[3] == randomness(),
        torch.equal(shown._clean.labels, world(domain).trusted.labels),
    )
    return Answer(result, frozenset(shown.used), model, untouched)


def test_every_repair_is_tried():
    assert {type(repair) for _, repair in CASES} == set(every(Repair).values())
    assert {domain for domain, _ in CASES} == set(DOMAINS)


@pytest.mark.parametrize("domain", DOMAINS)
def test_the_world_can_be_learnt(domain):
    assert accuracy(world(domain).model, world(domain).test, DOMAINS[domain]).value > 0.98


@each
def test_what_it_is_shown_is_left_untouched(domain, repair):
    same_weights, same_modes, same_marks, _, same_data = answer(domain, repair).untouched
    assert same_weights, "the model of the view has other weights or moments"
    assert same_modes, "the model of the view is in another mode"
    assert same_marks, "hooks or gradients are left on the model of the view"
    assert same_data


@each
def test_the_form_stays(domain, repair):
    found = answer(domain, repair)
    old, new = found.model.state_dict(), found.result.state_dict()
    assert type(found.result) is type(found.model)
    assert list(old) == list(new)
    assert all(old[k].shape == new[k].shape and old[k].dtype == new[k].dtype for k in old)
    assert found.result is not found.model
    shared = {v.data_ptr() for v in old.values()} & {v.data_ptr() for v in new.values()} - {0}
    assert not shared, "the copy shares memory with the model"


@each
def test_the_result_is_in_evaluation_mode_and_can_be_trained_on(domain, repair):
    found = answer(domain, repair)
    training = any(module.training for module in found.result.modules())
    assert not training, "the result is in training mode: give back model.eval()"
    for mine, before in zip(found.result.parameters(), found.model.parameters(), strict=True):
        assert mine.requires_grad == before.requires_grad, "weights are frozen"
    assert len(hooks(found.result)) == len(hooks(found.model)), "hooks are left"


@each
def test_a_clean_network_stays_accurate(domain, repair):
    result, test = answer(domain, repair).result, world(domain).test
    assert all(torch.isfinite(v).all() for v in result.state_dict().values())
    before = accuracy(world(domain).model, test, DOMAINS[domain]).value
    assert accuracy(result, test, DOMAINS[domain]).value >= before - 0.05


@each
def test_stream_and_evidence_decide_every_bit(domain, repair):
    """Again with only what it asked for, and with a model in evaluation mode."""
    repair = shortened(repair)
    first = answer(domain, repair)
    assert first.used <= set(EVIDENCE)
    needless: dict[str, Any] = {} if "clean" in first.used else {"clean": None}
    needless |= {} if first.used & ABOUT_DATA else {"data": None}
    needless |= {} if "losses" in first.used else {"losses": None}
    shown = view(domain, threat=ThreatModel(granted=first.used), **needless)
    again = repair.repair(shown, stream(0, "repair"))
    assert equal(weights(first.result), weights(again))
    assert first.untouched[3], "global randomness was used"


@each
def test_it_says_so_where_trusted_examples_are_withheld_or_does_without(domain, repair):
    threat = ThreatModel(granted=frozenset(EVIDENCE) - {"clean"})
    for changes in ({"threat": threat}, {"clean": None}):
        shown = view(domain, **changes)
        try:
            result = repair.repair(shown, stream(0, "repair"))
        except (EvidenceWithheld, MethodError) as error:
            assert "clean" in str(error) or "trusted" in str(error)
        else:
            assert finite(domain, result)


@each
def test_few_trusted_examples_give_a_finite_network_or_a_clear_error(domain, repair):
    trusted = world(domain).trusted
    one_class = trusted.subset(trusted.labels == 1)
    assert len(trusted) > len(one_class) > 10
    for clean in (*(trusted.subset(range(size)) for size in (0, 1, 2, 11)), one_class):
        try:
            result = shortened(repair).repair(view(domain, clean=clean), stream(0, "repair"))
        except MithridateError as error:
            assert len(clean) < 10 or len(clean.labels.unique()) < 2, "11 of all classes are enough"
            if len(clean) < 10:
                assert str(len(clean)) in str(error), "an error says what was found"
        else:
            assert finite(domain, result)


def finite(domain: str, model: nn.Module) -> bool:
    test = world(domain).test
    logits = forward(model, DOMAINS[domain].prepare(test.inputs), Runtime())[1]
    return bool(torch.isfinite(logits).all())


@dataclass(frozen=True)
class Planted(Repair):
    """Take two steps on trusted examples, with room for one fault."""

    fault: str = ""

    def repair(self, view, rng):
        model = copy.deepcopy(view.model)
        if self.fault in BEFORE:
            BEFORE[self.fault](view)
        if len(view.clean) < 10:
            raise MethodError(f"expected 10 trusted examples, found {len(view.clean)}")
        config = TrainingConfig(epochs=1, learning_rate=0.01, batch_size=64)
        result = fit(model, view.clean, view.domain, config, rng).model
        return FAULTS.get(self.fault, lambda given, _: given)(result, view)


def crash(view):
    assert len(view.clean) >= 10


BEFORE = {
    "in place": lambda view: view.model[-1].bias.data.add_(1),
    "mode": lambda view: view.model.eval(),
    "frozen model": lambda view: view.model.requires_grad_(False),
    "data": lambda view: view.clean.labels.zero_(),
    "crashes": crash,
}


def other_keys(model, _):
    return nn.Sequential(model)


def drawn(model, _):
    model[-1].bias.data.add_(0.01 * torch.randn(model[-1].bias.shape))
    return model


def not_a_number(model, _):
    model[-1].bias.data[0] = float("nan")
    return model


def destroyed(model, _):
    model[-1].weight.data.zero_()
    return model


def sharing(model, view):
    model[-1].weight.data = view.model[-1].weight.data
    return model


def hooked(model, _):
    model.register_forward_hook(lambda *_: None)
    return model


def by_the_back_door(model, view):
    if view._data is not None:
        model[-1].bias.data.add_(0.01)
    return model


FAULTS = {
    "other keys": other_keys,
    "random": drawn,
    "nan": not_a_number,
    "destroys": destroyed,
    "shares": sharing,
    "hook": hooked,
    "training": lambda model, _: model.train(),
    "frozen": lambda model, _: model.requires_grad_(False),
    "back door": by_the_back_door,
}

CHECKS = {
    "in place": test_what_it_is_shown_is_left_untouched,
    "mode": test_what_it_is_shown_is_left_untouched,
    "frozen model": test_what_it_is_shown_is_left_untouched,
    "data": test_what_it_is_shown_is_left_untouched,
    "other keys": test_the_form_stays,
    "shares": test_the_form_stays,
    "hook": test_the_result_is_in_evaluation_mode_and_can_be_trained_on,
    "training": test_the_result_is_in_evaluation_mode_and_can_be_trained_on,
    "frozen": test_the_result_is_in_evaluation_mode_and_can_be_trained_on,
    "nan": test_a_clean_network_stays_accurate,
    "destroys": test_a_clean_network_stays_accurate,
    "random": test_stream_and_evidence_decide_every_bit,
    "back door": test_stream_and_evidence_decide_every_bit,
    "crashes": test_few_trusted_examples_give_a_finite_network_or_a_clear_error,
}


@pytest.mark.parametrize("fault", CHECKS)
def test_a_faulty_repair_is_caught(fault):
    CHECKS[fault]("image", Planted())
    with pytest.raises(AssertionError):
        CHECKS[fault]("image", Planted(fault))


def test_a_repair_that_is_denied_without_a_word_is_caught():
    test_it_says_so_where_trusted_examples_are_withheld_or_does_without("image", Planted())
    with pytest.raises(KeyError):
        test_it_says_so_where_trusted_examples_are_withheld_or_does_without("image", Speechless())


@dataclass(frozen=True)
class Speechless(Repair):
    """Fail with an error that says nothing."""

    def repair(self, view, rng):
        raise KeyError
