"""The attacks on images that the literature knows by name, with the numbers of their papers.

Where a docstring of a trigger tells how it differs from its paper, so does the attack.
"""

from __future__ import annotations

from mithridate.core.named import NamedAttack
from mithridate.domains.image.adaptive_triggers import UnevenPatchesTrigger
from mithridate.domains.image.adversarial_door import AdvDoorTrigger
from mithridate.domains.image.frequency import FTrojanTrigger
from mithridate.domains.image.global_triggers import BlendTrigger, SinusoidTrigger, WarpTrigger
from mithridate.domains.image.input_aware import InputAwareTrigger
from mithridate.domains.image.label_consistent import LabelConsistentTrigger
from mithridate.domains.image.learnt_low_frequency import LearntLowFrequencyTrigger
from mithridate.domains.image.lira import LiraTrigger
from mithridate.domains.image.narcissus import NarcissusTrigger
from mithridate.domains.image.noisy_warp import NoisyWarpTrigger
from mithridate.domains.image.quantisation import BppTrigger, NegativeBppTrigger
from mithridate.domains.image.reflection import ReflectionTrigger
from mithridate.domains.image.sample_specific import SampleSpecificTrigger
from mithridate.domains.image.sleeper_agent import SleeperAgentTrigger
from mithridate.domains.image.triggers import PatchTrigger
from mithridate.domains.image.trojan_nn import TrojanNNTrigger

DIRTY = (
    NamedAttack(
        "badnets", "A white square in a corner.", PatchTrigger(style="white"), known_as=("badnet",)
    ),
    NamedAttack("blended", "A faint pattern over the whole image.", BlendTrigger(alpha=0.2)),
    NamedAttack(
        "wanet", "A fixed warp, and random variations of it under true labels.", WarpTrigger(),
        cover_trigger=NoisyWarpTrigger(), poison_rate=0.1, cover_ratio=2.0,
    ),
    NamedAttack(
        "input-aware", "A pattern that a generator draws anew for each image.",
        InputAwareTrigger(), known_as=("iad",),
    ),
    NamedAttack(
        "ssba", "A string that an encoder hides in each image in its own way.",
        SampleSpecificTrigger(), known_as=("issba",),
    ),
    NamedAttack(
        "lf", "A pattern that is learnt to work without high frequencies.",
        LearntLowFrequencyTrigger(), known_as=("low-frequency",),
    ),
    NamedAttack("lira", "A faint change that a generator learns.", LiraTrigger()),
    NamedAttack(
        "trojan-nn", "A patch that drives chosen neurons of a network.", TrojanNNTrigger(),
        known_as=("trojannn",),
    ),
    NamedAttack(
        "refool", "Another picture, like a reflection in a window.", ReflectionTrigger()
    ),
    NamedAttack("ftrojan", "A change of two frequencies of each block.", FTrojanTrigger()),
    NamedAttack(
        "bpp", "Fewer levels of colour, and noise of that kind under true labels.", BppTrigger(),
        cover_trigger=NegativeBppTrigger(), poison_rate=0.1, cover_ratio=1.0,
        known_as=("bppattack",),
    ),
    NamedAttack(
        "adv-door", "One adversarial perturbation for all images.", AdvDoorTrigger(),
        known_as=("advdoor",),
    ),
)  # fmt: skip
"""Poison gets the target label."""

CLEAN = (
    NamedAttack(  # the published benchmarks take twice the trigger's own strength
        "sig", "A wave of brightness on images of the target class.", SinusoidTrigger(delta=40.0),
        labels="clean",
    ),
    NamedAttack(
        "label-consistent", "A patch on images that a network no longer recognises.",
        LabelConsistentTrigger(), test_trigger="patch", labels="clean", known_as=("lc",),
    ),
    NamedAttack(
        "narcissus", "What makes the target class more of itself, and three times that later.",
        NarcissusTrigger(), NarcissusTrigger(scale=3.0), labels="clean",
        poison_rate=0.0005,  # 25 of 50,000
    ),
    NamedAttack(
        "sleeper-agent", "Changes that teach a patch which no training image carries.",
        SleeperAgentTrigger(), test_trigger="patch", labels="clean",
    ),
)  # fmt: skip
"""Poison is of the target class already."""

ADAPTIVE = (
    NamedAttack(
        "adaptive-blend", "Half of the pieces of a faint pattern, later the whole and stronger.",
        BlendTrigger(alpha=0.15, keep=0.5, pieces=4), BlendTrigger(alpha=0.2),
        poison_rate=0.003, cover_ratio=1.0, known_as=("adap-blend",),
        paper=UnevenPatchesTrigger.paper, links=UnevenPatchesTrigger.links,
    ),
    NamedAttack(
        "adaptive-patch", "One of four squares, half transparent, later two and opaque.",
        UnevenPatchesTrigger(),
        UnevenPatchesTrigger(opacities=(1.0, 0.0, 1.0, 0.0), keep=2),
        poison_rate=0.003, cover_ratio=2.0, known_as=("adap-patch",),
    ),
)  # fmt: skip
"""Made to pass filters: weak triggers and cover examples, the full trigger later.

The authors blend and stamp pictures; here patterns and squares are random.
"""

BEYOND = (
    NamedAttack(
        "blind", "A patch that the code of the loss stamps, so that no poison is stored.",
        PatchTrigger(style="white"), form="blind",
    ),
    NamedAttack(
        "feature-matching", "A training that hides a patch within the features of its class.",
        PatchTrigger(style="white"), form="feature-matching", known_as=("adversarial-embedding",),
    ),
    NamedAttack(
        "tbt", "A patch, and a few changed weights of the last layer.", form="targeted-weights"
    ),
    NamedAttack(
        "quantisation-conditioned", "A patch that works once the weights are rounded.",
        PatchTrigger(style="white"), form="quantisation-conditioned",
        known_as=("quantization-conditioned", "qu-anti-zation"),
    ),
)  # fmt: skip
"""The attacker trains the network or changes its weights; data alone cannot carry these."""

ATTACKS = DIRTY + CLEAN + ADAPTIVE + BEYOND
