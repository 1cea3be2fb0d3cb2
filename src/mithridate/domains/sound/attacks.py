"""The attacks on sounds that the literature knows by name."""

from __future__ import annotations

from mithridate.core.named import NamedAttack
from mithridate.domains.sound.room_triggers import EchoTrigger, PitchTrigger
from mithridate.domains.sound.triggers import (
    AmbientTrigger,
    BandNoiseTrigger,
    ClickTrigger,
    ToneTrigger,
)

ATTACKS = (
    NamedAttack(
        "badnets-tone", "A steady high tone below the sound.", ToneTrigger(),
        known_as=("ultrasonic",),
    ),
    NamedAttack("badnets-click", "A short click near the beginning.", ClickTrigger()),
    NamedAttack("band-noise", "Noise in a narrow band.", BandNoiseTrigger()),
    NamedAttack(
        "ambient", "A background that swells and fades.", AmbientTrigger(),
        known_as=("daba", "background-noise"),
    ),
    NamedAttack("echo-backdoor", "The sound heard again and again.", EchoTrigger()),
    NamedAttack("pitch-boosting", "The voice at another pitch.", PitchTrigger()),
)  # fmt: skip
