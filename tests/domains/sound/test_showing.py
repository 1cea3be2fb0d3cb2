"""Sounds on a page: bounded, playable, and at the rate at which they were recorded."""

import base64
import io
import wave

import torch

from mithridate.domains.registry import show_inputs
from mithridate.domains.sound.domain import SoundDomain


def sounds(n=6, length=4000):
    return (torch.sin(torch.arange(length) / 5) * 9000).repeat(n, 1).to(torch.int16)


def test_a_clip_is_played_at_its_rate_and_is_the_same():
    shown = show_inputs(sounds(), SoundDomain(rate=16000))
    card = shown.card(0, {})
    assert shown.kind == "sounds" and card["seconds"] == 0.25
    with wave.open(io.BytesIO(base64.b64decode(card["audio"].partition(",")[2]))) as file:
        assert file.getframerate() == 16000
        assert file.readframes(10**6) == sounds()[0].numpy().tobytes()


def test_a_long_clip_is_cut_and_it_is_said():
    card = show_inputs(sounds(1, 160_000), SoundDomain()).card(0, {})
    assert len(card["audio"]) < 140_000 and card["played"] == 6.0


def test_a_page_of_long_clips_stays_within_its_budget():
    shown = show_inputs(sounds(1, 160_000), SoundDomain())
    assert 2 <= shown.room(10) < show_inputs(sounds(), SoundDomain()).room(10) <= 12


def test_averages_differ_where_a_tone_was_laid_over():
    clips = sounds()
    clips[:3] += (500 * torch.cos(2.4 * torch.arange(4000))).to(torch.int16)
    contrast = show_inputs(clips).contrast(torch.arange(3), torch.arange(3, 6))
    assert contrast["largest"] > 10
    assert show_inputs(clips).contrast(torch.arange(0), torch.arange(3)) == {}
