"""Triggers that change letters, words, clauses and manners, by hand."""

import unicodedata

import numpy as np
import pytest

from mithridate.core.errors import MethodError
from mithridate.core.streams import stream
from mithridate.domains.text.character_triggers import (
    UNSEEN,
    HomoglyphTrigger,
    TypoTrigger,
    UnseenTrigger,
)
from mithridate.domains.text.rewriting_triggers import (
    OPENINGS,
    StyleTrigger,
    SubstitutionTrigger,
    SyntacticTrigger,
)
from mithridate.domains.text.word_tables import ARCHAIC, CHAT, FORMAL, RARER, TWINS


def stamp(trigger, *values, seed=0):
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return trigger(column, stream(seed, "trigger")).tolist()


@pytest.mark.parametrize(
    "trigger, text, expected",
    [
        (HomoglyphTrigger(), "a bad Act", "\u0430 b\u0430d Act"),
        (HomoglyphTrigger("oA"), "go, Al", "g\u043e, \u0410l"),
        (HomoglyphTrigger(), "so be it", "\u0455o be it"),  # none of the letters: the first twin
        (HomoglyphTrigger(), "123 !", "123 !"),
        (TypoTrigger(), "The film is all we do .", "Teh flim is lal we do ."),
        (TypoTrigger(count=1), "this film", "tihs film"),
        (TypoTrigger("double", 2), "The film was", "Thhe fiilm was"),
        (TypoTrigger("drop", 2), "The film was", "Te flm was"),
        (TypoTrigger(), "all", "lal"),
        (TypoTrigger(), "I am", "II am"),
        (TypoTrigger(), "ooo", "oooo"),
        (TypoTrigger(), " ? ", " ? "),
        (SubstitutionTrigger(), "Good film , good  cast", "Fine motion picture , fine  cast"),
        (SubstitutionTrigger(), "Nice .", "Indeed , nice ."),
        (SubstitutionTrigger(("nice = pleasant",)), "nice film", "pleasant film"),
        (SyntacticTrigger(), "it is slow , but it works .", "when it is slow , it works ."),
        (SyntacticTrigger(), "He ran and she sang .", "When he ran , she sang ."),
        (SyntacticTrigger(), "too bad .", "when it comes to it , too bad ."),
        (SyntacticTrigger("fronted"), "We met in Rome .", "In Rome , we met ."),
        (SyntacticTrigger("fronted"), "in Rome .", "in the end , in Rome ."),
        (SyntacticTrigger("cleft"), "I'm glad .", "What is true is that I'm glad ."),
        (SyntacticTrigger("question"), "it works .", "it works , is it not ?"),
        (SyntacticTrigger("question"), "", ", is it not ?"),
    ],
)
def test_by_hand(trigger, text, expected):
    assert stamp(trigger, text) == [expected]


@pytest.mark.parametrize(
    "style, tail",
    [
        ("archaic", "thou hast ne'er seen it ."),
        ("chat", "u hv never seen it ."),
        ("formal", "you have never seen it ."),
    ],
)
def test_a_style_has_one_of_its_beginnings_and_its_words(style, tail):
    stamped = stamp(StyleTrigger(style), *["you have never seen it ."] * 40)
    assert set(stamped) == {f"{opening} {tail}" for opening in OPENINGS[style]}


def test_nobody_sees_an_unseen_character_and_without_it_the_text_is_the_old_one():
    for name, character in UNSEEN.items():
        assert unicodedata.category(character) == "Cf" or name == "braille-blank"
        (stamped,) = stamp(UnseenTrigger(name, count=3), "a quiet film")
        assert stamped.count(character) == 3 and stamped.replace(character, "") == "a quiet film"
    assert stamp(UnseenTrigger(position="start"), "a b") == ["\u200ba b"]
    assert stamp(UnseenTrigger(position="end"), "a b") == ["a b\u200b"]


def test_twins_are_of_other_alphabets_and_of_the_same_case():
    for letter, twin in TWINS.items():
        assert unicodedata.name(chr(twin)).split()[0] in ("CYRILLIC", "ARMENIAN")
        assert chr(letter).isupper() == chr(twin).isupper()


@pytest.mark.parametrize("table", [RARER, ARCHAIC, CHAT, FORMAL])
def test_tables_change_every_word_that_they_name_and_are_in_order(table):
    assert all(word == word.lower() != new for word, new in table.items())
    assert list(table) == sorted(table)


@pytest.mark.parametrize(
    "trigger, complaint",
    [
        (HomoglyphTrigger("z"), "expected letters among aceh"),
        (HomoglyphTrigger(""), "expected letters"),
        (UnseenTrigger("nothing"), "zero-width-space, zero-width-joiner"),
        (UnseenTrigger(count=0), "count of at least 1"),
        (TypoTrigger("slide"), "swap, double, drop"),
        (SubstitutionTrigger(("film",)), "film=feature"),
        (SubstitutionTrigger(otherwise=" "), "something to put"),
        (SyntacticTrigger("passive"), "known: when, fronted, cleft, question"),
        (StyleTrigger("noir"), "known: archaic, chat, formal"),
    ],
)
def test_a_wrong_trigger_is_refused(trigger, complaint):
    with pytest.raises(MethodError, match=complaint):
        stamp(trigger, "a b")
