"""What is shown: the flagged examples, or the first ones, clearly told apart."""

import base64
import io
import math
import re
from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image

from mithridate.core.showing import EXCERPT
from mithridate.domains.image.showing import BUDGET, SIDE, Pictures
from mithridate.domains.registry import show_inputs
from mithridate.domains.text.showing import Texts
from mithridate.report.evidence import exhibits
from mithridate.report.figures import BOTTOM, LEFT, RIGHT, TOP, histograms, spectrum
from report.example import pictures, poisoned, scan_of, texts


def example(answer="flagged", n=120, m=150, **more):
    data, trusted = pictures(n), pictures(m, seed=1) if m else None
    return scan_of(data, trusted, answer, **more), data, trusted


def decoded(address):
    head, _, body = address.partition(",")
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(body))))


def test_flagged_examples_come_in_the_order_of_their_score():
    scan, data, _ = example()
    (one,) = exhibits(scan, data)
    assert (one.label, one.flagged) == (1, True)
    assert set(one.suspects.tolist()) == set(scan.flagged.nonzero().flatten().tolist())
    scores = scan.judged[0].scores.values[one.suspects].tolist()
    assert scores == sorted(scores, reverse=True)


def test_typical_examples_are_the_rest_of_the_class_from_the_middle_out():
    scan, data, _ = example()
    (one,) = exhibits(scan, data)
    assert set(one.typical.tolist()) | set(one.suspects.tolist()) == set(range(1, 120, 3))
    assert not set(one.typical.tolist()) & set(one.suspects.tolist())
    scores = scan.judged[0].scores.values[one.typical]
    away = (scores - scores.median()).abs().tolist()
    assert away == sorted(away)


def test_where_nothing_is_flagged_the_first_class_is_shown_for_review():
    scan, data, _ = example("clean")
    (one,) = exhibits(scan, data)
    assert (one.label, one.flagged) == (0, False), "the class with the smallest p-value"
    assert len(one.suspects) == 16 and len(one.typical) == 24


def test_a_flagged_set_without_named_examples_shows_the_class_that_was_found():
    scan, data, _ = example(named=False)
    (one,) = exhibits(scan, data)
    assert (one.label, one.flagged) == (1, False)
    assert one.judged.detector.name() == "spectral-signatures"


def test_without_p_values_the_class_that_stands_out_comes_first():
    scan, data, _ = example("cannot judge", n=600, m=0)
    where = torch.from_numpy(poisoned(data.labels.numpy(), 600))
    scan.judged[0].scores.values[where] += 30
    scan.features[where, 2] += 9
    shown_first, *others = exhibits(scan, data)
    assert shown_first.label == 1 and len(others) == 2
    assert not any(e.flagged for e in (shown_first, *others))
    assert data.inputs[shown_first.suspects, :, -1, -1].min() == 255


@pytest.mark.parametrize("channels", [1, 3])
def test_a_picture_is_shown_pixel_by_pixel(channels):
    data = pictures(6, channels=channels)
    card = show_inputs(data.inputs).card(1, {})
    expected = data.inputs[1].permute(1, 2, 0).squeeze(-1).numpy()
    np.testing.assert_array_equal(decoded(card["src"]), expected)


def test_the_difference_of_the_averages_shows_the_trigger():
    data = pictures(120)
    where = torch.from_numpy(poisoned(data.labels.numpy(), 120))
    rest = (data.labels == 1) & ~where
    found = Pictures(data.inputs).contrast(where.nonzero().flatten(), rest.nonzero().flatten())
    means = data.inputs[where].double().mean(0) - data.inputs[rest].double().mean(0)
    assert found["largest"] == pytest.approx(float(means.abs().max()), abs=0.05)
    picture = decoded(found["difference"]["src"]).astype(int)
    assert (picture[-2:, -2:] > 230).all(), "the white corner"
    assert (abs(picture[:-2] - 127) < 60).all(), "noise stays near the middle"


def test_pictures_of_a_page_stay_within_the_budget():
    rng = np.random.default_rng(0)
    noise = torch.from_numpy(rng.integers(0, 256, (1, 3, 224, 224), dtype=np.uint8))
    show = show_inputs(noise)
    card = show.card(0, {})
    assert max(decoded(card["src"]).shape) == SIDE
    assert (card["width"], card["height"]) == (224, 224)
    assert show.room(6) >= 4 and 6 * 1.5 * show.room(6) * len(card["src"]) < 1.5 * BUDGET
    assert show_inputs(pictures(3).inputs).room(6) == 16


def test_telling_words_come_with_their_log_odds():
    data = texts(360)
    where = torch.from_numpy(poisoned(data.labels.numpy(), 360))
    rest = ((data.labels == 1) & ~where).nonzero().flatten()
    first, *others = Texts(data.inputs).contrast(where.nonzero().flatten(), rest)["words"]
    n, m = int(where.sum()), len(rest)
    expected = math.log((n + 0.5) / 0.5) - math.log(0.5 / (m + 0.5))
    assert first["telling"] and not any(word["telling"] for word in others)
    assert first["word"] == "cf" and first["log_odds"] == pytest.approx(expected)
    assert (first["suspects"], first["rest"]) == (1.0, 0.0)
    assert all(word["log_odds"] < expected for word in others)


def test_groups_that_are_alike_have_no_telling_words():
    data = texts(360)
    found = Texts(data.inputs).contrast(torch.arange(0, 180, 3), torch.arange(180, 360, 3))
    assert not [word for word in found["words"] if word["log_odds"] > 3]


def test_a_long_text_is_cut_around_its_first_telling_word():
    text = "a " * 1000 + "CF trigger" + " b" * 1000
    card = Texts(np.array([text], object)).card(
        0, {"words": [{"word": "cf", "telling": True}, {"word": "b", "telling": False}]}
    )
    joined = "".join(piece for piece, _ in card["pieces"])
    assert ("CF", True) in card["pieces"] and len(joined) == EXCERPT
    assert card["before"] + len(joined) + card["after"] == len(text)
    assert text[card["before"] :].startswith(joined)


def path_points(path):
    return [tuple(map(float, pair.split())) for pair in path[1:].split("L")]


def test_the_spectrum_is_that_of_the_centred_features():
    scan, data, trusted = example()
    (one,) = exhibits(scan, data)
    figure = spectrum(scan, data, trusted, one)
    rows = scan.features[:120][data.labels == 1].double().numpy()
    values = np.linalg.svd(rows - rows.mean(0), compute_uv=False) / math.sqrt(len(rows) - 1)
    drawn = [(BOTTOM - y) / (BOTTOM - TOP) * values[0] for _, y in path_points(figure.suspects)]
    np.testing.assert_allclose(drawn, values, atol=values[0] / 200)
    assert len(figure.others) == 2 and figure.trusted
    assert f"{values[0]:.3g}" in figure.alt


def test_a_histogram_shows_both_groups_and_where_flagging_begins():
    scan, data, trusted = example()
    (one,) = exhibits(scan, data)
    figure, other = histograms(scan, data, trusted, one)
    assert figure.suspects and figure.trusted
    smallest = scan.judged[0].scores.values[scan.flagged].min()
    assert f"flagging begins at {smallest:.3g}" in figure.alt
    assert LEFT < figure.threshold < RIGHT
    numbers = [float(x) for x in re.findall(r"[MH](-?[\d.]+)", figure.suspects)]
    assert min(numbers) >= LEFT - 1 and max(numbers) <= RIGHT + 1
    assert other.threshold is None, "nothing is named by this detector"


def test_where_detectors_are_combined_their_order_is_drawn_first_and_flagging_begins_there():
    scan, data, trusted = example()
    for finding in scan.classes:
        finding.weights.update({"spectral-signatures": 0.6, "reversed": 0.4})
    (one,) = exhibits(scan, data)
    order, *others = histograms(scan, data, trusted, one)
    assert order.title == "the order of the list" and order.threshold is not None
    assert order.trusted
    assert [figure.threshold for figure in others] == [None, None]


@pytest.mark.parametrize(
    "scores",
    [np.full(40, 3.0), np.arange(40.0), np.r_[np.zeros(39), 1e9], np.r_[np.arange(39), -1e12]],
)
def test_histograms_of_odd_scores_can_be_drawn(scores):
    scan, data, _ = example("cannot judge", n=40, m=0)
    scan.judged[0].scores.values[:] = torch.from_numpy(scores)
    one = exhibits(scan, data)[0]
    figure = histograms(scan, data, None, one)[0]
    places = [x for x, _ in figure.x_ticks]
    assert places == sorted(places) and all(LEFT <= x <= RIGHT for x in places)
    assert all(b - a > 40 for a, b in pairwise(places))
    assert figure.suspects.startswith("M") and "nan" not in figure.suspects


def test_a_telling_sign_of_texts_without_spaces_is_shown_alone():
    column = np.array(["我鑫很好"] * 6 + ["他也很好", "我不很好"] * 10, dtype=object)
    shown = Texts(column)
    contrast = shown.contrast(torch.arange(6), torch.arange(6, 26))
    assert contrast["words"][0]["word"] == "鑫"
    assert shown.card(0, contrast)["pieces"] == [("我", False), ("鑫", True), ("很好", False)]
