"""Texts become numbers: by hand, at the edges, and the same in every process."""

import re
import subprocess
import sys
from dataclasses import replace
from hashlib import blake2b

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mithridate.core.errors import DataError, MethodError
from mithridate.core.features import Selected
from mithridate.domains.text.domain import TextDomain
from mithridate.domains.text.words import MASK, PADDING, PIECE, gaps, words

SHORT = TextDomain(length=6)


def texts(*values):
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


def number(word, salt=0):
    """The definition: 2 + hash modulo 2^31 - 2."""
    code = word.encode("utf-8", "surrogatepass")
    digest = blake2b(code, digest_size=8, salt=salt.to_bytes(16, "little")).digest()
    return 2 + int.from_bytes(digest, "little") % (2**31 - 2)


@pytest.mark.parametrize(
    "text, expected",
    [
        ("", []),
        (" \n\t ", []),
        ("Good movie", ["good", "movie"]),
        ("Don't!", ["don't", "!"]),
        ("does n't", ["does", "n't"]),
        ("'quoted'", ["'", "quoted", "'"]),
        ("wait ... 3.5", ["wait", ".", ".", ".", "3", ".", "5"]),
        ("crème Brûlée", ["crème", "brûlée"]),
        ("fine😀😀", ["fine", "😀", "😀"]),
        ("a\u200bb", ["a", "\u200b", "b"]),  # an invisible mark is seen
        ("ΣΊΓΜΑ", ["σίγμα"]),
        ("a\x00b", ["a", "\x00", "b"]),
        ("<b>x</b>", ["<", "b", ">", "x", "<", "/", "b", ">"]),
    ],
)
def test_words(text, expected):
    assert words(text) == expected


def test_numbers_by_hand():
    prepared = SHORT.prepare(texts("Good movie .", "", "good"))
    assert prepared.dtype == torch.int32
    good, movie, stop = number("good"), number("movie"), number(".")
    assert prepared.tolist() == [
        [good, movie, stop, 0, 0, 0],
        [0, 0, 0, 0, 0, 0],
        [good, 0, 0, 0, 0, 0],
    ]
    assert (good, number("cf")) == (459601119, 797297648), "b2sum -l 64 says otherwise"


@pytest.mark.parametrize(
    "length, kept", [(1, "a"), (2, "ag"), (3, "abg"), (4, "abfg"), (7, "abcdefg"), (9, "abcdefg")]
)
def test_a_long_text_keeps_its_beginning_and_its_end(length, kept):
    domain = TextDomain(length=length)
    row = domain.prepare(texts("a b c d e f g"))[0].tolist()
    assert row == [number(letter) for letter in kept] + [PADDING] * (length - len(kept))
    assert domain.cut(texts("a b c d e f g", "", "a")).tolist() == [length < 7, False, False]


def test_another_salt_gives_other_numbers():
    salted = replace(SHORT, salt=7).prepare(texts("good"))[0, 0]
    assert salted == number("good", salt=7) != number("good")


def test_half_an_emoji_and_a_very_long_word_are_words():
    row = SHORT.prepare(texts("a \ud83d " + "x" * 1_000_000))[0].tolist()
    assert row[:3] == [number("a"), number("\ud83d"), number("x" * 1_000_000)]


@settings(deadline=None, max_examples=200)
@given(st.lists(st.text(st.characters(), max_size=40), max_size=5))
def test_any_text_at_all_becomes_numbers_then_padding(values):
    prepared = SHORT.prepare(texts(*values))
    assert prepared.shape == (len(values), 6)
    for text, row in zip(values, prepared, strict=True):
        assert int((row != PADDING).sum()) == min(6, len(words(text)))
        assert (row[: len(words(text))] > MASK).all()
        assert (row[len(words(text)) :] == PADDING).all()


def test_numbers_are_the_same_in_another_process():
    program = (
        "import numpy as np\n"
        "from mithridate.domains.text.domain import TextDomain\n"
        "print(TextDomain(length=6).prepare(np.array(['Good movie 😀'], object))[0].tolist())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True,
        env={"PYTHONHASHSEED": "1234", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.stdout.strip() == str(SHORT.prepare(texts("Good movie 😀"))[0].tolist())


@pytest.mark.parametrize(
    "wrong, found",
    [
        (texts("fine", None), "text 1 must be a str, found NoneType"),
        (texts("fine", float("nan")), "text 1 must be a str, found float 'nan'"),
        (texts("fine", "fine", b"bytes"), "text 2 must be a str, found bytes"),
        (np.array(["fixed width"]), "found ndarray <U11"),
        (["a list"], "found list"),
        (np.full((2, 2), "x", dtype=object), r"\[2, 2\]"),
    ],
)
def test_what_is_not_a_text_is_named(wrong, found):
    with pytest.raises(DataError, match=found):
        SHORT.prepare(wrong)
    with pytest.raises(DataError, match=found):
        SHORT.cut(wrong)


@pytest.mark.parametrize("field", ["length", "buckets"])
def test_no_room_for_words_is_refused(field):
    with pytest.raises(MethodError, match="at least 1"):
        TextDomain(**{field: 0}).prepare(texts("a"))


def test_augmentation_masks_words_alone_at_its_rate(rng):
    domain = TextDomain(length=64, dropout=0.3)
    batch = domain.prepare(texts(*["word " * 48] * 1000))
    changed = domain.augment(batch, torch.Generator().manual_seed(0))
    assert (changed[:, 48:] == PADDING).all()
    masked = changed != batch
    assert (changed[masked] == MASK).all()
    # 48,000 draws: 5 standard deviations are 0.0105
    assert float(masked[:, :48].float().mean()) == pytest.approx(0.3, abs=0.0105)


def test_no_dropout_changes_nothing():
    batch = SHORT.prepare(texts("a b c"))
    same = replace(SHORT, dropout=0.0).augment(batch, torch.Generator().manual_seed(0))
    assert torch.equal(same, batch)


@pytest.mark.parametrize(
    "text, expected",
    [
        ("我很喜欢\uff0c真好。", ["我", "很", "喜", "欢", "\uff0c", "真", "好", "。"]),
        ("この映画はコンピュータで", ["こ", "の", "映", "画", "は", "コンピュータ", "で"]),
        ("か\u3099き", ["か\u3099", "き"]),  # a voice mark written apart
        ("เรื่องนี้", ["เรื่", "อ", "ง", "นี้"]),
        ("ກະລຸນາ", ["ກະ", "ລຸ", "ນາ"]),
        ("မြန်မာ", ["မြ", "န်", "မာ"]),
        ("ខ្មែរ", ["ខ្", "មែ", "រ"]),
        ("我love你 3.5元", ["我", "love", "你", "3", ".", "5", "元"]),
        ("हिन्दी फ़िल्म", ["हिन्दी", "फ़िल्म"]),  # spaces, and vowels that are marks
        ("שָׁלוֹם", ["שָׁלוֹם"]),
        ("한국어 영화", ["한국어", "영화"]),
        ("你\u200b好", ["你", "\u200b", "好"]),
        ("cafe\u0301", ["cafe", "\u0301"]),  # Latin as ever
        ("\u0e33\u0301", ["\u0e33", "\u0301"]),
    ],
)
def test_scripts_without_spaces_are_divided_into_characters(text, expected):
    assert words(text) == expected


LATIN = st.text(st.characters(max_codepoint=0x58F), max_size=60)


@settings(deadline=None, max_examples=200)
@given(LATIN)
def test_what_is_written_in_latin_greek_or_cyrillic_keeps_its_words(text):
    old = r"\w+(?:'\w+)*|[^\w\s]"
    assert words(text) == re.findall(old, text.lower())
    assert gaps(text) == [match.start() for match in re.finditer(r"\S+", text)]
    assert PIECE.findall(text) == re.findall(old, text)


@settings(deadline=None, max_examples=200)
@given(st.text(st.characters(min_codepoint=0x580, max_codepoint=0x3100), max_size=40))
def test_no_character_of_any_script_is_lost(text):
    assert "".join(words(text)) == re.sub(r"\s", "", text.lower())


def test_a_sign_in_a_text_without_spaces_changes_its_own_number_alone():
    plain, changed = SHORT.prepare(texts("我很喜欢它", "我很不喜欢"))
    assert plain.tolist()[:2] == changed.tolist()[:2]
    assert changed[2] == number("不") and changed.tolist()[3:5] == plain.tolist()[2:4]


def test_features_name_signs_and_their_neighbours_without_spaces():
    column = texts(*["我很喜欢这部电影", "他不喜欢那本书"] * 3)
    family = list(SHORT.simple_features(column, Selected(least=6)))
    known = [SHORT.name_feature(column, int(key)) for each in family for key in each.keys]
    assert "the word `喜`" in known and "the words `喜 欢`" in known
