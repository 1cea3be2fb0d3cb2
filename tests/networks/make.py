"""Train the networks that lie here, write them, and note what they do: `python -m networks.make`.

Run it from the folder `tests`; names after it train some alone. The rule is fixed: each is trained
once, from the seed of its name or else from seed 0, in 32 bits, and is kept whatever the tests say
of it. Weights are rounded to half precision, which halves the files, and then measured: the
accuracy on test data, and how many triggered inputs are called as the attacker wants.
"""

import json
import sys
from collections.abc import Callable
from typing import NamedTuple

import torch
from safetensors.torch import save_file
from torch import nn

from methods import inversion_worlds, twins, victim_to_repair
from mithridate.attacks.poisoning import Poisoning
from mithridate.bench.metrics.evaluate import accuracy, attack_success
from mithridate.core.data import Dataset
from mithridate.core.streams import stream
from mithridate.domains.catalogue import load_named
from networks.kept import FOLDER, NOTE, kept, measured


class Recipe(NamedTuple):
    """How a network is trained, and what it is measured on."""

    train: Callable[[], nn.Module]
    untrained: Callable[[], nn.Module]
    test: Callable[[], Dataset]
    attack: Poisoning


def digits(seed: int, attack: Poisoning | None) -> Recipe:
    return Recipe(
        lambda: victim_to_repair.trained(seed, attack), victim_to_repair.untrained,
        lambda: load_named("digits", "test").data, victim_to_repair.ATTACK,
    )  # fmt: skip


def enlarged(world: str) -> Recipe:
    return Recipe(
        lambda: inversion_worlds.trained(world), inversion_worlds.untrained,
        lambda: inversion_worlds.examples().subset(range(1000, 1437)), inversion_worlds.ATTACK,
    )  # fmt: skip


def clouds(attack: Poisoning | None) -> Recipe:
    return Recipe(
        lambda: twins.trained(attack), twins.untrained, twins.test, attack or twins.ATTACK
    )


RECIPES = {
    **{f"victim-{seed}": digits(seed, victim_to_repair.ATTACK) for seed in range(3)},
    **{f"twin-{seed}": digits(seed, None) for seed in range(3)},
    **{inversion_worlds.named(world): enlarged(world) for world in inversion_worlds.WORLDS},
    **{twins.named(attack): clouds(attack) for attack in (twins.ATTACK, None)},
}


def rounded(model: nn.Module) -> dict[str, torch.Tensor]:
    """Its weights in half precision, and moments of normalisations as they are."""
    state = model.state_dict()
    return {n: (v.half() if v.dim() > 1 else v).contiguous() for n, v in state.items()}


def rates(model: nn.Module, recipe: Recipe) -> dict[str, float]:
    """The accuracy on test data and the attack success rate."""
    domain, test = victim_to_repair.DOMAIN, recipe.test()
    success = attack_success(model, recipe.attack, test, domain, stream(0, "trap"))
    return {
        "accuracy": round(accuracy(model, test, domain).value, 4),
        "attack success": round(success.value, 4),
    }


def make(name: str) -> dict[str, float]:
    """Train a network, write its file and measure what lies in it."""
    recipe = RECIPES[name]
    save_file(rounded(recipe.train()), FOLDER / f"{name}.safetensors")
    return rates(kept(name, recipe.untrained()), recipe)


def main() -> None:
    chosen = sys.argv[1:] or list(RECIPES)
    found = {name: make(name) for name in chosen}
    notes = (measured() if NOTE.exists() else {}) | found
    NOTE.write_text(json.dumps({n: notes[n] for n in RECIPES if n in notes}, indent=2) + "\n")
    for name, rate in found.items():
        sys.stdout.write(f"{name}: {rate}\n")


if __name__ == "__main__":
    main()
