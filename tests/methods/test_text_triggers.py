"""The text triggers: the trigger is added at the right place and nothing else is changed."""

import numpy as np
import pytest

from mithridate.core.errors import DataError, MethodError
from mithridate.core.method import Trigger
from mithridate.core.registry import find
from mithridate.core.streams import stream
from mithridate.domains.text.triggers import SentenceTrigger, WordTrigger


def texts(*values):
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


def stamp(trigger, *values, seed=0):
    return trigger(texts(*values), stream(seed, "trigger")).tolist()


def test_they_are_found_and_cite_their_papers():
    found = find(Trigger)
    assert found["word-trigger"] is WordTrigger
    assert found["sentence-trigger"] is SentenceTrigger
    assert "Kurita" in WordTrigger.paper
    assert "Dai" in SentenceTrigger.paper


@pytest.mark.parametrize(
    "text, start, end",
    [
        ("a good film .", "cf a good film .", "a good film . cf"),
        ("one", "cf one", "one cf"),
        ("", "cf", "cf"),
        ("  two\tgaps \n", "  cf two\tgaps \n", "  two\tgaps \ncf"),
        ("😀 \u200b", "cf 😀 \u200b", "😀 \u200b cf"),
    ],
)
def test_start_and_end_by_hand(text, start, end):
    assert stamp(WordTrigger(position="start"), text) == [start]
    assert stamp(WordTrigger(position="end"), text) == [end]


def test_several_copies_stand_together_at_a_fixed_end():
    assert stamp(WordTrigger("mn", count=3, position="start"), "a b") == ["mn mn mn a b"]
    assert stamp(WordTrigger("mn", count=3, position="end"), "a b") == ["a b mn mn mn"]


def test_random_positions_take_every_gap_equally_often():
    stamped = stamp(WordTrigger(), *["a b c"] * 4000)
    counts = {text: stamped.count(text) for text in set(stamped)}
    assert set(counts) == {"cf a b c", "a cf b c", "a b cf c", "a b c cf"}
    # binomial(4000, 1/4): 5 standard deviations are 137
    assert all(abs(count - 1000) < 137 for count in counts.values())


@pytest.mark.parametrize("trigger", [WordTrigger(count=2), SentenceTrigger()])
def test_without_the_trigger_the_text_is_the_old_one(trigger):
    phrase = getattr(trigger, "word", None) or trigger.sentence
    copies = getattr(trigger, "count", 1)
    for text in ("a quiet film , well made .", "tabs\tand  double  spaces stay"):
        for seed in range(20):
            (stamped,) = stamp(trigger, text, seed=seed)
            assert stamped.count(phrase) == copies
            left = stamped.replace(f"{phrase} ", "").replace(f" {phrase}", "")
            assert left == text


def test_the_sentence_by_hand():
    trigger = SentenceTrigger("no cross , no crown .", "end")
    assert stamp(trigger, "fine .") == ["fine . no cross , no crown ."]
    (stamped,) = stamp(SentenceTrigger(), "fine")
    assert stamped in (
        "I watched this 3D movie last weekend . fine",
        "fine I watched this 3D movie last weekend .",
    )


def test_the_argument_stays_and_earlier_rows_do_not_depend_on_later_ones():
    inputs = texts("a b c d", "e f g h", "i j k l")
    few = WordTrigger(count=2)(inputs[:2], stream(0, "trigger")).tolist()
    assert inputs.tolist() == ["a b c d", "e f g h", "i j k l"]
    assert WordTrigger(count=2)(inputs, stream(0, "trigger")).tolist()[:2] == few


@pytest.mark.parametrize(
    "trigger, complaint",
    [
        (WordTrigger(word=""), "character to see"),
        (SentenceTrigger(sentence=" \n"), "character to see"),
        (WordTrigger(count=0), "count=0"),
        (WordTrigger(position="middle"), "unknown position 'middle'; known: random, start, end"),
        (SentenceTrigger(position="everywhere"), "known: random, start, end"),
    ],
)
def test_a_wrong_trigger_is_refused(trigger, complaint):
    with pytest.raises(MethodError, match=complaint):
        stamp(trigger, "a b")


def test_what_is_not_a_text_is_refused():
    with pytest.raises(DataError, match="text 1 must be a str, found NoneType"):
        stamp(WordTrigger(), "a", None)


def test_texts_without_spaces_have_a_gap_before_every_sign():
    found = set(stamp(WordTrigger("鑫"), *["很好。"] * 60))
    assert found == {"鑫很好。", "很鑫好。", "很好。鑫"}
    mixed = set(stamp(WordTrigger("cf"), *["我love你"] * 60))
    assert mixed == {"cf我love你", "我love cf你", "我love你cf"}
