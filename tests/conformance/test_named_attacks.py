"""Every attack that is named can be built, and stamps what its domain reads."""

import pytest

from conformance.worlds import ORDINARY, changed, labelled
from mithridate.attacks.named import named_attack
from mithridate.attacks.poisoning import Poisoning
from mithridate.core.method import LearntTrigger
from mithridate.core.registry import domain_of, find_attack, find_attacks
from mithridate.core.streams import stream

ATTACKS = [attack for attack in find_attacks().values() if domain_of(attack) in (*ORDINARY, "")]


@pytest.mark.parametrize("known", ATTACKS, ids=lambda attack: attack.name)
def test_it_is_built_and_poisons_what_it_can(known):
    attack = named_attack(known.name, 0.2, target=1)
    assert known.summary and find_attack(known.name) == known
    learns = not isinstance(attack, Poisoning) or isinstance(attack.trigger, LearntTrigger)
    if learns or isinstance(attack.test_trigger, LearntTrigger):
        return  # what learns first is tried with its trigger
    data = labelled(domain_of(known) or "image")
    made = attack.poison(data, stream(0, "poison"))
    assert made.truth.poisoned.any()
    assert changed(data.inputs, made.data.inputs)[made.truth.poisoned].all()
