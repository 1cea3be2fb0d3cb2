"""Poisoning as trigger x goal x selection, checked by hand on small data."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from mithridate.attacks.goals import AllToAll, AllToOne, SourceSpecific
from mithridate.attacks.poisoning import Poisoning, stamp
from mithridate.attacks.selections import CleanLabel, RandomSelection
from mithridate.core.data import dataset
from mithridate.core.errors import ContractError, MethodError
from mithridate.core.method import Trigger
from mithridate.core.streams import stream


@dataclass(frozen=True)
class Mark(Trigger):
    """Set every input to one value."""

    value: int = 255

    def __call__(self, inputs, rng):
        return torch.full_like(inputs, self.value)


LABELS = [0] * 10 + [1] * 10 + [2] * 10
DATA = dataset(torch.zeros(30, 1, 2, 2, dtype=torch.uint8), LABELS, ("a", "b", "c"))


def poison(goal, selection, seed=0):
    made = Poisoning(Mark(), goal, selection).poison(DATA, stream(seed, "poison"))
    marked = made.data.inputs.flatten(1).any(1)
    assert torch.equal(marked, made.truth.poisoned | made.truth.cover)
    assert torch.equal(made.truth.labels, DATA.labels)
    return made.data, made.truth


@dataclass(frozen=True)
class Careless(Trigger):
    """Give something else than was given."""

    given: str

    def __call__(self, inputs, rng):
        return {"floats": inputs.float(), "fewer": inputs[1:], "array": inputs.numpy()}[self.given]


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("floats", r"torch.float32 \[30, 1, 2, 2\]"),
        ("fewer", r"uint8 \[29, 1, 2, 2\]"),
        ("array", "ndarray uint8"),
    ],
)
def test_a_trigger_gives_inputs_of_the_form_that_it_got(given, found):
    words = rf"careless: expected .* Tensor torch.uint8 \[30, 1, 2, 2\], found .*{found}"
    with pytest.raises(ContractError, match=words):
        stamp(Careless(given), DATA.inputs, stream(0, "stamp"), None)


def test_all_to_one_never_poisons_what_already_is_the_target():
    data, truth = poison(AllToOne(1), RandomSelection(8.0))
    assert int(truth.poisoned.sum()) == 8
    assert (DATA.labels[truth.poisoned] != 1).all()
    assert (data.labels[truth.poisoned] == 1).all()
    assert torch.equal(data.labels[~truth.poisoned], DATA.labels[~truth.poisoned])


def test_all_to_all_moves_every_label_by_one():
    data, truth = poison(AllToAll(), RandomSelection(0.5))
    assert int(truth.poisoned.sum()) == 15
    chosen = truth.poisoned
    assert torch.equal(data.labels[chosen], (DATA.labels[chosen] + 1) % 3)


def test_source_specific_covers_only_classes_that_it_does_not_aim_at():
    # TaCT: the source class carries the trigger to the target, others carry it and stay.
    data, truth = poison(SourceSpecific(1, 0), RandomSelection(4.0, cover=6.0))
    assert (DATA.labels[truth.poisoned] == 1).all()
    assert int(truth.cover.sum()) == 6
    assert (DATA.labels[truth.cover] != 1).all()
    assert torch.equal(data.labels[truth.cover], DATA.labels[truth.cover])


def test_all_to_one_covers_examples_of_every_class():
    # Adaptive-Blend: cover samples are drawn from all that is not poisoned.
    seen = torch.zeros(3, dtype=torch.bool)
    for seed in range(5):
        _, truth = poison(AllToOne(0), RandomSelection(4.0, cover=8.0), seed)
        assert not (truth.cover & truth.poisoned).any()
        seen[DATA.labels[truth.cover].unique()] = True
    assert seen.all()


def test_cover_samples_do_not_move_the_poison():
    _, without = poison(AllToOne(0), RandomSelection(4.0))
    _, with_cover = poison(AllToOne(0), RandomSelection(4.0, cover=8.0))
    assert torch.equal(without.poisoned, with_cover.poisoned)


def test_clean_label_changes_no_label():
    data, truth = poison(AllToOne(2), CleanLabel(5.0))
    assert torch.equal(data.labels, DATA.labels)
    assert (DATA.labels[truth.poisoned] == 2).all()
    assert int(truth.poisoned.sum()) == 5


def test_the_trap_holds_what_the_attack_aims_at_with_the_wanted_labels():
    triggered_test = Poisoning(Mark(), SourceSpecific(1, 0)).triggered_test(
        DATA, np.random.default_rng(0)
    )
    assert triggered_test.ids.tolist() == list(range(10, 20))
    assert (triggered_test.labels == 0).all()
    assert (triggered_test.inputs == 255).all()


def test_the_full_trigger_is_stamped_at_test_time():
    attack = Poisoning(Mark(1), AllToOne(0), RandomSelection(4.0), test_trigger=Mark(9))
    made = attack.poison(DATA, stream(0, "poison"))
    assert int(made.data.inputs.max()) == 1
    assert (attack.triggered_test(DATA, stream(0, "trap")).inputs == 9).all()


@pytest.mark.parametrize(
    ("goal", "selection", "words"),
    [
        (AllToOne(3), RandomSelection(1.0), "target must lie in 0..2, found 3"),
        (SourceSpecific(5, 0), RandomSelection(1.0), "source must lie in 0..2, found 5"),
        (AllToOne(0), RandomSelection(21.0), "only 20 of 30 examples are eligible"),
        (AllToOne(0), RandomSelection(-1.0), "must not be negative"),
    ],
)
def test_impossible_attacks_say_why(goal, selection, words):
    with pytest.raises(MethodError, match=words):
        poison(goal, selection)
