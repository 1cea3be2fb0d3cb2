"""What occurs on both sides, or often: who is then compared, and that the level holds."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mithridate.core.data import Dataset
from mithridate.core.errors import DataError
from mithridate.core.scores import Scores
from mithridate.domains.text.domain import TextDomain
from mithridate.pipelines.naming import Naming
from mithridate.pipelines.overlap import arrange
from mithridate.pipelines.spreading import _naming
from mithridate.report.overlapping import figures, sentences
from mithridate.stats.enrichment import enrichment
from mithridate.stats.intervals import proportion

DOMAIN = TextDomain()


def texts(*contents, labels=None):
    """A data set of two classes; without labels the class follows from the content."""
    column = np.array([f"Word w{content}" for content in contents], dtype=object)
    classes = [int(c) % 2 for c in contents] if labels is None else labels
    return Dataset(column, torch.tensor(classes), torch.arange(len(column)), ("even", "odd"))


def test_without_anything_in_common_all_are_compared_in_their_order():
    seen = arrange(texts(1, 2, 3, 4), texts(5, 6), DOMAIN)
    assert seen.order.tolist() == list(range(6))
    assert seen.strata.tolist() == [1] * 6
    assert sentences(seen.overlap, "abcd") == []


def test_copies_leave_and_their_originals_count_as_trusted():
    copies = texts(3, 5)
    copies.inputs[1] = "word  W5"
    seen = arrange(texts(1, 2, 3, 4, 5, 6), copies, DOMAIN)
    assert seen.suspects.tolist() == [0, 1, 3, 5]
    assert seen.trusted.tolist() == [2, 4]
    assert len(seen.rest) == 0, "no copy is trained on twice"
    assert seen.overlap.vouched.tolist() == [False, False, True, False, True, False]
    assert (seen.overlap.exact, seen.overlap.near) == (1, 1)
    (said,) = sentences(seen.overlap, "abcdef")
    assert said.startswith("2 trusted examples are copies of suspects, 1 of them")
    assert figures(seen.overlap)["vouched"] == [2, 4]


def test_what_recurs_by_nature_leaves_on_both_sides():
    seen = arrange(texts(1, 1, 2, 2, 3, 3, 4, 5, 7), texts(1, 9, 11, 13), DOMAIN)
    assert seen.overlap.natural
    assert seen.suspects.tolist() == [2, 4, 6, 7, 8]
    assert seen.trusted.tolist() == [10, 11, 12]
    assert seen.strata.tolist() == [2, 2, 1, 1, 1, 1, 1, 1]
    assert seen.rest.tolist() == [0, 1, 3, 5]
    assert seen.unit.tolist() == [-1, -1, 0, 0, 1, 1, 2, 3, 4]
    assert "by nature" not in (said := " ".join(sentences(seen.overlap, "abcdefghi")))
    assert "was not compared" in said and "3 suspects repeat another one" in said


def test_a_trusted_content_under_another_label_is_said_and_not_vouched_for():
    seen = arrange(texts(1, 2, 3, labels=[1, 0, 0]), texts(2, 3, 5, labels=[0, 1, 1]), DOMAIN)
    assert seen.overlap.vouched.tolist() == [False, True, False]
    assert seen.overlap.relabelled.tolist() == [2]
    assert "another label" in " ".join(sentences(seen.overlap, "abc"))


def test_one_example_that_occurs_often_is_said():
    seen = arrange(texts(*[8] * 12, 1, 2, 3), texts(5, 6), DOMAIN)
    assert "one example of class 'even' occurs 12 times" in " ".join(
        sentences(seen.overlap, "x" * 15)
    )


@pytest.mark.parametrize(
    "suspects, trusted",
    [
        (range(20), range(20)),
        (range(20), range(4, 20)),
        (range(20), range(60)),
        ([*range(10), *range(5)], [*range(10), *range(100, 110)]),
    ],
)
def test_trusted_examples_that_are_the_suspects_again_are_refused(suspects, trusted):
    with pytest.raises(DataError, match="whoever trusts them has answered already"):
        arrange(texts(*suspects), texts(*trusted), DOMAIN)


def world(rng, share, repeats, bursts, n=100, m=30):
    """Clean rows, and trusted ones of which a share is copied out of them."""

    def drawn(many):
        rare, common = rng.integers(10**6, 10**9, many), rng.integers(0, n // 8, many)
        rows = np.where(rng.random(many) < repeats, common, rare)
        again = rng.integers(0, 3 if bursts else 1, many) + 1
        return np.repeat(np.where(bursts, rare, rows), again)[:many]

    suspects = drawn(n)
    copied = rng.choice(suspects, round(share * m), replace=False)
    return suspects, np.concatenate([copied, drawn(m - len(copied))])


def scores(contents, rng):
    """Contents that are common or that a network met twice look ordinary, in three rankings."""
    own = {c: rng.standard_normal() - 2 * (c < 10**6) for c in sorted(set(contents.tolist()))}
    met = {c: np.sum(contents == c) for c in own}
    seen = np.array([own[c] - met[c] for c in contents.tolist()])
    return np.stack([seen, -seen, seen + rng.standard_normal(len(seen))])


def rejected(contents, is_trusted, rng, strata=None):
    """Whether a world is called poisoned at the level 0.1."""
    many = len(is_trusted)
    tested = enrichment(
        scores(contents, rng)[:, :many], contents[:many] % 2, is_trusted, 2, rng,
        strata=strata, permutations=49,
    )  # fmt: skip
    return tested.p_value <= 0.1


def compared(seed, **kind):
    """Whether a clean world is rejected as it is compared."""
    rng = np.random.default_rng(seed)
    suspects, trusted = world(rng, **kind)
    seen = arrange(texts(*suspects), texts(*trusted), DOMAIN)
    n, m = len(seen.suspects), len(seen.trusted)
    contents = np.concatenate([suspects, trusted])[seen.order]
    return rejected(contents, np.arange(n + m) >= n, rng, seen.strata)


@pytest.mark.parametrize("repeats, bursts", [(0.0, False), (0.3, False), (0.0, True)])
@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
def test_clean_worlds_are_rejected_no_more_often_than_stated(share, repeats, bursts):
    worlds = 40
    alarms = sum(compared(s, share=share, repeats=repeats, bursts=bursts) for s in range(worlds))
    assert proportion(alarms, worlds, level=0.99).low <= 0.1


def test_in_these_worlds_copies_do_harm_where_nothing_is_done_about_them():
    alarms = 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        suspects, trusted = world(rng, share=1.0, repeats=0.0, bursts=False)
        is_trusted = np.arange(len(suspects) + len(trusted)) >= len(suspects)
        alarms += rejected(np.concatenate([suspects, trusted]), is_trusted, rng)
    assert alarms >= 4


def test_a_list_of_contents_is_bounded_in_examples():
    """Of two named contents one may be clean, which may be the one that occurs three times."""
    rows, unit = torch.arange(6), torch.tensor([0, 0, 0, 1, 2, -1])
    seen = SimpleNamespace(unit=unit, order=rows)
    scores = Scores(
        torch.tensor([3.0, 2.0, 1.0]).double(),
        "sample",
        torch.tensor([0.1, 0.1, 0.9], dtype=torch.float64),
    )
    found = _naming(Naming(scores, rows, 1, False, None), torch.tensor([True, True, False]), seen)
    assert found.clean_at_most == 3
    assert found.scores.values.tolist() == [3, 3, 3, 2, 1, 0]
    assert found.scores.p_values.tolist() == [0.1, 0.1, 0.1, 0.1, 0.9, 1]
