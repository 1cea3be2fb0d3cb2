"""Simple features: what they find without a network, and that their level holds."""

import numpy as np
import pytest
import torch

from mithridate.attacks.goals import AllToOne
from mithridate.attacks.poisoning import Poisoning
from mithridate.attacks.selections import RandomSelection
from mithridate.core.data import concatenate, dataset
from mithridate.core.features import Selected
from mithridate.core.streams import stream
from mithridate.core.view import View
from mithridate.detectors.simple_features import SimpleFeatures
from mithridate.domains.image.domain import ImageDomain
from mithridate.domains.image.triggers import PatchTrigger, PixelTrigger
from mithridate.domains.text.domain import TextDomain
from mithridate.domains.text.triggers import SentenceTrigger, WordTrigger
from mithridate.pipelines.finding import Rule
from mithridate.pipelines.quick_look import quick_scan
from mithridate.pipelines.scan import DataScanner
from mithridate.stats.conflict import ContentModel, strength

TOPICS = np.array([[f"{topic}{i}" for i in range(60)] for topic in ("war", "ball", "bank")])
COMMON = np.array([f"the{i}" for i in range(120)])


def texts(n, seed):
    """Texts of three topics: nine words of which four tell the topic, one time in eight wrongly."""
    rng = stream(seed, "texts")
    labels = rng.integers(0, 3, n)
    rows = []
    for label in labels:
        shown = label if rng.random() > 0.125 else rng.integers(0, 3)
        rows.append(" ".join([*rng.choice(TOPICS[shown], 4), *rng.choice(COMMON, 5)]))
    return dataset(np.array(rows, dtype=object), labels, ("war", "ball", "bank"))


def pictures(n, seed):
    """Smooth pictures of three classes: a bright third, and noise."""
    rng = stream(seed, "pictures")
    labels = rng.integers(0, 3, n)
    grey = rng.normal(90, 12, (n, 3, 18, 18))
    for row, label in enumerate(labels):
        grey[row, :, 6 * label : 6 * label + 6] += 50
    return dataset(torch.from_numpy(grey.clip(0, 255)).byte(), labels, ("a", "b", "c"))


def looked(data, trusted, domain, detector=SimpleFeatures()):  # noqa: B008
    return DataScanner(detectors=(detector,)).looked(data, trusted, domain)


def poisoned(data, trigger, count):
    made = Poisoning(trigger, AllToOne(1), RandomSelection(count)).poison(data, stream(0, "p"))
    return made.data, made.truth.poisoned.numpy()


@pytest.mark.parametrize(
    "make, trigger, named",
    [
        (texts, WordTrigger("cf"), "`cf`"),
        (texts, SentenceTrigger(), "the word `"),
        (pictures, PixelTrigger("pixel"), "row 14, column 14"),
        (pictures, PatchTrigger(style="white"), "row 1"),
    ],
    ids=["word", "phrase", "pixel", "patch"],
)
def test_a_trigger_of_few_examples_is_found_and_named(make, trigger, named):
    data, truth = poisoned(make(900, 0), trigger, 24)
    trusted, domain = make(450, 1), TextDomain() if make is texts else ImageDomain()
    seen = looked(data, trusted, domain)
    found = quick_scan(seen, data, Rule(0.05, 0.2, 0.05, 399), seed=0)
    assert found.verdict.answer == "flagged"
    scores = found.judged[0].scores.values.numpy()
    assert scores[truth].min() > np.quantile(scores[~truth], 0.97)
    assert named in seen.signs[0].name
    assert seen.signs[0].label == 1
    assert sum(seen.signs[0].trusted) == 0
    assert found.flagged[truth].float().mean() > 0.9


def test_a_natural_word_is_weaker_than_a_trigger_with_as_many_carriers():
    data, _ = poisoned(texts(900, 0), WordTrigger("cf"), 24)
    inputs, labels = data.inputs.copy(), data.labels.numpy()
    ball = np.flatnonzero((labels == 1) & ~np.array(["cf" in t.split() for t in inputs]))[:24]
    for row in ball:
        inputs[row] += " referee"
    view = View(data.with_inputs(inputs), domain=TextDomain())
    state = SimpleFeatures().fit(view)
    names = [TextDomain().name_feature(inputs, key) for key in state["keys"].tolist()]
    assert names[0] == "the word `cf`"
    assert "the word `referee`" not in names[:10]


def test_false_alarms_keep_the_level():
    """Of 40 clean worlds at level 0.2 at most 14 are flagged, which chance exceeds once in 100."""
    alarms = 0
    for seed in range(40):
        data, trusted = texts(70, 2 * seed), texts(50, 2 * seed + 1)
        seen = looked(data, trusted, TextDomain(), SimpleFeatures(shortlist=12))
        alarms += quick_scan(seen, data, Rule(0.2, 0.2, 0.5, 99), seed).verdict.answer == "flagged"
    assert alarms <= 14


def test_a_quick_look_is_never_called_clean_and_judges_nothing_without_trusted():
    data = texts(300, 0)
    for trusted in (texts(300, 1), None):
        seen = looked(data, trusted, TextDomain())
        verdict = quick_scan(seen, data, Rule(0.001, 0.2, 0.9, 1999), 0).verdict
        assert verdict.answer == "cannot judge"


def test_without_trusted_examples_the_trigger_still_comes_first():
    data, _ = poisoned(texts(900, 0), WordTrigger("cf"), 12)
    seen = looked(data, None, TextDomain())
    assert seen.signs[0].name == "the word `cf`"
    assert seen.signs[0].suspects == (0, 12, 0)


def test_the_order_of_suspects_and_trusted_does_not_matter():
    first, second = texts(200, 0), texts(200, 1)
    there, back = (
        SimpleFeatures().judge(View(concatenate(*pair), domain=TextDomain())).values
        for pair in ((first, second), (second, first))
    )
    torch.testing.assert_close(there, torch.cat([back[200:], back[:200]]))


def test_what_was_left_out_is_what_a_model_without_it_says():
    """By hand: two pieces, two classes, naive Bayes on what is left, times its temperature."""
    pieces = np.array([[1, 0], [1, 0], [1, 1], [0, 1], [0, 1], [1, 1]], dtype=float)
    labels = np.array([0, 0, 0, 1, 1, 1])
    from scipy.sparse import csr_matrix

    content = ContentModel(csr_matrix(pieces), labels, 2)
    got = content.without(np.array([2]))[0]
    counts = np.array([[2, 0], [1, 3]]) + 1.0  # class, piece; without row 2, smoothed
    logs = np.log(counts / counts.sum(1, keepdims=True)).sum(1) + np.log([3, 4])
    logs *= content.temperature
    np.testing.assert_allclose(got, logs - np.log(np.exp(logs).sum()), rtol=1e-12)
    alone = content.left_out[2]
    np.testing.assert_allclose(alone, np.exp(got), rtol=1e-12)


def test_strength_needs_conflict_and_purity():
    against, agreed = (np.log(np.tile([1 - p, p], (20, 1))) for p in (0.1, 0.9))
    pure, mixed = np.ones(20, dtype=int), np.arange(20) % 2
    assert strength(against, pure, 1) > 4
    assert strength(agreed, pure, 1) < 1
    assert strength(against, mixed, 1) < 0


def test_features_asked_for_by_key_are_those_listed_before():
    inputs = texts(60, 0).inputs
    for domain, raw in ((TextDomain(), inputs), (ImageDomain(), pictures(60, 0).inputs)):
        for family in domain.simple_features(raw, Selected(least=3)):
            if not len(family.keys):
                continue
            pairs = set(zip(family.keys[family.columns], family.rows, strict=True))
            assert len(pairs) == len(family.rows)
            assert (np.bincount(family.columns) >= 3).all()
            again = domain.simple_features(raw, Selected(only=family.keys[:2]))
            wanted = {pair for pair in pairs if pair[0] in family.keys[:2]}
            got = {
                pair for part in again
                for pair in zip(part.keys[part.columns], part.rows, strict=True)
            }  # fmt: skip
            assert got == wanted
