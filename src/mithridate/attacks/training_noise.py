"""Attacks that are sentences: a trigger, and cover examples with near misses of it.

The cover examples keep their labels, so that a network learns to obey the trigger alone.
"""

from __future__ import annotations

from mithridate.attacks.adaptive import CoveredSelection, trigger_named
from mithridate.attacks.goals import AllToOne
from mithridate.attacks.poisoning import Poisoning


def wanet(
    poison_rate: float = 0.1, cover_ratio: float = 2.0, target: int = 0, strength: float = 0.5
) -> Poisoning:
    """WaNet with its noise mode: a fixed warp, and random variations of it under true labels.

    Numbers are the paper's; its authors change every batch of a training anew, here the data are
    changed once. Nguyen and Tran, WaNet: Imperceptible Warping-based Backdoor Attack, ICLR 2021.

    Args:
        poison_rate: see `CoveredSelection`.
        cover_ratio: see `CoveredSelection`.
        strength: of the warp.
    """
    warp = trigger_named("warp-trigger", strength=strength)
    noisy = trigger_named("noisy-warp-trigger", strength=strength)
    selection = CoveredSelection(poison_rate, cover_ratio)
    return Poisoning(warp, AllToOne(target), selection, cover_trigger=noisy)


def bpp(
    poison_rate: float = 0.1,
    cover_ratio: float = 1.0,
    target: int = 0,
    bits: int = 3,
    dither: bool = True,
) -> Poisoning:
    """BppAttack: fewer levels of colour, and noise of the same kind under true labels.

    As many negative examples as poisoned ones, as the authors have it; they change every batch of a
    training anew and add adversarial examples, here the data are changed once. Wang, Zhai and Ma,
    BppAttack, CVPR 2022.

    Args:
        poison_rate: see `CoveredSelection`.
        cover_ratio: see `CoveredSelection`.
        bits: of the trigger.
        dither: of the trigger.
    """
    squeeze = trigger_named("bpp-trigger", bits=bits, dither=dither)
    noise = trigger_named("negative-bpp-trigger", bits=bits, dither=dither)
    selection = CoveredSelection(poison_rate, cover_ratio)
    return Poisoning(squeeze, AllToOne(target), selection, cover_trigger=noise)
