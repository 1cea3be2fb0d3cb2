"""Two models compared: a rule that only one has, a backdoor against its clean twin, and equals."""

import pytest
import torch

from methods.model_to_scan import Linear, twin, view_of
from methods.victim_to_repair import DOMAIN, victim
from mithridate.core.errors import CannotJudge, MethodError
from mithridate.core.streams import stream
from mithridate.core.view import View
from mithridate.scanners.comparison import compare_models
from mithridate.scanners.random_search import RandomSearch

HALF = RandomSearch(side=0.5, generations=40)


def model(height):
    weight = torch.zeros(3, 16)
    weight[2, [0, 1, 4, 5]] = height
    return Linear(weight, torch.tensor([0.0, -1.0, -30.0]))


def awake():
    """What quantisation woke: class 2 where the four places at the top left are white."""
    return view_of(model(10.0))


def asleep():
    return view_of(model(0.0))


def test_a_rule_that_only_the_suspect_has():
    scanned = compare_models(awake(), asleep(), stream(0, "scan"), search=HALF)
    assert scanned.scores.unit == "class"
    assert scanned.scores.values.argmax() == 2
    assert scanned.scores.values[2] == pytest.approx(1, abs=1e-3)
    assert scanned.shown["success"][2] == 1
    assert scanned.shown["reference"][2] == 0
    assert scanned.shown["gain"][:, 0].abs().max() < 1e-5, "clean inputs are called alike"
    turned = compare_models(asleep(), awake(), stream(0, "scan"), search=HALF)
    assert turned.scores.values[2] < 0.01, "what only the reference does is not held against it"


def test_what_another_scanner_found_is_tried_on_both():
    pattern = torch.zeros(3, 1, 4, 4)
    pattern[2, :, :2, :2] = 155.0
    mask = (pattern != 0).float()
    added = compare_models(
        awake(), asleep(), stream(0, "scan"), search=HALF, shown={"pattern": pattern}
    )
    laid = compare_models(
        awake(), asleep(), stream(0, "scan"), search=HALF,
        shown={"pattern": pattern + 100, "mask": mask},
    )  # fmt: skip
    for scanned in (added, laid):
        assert scanned.shown["gain"].shape == (3, 4)
        assert scanned.shown["gain"][2, 3] == pytest.approx(1, abs=1e-3)
        assert scanned.shown["gain"][1, 3] == pytest.approx(0, abs=1e-4)
    with pytest.raises(MethodError, match="must hold the 'pattern'"):
        compare_models(awake(), asleep(), stream(0, "scan"), search=HALF, shown={"margin": pattern})


def test_a_backdoor_is_what_a_clean_twin_lacks():
    suspect, trusted = victim()
    search = RandomSearch(side=0.4, generations=200, candidates=4, examples=8)
    views = [
        View(domain=DOMAIN, model=network, clean=trusted, precision="fp32")
        for network in (suspect, twin())
    ]
    # not every search finds the patch, so what is judged is the first of three that finds a gain
    for seed in range(3):
        scanned = compare_models(*views, stream(seed, "scan"), search=search)
        if scanned.scores.values.max() > 0.5:
            break
    assert scanned.scores.values.argmax() == 0
    assert scanned.shown["success"][0] - scanned.shown["reference"][0] > 0.5


def test_equal_models_gain_nothing():
    scanned = compare_models(awake(), awake(), stream(0, "scan"), search=HALF)
    assert scanned.scores.values.tolist() == [0, 0, 0]


def test_models_of_other_classes_cannot_be_compared():
    other = view_of(model(0.0))
    other._clean = type(other.clean)(
        other.clean.inputs, other.clean.labels, other.clean.ids, ("a", "b", "c", "d")
    )
    with pytest.raises(CannotJudge, match="the suspect has 3 classes, the reference 4"):
        compare_models(awake(), other, stream(0, "scan"))
