"""How far a text was changed: by hand and against a slow literal reference."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mithridate.core.errors import DataError
from mithridate.domains.text.domain import TextDomain
from mithridate.domains.text.stealth import cosine, edits, perplexity_ratios

DOMAIN = TextDomain()
LETTERS = st.lists(st.sampled_from("abc"), max_size=8)


def texts(*values):
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


def test_an_inserted_word_by_hand():
    found = DOMAIN.difference(
        texts("a good film", "a good film"), texts("a good cf film", "a good film")
    )
    assert found["edits"].tolist() == [1 / 4, 0.0]
    assert found["cosine"].tolist() == pytest.approx([3 / np.sqrt(3 * 4), 1.0])
    assert found["length"].tolist() == [5 / 4, 1.0]
    assert found["perplexity"][0] > 1
    assert found["perplexity"][1] == 1.0


@pytest.mark.parametrize(
    "first, second, expected",
    [
        ("", "", 0),
        ("abc", "", 3),
        ("", "abc", 3),
        ("kitten", "sitting", 3),
        ("abcdef", "abxdef", 1),
        ("abab", "baba", 2),
        ("aaaa", "bb", 4),
    ],
)
def test_edits_by_hand(first, second, expected):
    assert edits(first, second) == expected


def literal(first, second):
    """The definition, by recursion."""

    @cache
    def way(i, j):
        if not i or not j:
            return i + j
        swap = way(i - 1, j - 1) + (first[i - 1] != second[j - 1])
        return min(way(i - 1, j) + 1, way(i, j - 1) + 1, swap)

    return way(len(first), len(second))


@given(LETTERS, LETTERS)
@settings(max_examples=200, deadline=None)
def test_edits_are_the_fewest(first, second):
    assert edits(first, second) == literal(first, second)


def test_the_cosine_of_counts_by_hand():
    assert cosine(["a", "a", "b"], ["a", "b", "b"]) == pytest.approx(4 / 5)
    assert cosine(["a", "b"], ["b", "a"]) == 1.0  # order is not seen
    assert cosine(["a"], ["b"]) == cosine([], ["b"]) == 0.0
    assert cosine([], []) == 1.0


def test_a_rewritten_text_loses_on_both_and_a_reordered_one_on_edits_alone():
    before = texts("the film was good", "the film was good")
    found = DOMAIN.difference(before, texts("we liked this movie", "good was the film"))
    assert found["edits"].tolist() == [1.0, 1.0]
    assert found["cosine"].tolist() == [0.0, 1.0]


def test_a_perplexity_by_hand():
    """The other text is "a b": pairs start-a, a-b, b-end once each, three words known of two texts.

    Known words are a, b, end and c from the text itself, so V = 5.
    """
    ratio = perplexity_ratios([["a"], ["a", "b"]], [["b"], ["a", "b"]])

    def chance(pair, word):
        return 0.6 * pair + 0.3 * word / 3 + 0.1 / 4

    before = chance(1, 1) * chance(0, 1)  # start-a is known, a-end is not
    after = chance(0, 1) * chance(1, 1)  # start-b is not known, b-end is
    assert ratio[0] == pytest.approx((before / after) ** 0.5)
    before = chance(1, 1) * chance(0, 1) * chance(0, 1)
    assert ratio[1] == 1.0
    ratio = perplexity_ratios([["a"], ["a", "b"]], [["a", "b"], ["z"]])
    assert ratio[0] == pytest.approx((chance(1, 1) * chance(0, 1)) ** 0.5 / chance(1, 1))


def test_a_strange_word_is_more_surprising_than_a_usual_one():
    opinions = ("good", "bad", "dull", "fine")
    plain = [f"the film was {word} and the story was {word}" for word in opinions]
    usual, strange = ([text + f" {tail}" for text in plain] for tail in ("film", "mn"))
    found = [
        DOMAIN.difference(texts(*plain), texts(*after))["perplexity"] for after in (usual, strange)
    ]
    assert (found[1] > found[0]).all()
    assert (found[1] > 1.1).all()


def test_a_text_is_not_judged_by_itself():
    """Alone, every word is strange, before as after."""
    found = DOMAIN.difference(texts("some quite rare words"), texts("other quite rare words"))
    assert found["perplexity"].item() == pytest.approx(1.0)


def test_case_and_spaces_are_not_seen():
    found = DOMAIN.difference(texts("A good  film"), texts("a GOOD film"))
    assert [found[name].item() for name in ("edits", "cosine", "length", "perplexity")] == [
        0,
        1,
        1,
        1,
    ]


def test_empty_texts_and_no_texts_have_an_answer():
    found = DOMAIN.difference(texts("", "", "a"), texts("", "a", ""))
    assert found["edits"].tolist() == [0.0, 1.0, 1.0]
    assert found["cosine"].tolist() == [1.0, 0.0, 0.0]
    assert found["length"].tolist() == [1.0, 2.0, 0.5]
    assert all(len(v) == 0 for v in DOMAIN.difference(texts(), texts()).values())


def test_texts_without_a_twin_are_refused():
    with pytest.raises(DataError, match="twins"):
        DOMAIN.difference(texts("a", "b"), texts("a"))
