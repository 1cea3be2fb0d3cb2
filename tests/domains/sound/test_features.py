"""What is laid over sounds stands out among their simple features, and has a name."""

import pytest
import torch

from mithridate.core.errors import DataError
from mithridate.core.features import Selected
from mithridate.core.streams import stream
from mithridate.domains.sound.domain import SoundDomain
from mithridate.domains.sound.room_triggers import EchoTrigger, PitchTrigger
from mithridate.domains.sound.triggers import ClickTrigger, ToneTrigger

DOMAIN = SoundDomain()


def speech_like(n=40, length=4000):
    """Low tones that come and go at random places, over soft noise."""
    rng = stream(0, "speech")
    time = torch.arange(length)
    clips = 40 * torch.from_numpy(rng.standard_normal((n, length)))
    for row in range(n):
        for _ in range(4):
            pitch, middle = rng.uniform(0.05, 0.3), rng.uniform(0.1, 0.8) * length
            shape = torch.exp(-(((time - middle) / 300) ** 2))
            clips[row] += 5000 * shape * torch.sin(torch.pi * pitch * time)
    return clips.to(torch.int16)


@pytest.mark.parametrize(
    "trigger, words",
    [(ToneTrigger(), "a lasting tone at 3000 Hz"), (ClickTrigger(), "a click at 0.02")],
    ids=["tone", "click"],
)
def test_a_trigger_is_a_feature_of_all_that_carry_it_and_of_few_others(trigger, words):
    clips = speech_like()
    clips[:20] = trigger(clips[:20], stream(0, "trigger"))
    best = {}
    for carried in DOMAIN.simple_features(clips, Selected()):
        for column, key in enumerate(carried.keys.tolist()):
            rows = carried.rows[carried.columns == column]
            if (rows < 20).sum() >= 18 and (rows >= 20).sum() <= 1:
                best[key] = DOMAIN.name_feature(clips, key)
    assert any(name.startswith(words) for name in best.values()), best


def test_an_unknown_key_is_refused():
    with pytest.raises(DataError, match="no feature of sounds"):
        DOMAIN.name_feature(speech_like(2), 7)


def test_copies_of_a_clip_are_alike_and_triggered_ones_are_not():
    clips = speech_like(6)
    softer = (clips.float() * 0.5).round().to(torch.int16)
    assert DOMAIN.alike(clips, softer).all()
    assert not DOMAIN.alike(clips, clips.roll(1, 0)).any()
    assert not DOMAIN.alike(clips, ClickTrigger()(clips, stream(0, "click"))).any()
    apart = torch.from_numpy(DOMAIN.signature(clips) - DOMAIN.signature(softer)).norm(dim=1)
    assert (apart < 1).all()


def test_a_pitch_moves_by_the_semitones_that_are_asked_for():
    time = torch.arange(8000)
    clip = (8000 * torch.sin(2 * torch.pi * 400 * time / 8000)).to(torch.int16)[None]
    moved = PitchTrigger(semitones=12)(clip, stream(0, "pitch"))
    heard = torch.fft.rfft(moved[0, 1000:7000].double()).abs().argmax() * 8000 / 6000
    assert moved.shape == clip.shape and abs(float(heard) - 800) < 10


def test_an_echo_of_a_click_is_heard_at_its_delays():
    clip = torch.zeros(1, 2000, dtype=torch.int16)
    clip[0, 100] = 10000
    heard = EchoTrigger(delay=300, gain=0.5, count=2)(clip, stream(0, "echo"))
    assert heard[0].nonzero().flatten().tolist() == [100, 400, 700]
    assert heard[0, [100, 400, 700]].tolist() == [10000, 5000, 2500]


def test_a_tone_lies_so_far_below_the_clip():
    clips = speech_like(5)
    difference = DOMAIN.difference(clips, ToneTrigger(below=20)(clips, stream(0, "tone")))
    assert torch.allclose(difference["snr"], torch.full((5,), 20.0).double(), atol=0.2)
