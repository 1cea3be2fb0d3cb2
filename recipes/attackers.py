"""The attackers of the tables on CIFAR-10, at the defaults of their triggers.

These are the papers' settings where the docstring of a trigger does not say otherwise; LIRA,
Refool, SSBA, TrojanNN, label-consistent, Sleeper Agent and targeted weights differ, as told there.

Whether one takes on a small network after a short training is in the tables, void cells included.
"""

from __future__ import annotations

from mithridate.attacks.blind import Blind
from mithridate.attacks.clean_label import adv_door, label_consistent, narcissus, sleeper_agent
from mithridate.attacks.poisoning import Poisoning
from mithridate.attacks.selections import CleanLabel, RandomSelection
from mithridate.attacks.tbt import TargetedWeights
from mithridate.attacks.training_noise import bpp, wanet
from mithridate.bench.cell import Task
from mithridate.core.fit import TrainingConfig
from mithridate.core.method import Attack
from mithridate.domains.image.frequency import FTrojanTrigger
from mithridate.domains.image.global_triggers import BlendTrigger, SinusoidTrigger
from mithridate.domains.image.input_aware import InputAwareTrigger
from mithridate.domains.image.learnt_low_frequency import LearntLowFrequencyTrigger
from mithridate.domains.image.lira import LiraTrigger
from mithridate.domains.image.reflection import ReflectionTrigger
from mithridate.domains.image.sample_specific import SampleSpecificTrigger
from mithridate.domains.image.triggers import PatchTrigger
from mithridate.domains.image.trojan_nn import TrojanNNTrigger

TASK = Task(
    "cifar10",
    train=20_000,
    test=2_000,
    training=TrainingConfig(epochs=6, batch_size=128, augment=False),
)
"""A part of CIFAR-10 on the narrow ResNet-9, without augmentation: what two cores can train often.

Size and length were chosen by the success of undefended attacks on seed 0.
"""
NETWORK = "resnet9:8"

DIRTY: dict[str, Attack] = {
    "badnets": Poisoning(PatchTrigger(style="white"), selection=RandomSelection()),
    "blended": Poisoning(BlendTrigger(alpha=0.2), selection=RandomSelection()),
    "low-frequency": Poisoning(LearntLowFrequencyTrigger(), selection=RandomSelection()),
    "wanet": wanet(),
    "input-aware": Poisoning(InputAwareTrigger(), selection=RandomSelection()),
    "ssba": Poisoning(SampleSpecificTrigger(), selection=RandomSelection()),
    "trojan-nn": Poisoning(TrojanNNTrigger(), selection=RandomSelection()),
    "bpp": bpp(),
}
"""Eight of the published benchmark's ten; the other two keep the labels clean."""

CLEAN: dict[str, Attack] = {
    "sig": Poisoning(SinusoidTrigger(delta=40.0), selection=CleanLabel()),
    "label-consistent": label_consistent(),
}

MORE: dict[str, Attack] = {
    "lira": Poisoning(LiraTrigger(), selection=RandomSelection()),
    "ftrojan": Poisoning(FTrojanTrigger(), selection=RandomSelection()),
    "refool": Poisoning(ReflectionTrigger(), selection=RandomSelection()),
    "adv-door": adv_door(),
    "blind": Blind(PatchTrigger(style="white")),
    "tbt": TargetedWeights(),
}
MORE_CLEAN: dict[str, Attack] = {"narcissus": narcissus(), "sleeper-agent": sleeper_agent()}

DIRTY_RATES, CLEAN_RATES = (0.01, 0.1), (0.01, 0.05)
"""Clean labels go up to half of a class: a tenth of the data would be all of it."""
