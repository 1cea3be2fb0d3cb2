"""The page: one file, no script, nothing loaded, and whatever comes from the data is plain text."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
import torch

from mithridate.attacks.goals import AllToOne
from mithridate.attacks.poisoning import Poisoning
from mithridate.attacks.selections import RandomSelection
from mithridate.core.data import dataset
from mithridate.core.fit import TrainingConfig
from mithridate.core.streams import stream
from mithridate.domains.image.domain import ImageDomain
from mithridate.domains.image.triggers import PatchTrigger
from mithridate.pipelines.finding import Sign
from mithridate.pipelines.scan import DataScanner
from mithridate.report.quoting import spell_invisible
from report.example import (
    HOSTILE,
    hostile_names,
    hostile_texts,
    pictures,
    scan_of,
    texts,
    written,
)

FORBIDDEN = {"script", "iframe", "object", "embed", "base", "form", "link", "video", "audio"}


class Reader(HTMLParser):
    """Collects tags, attributes, text, and the text of <style> apart."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.tags, self.attributes, self.text, self.style = [], [], "", ""
        self.inside = ""

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self.inside = tag

    def handle_endtag(self, tag):
        self.inside = ""

    def handle_data(self, data):
        if self.inside == "style":
            self.style += data
        else:
            self.text += data


def read(html):
    reader = Reader()
    reader.feed(html)
    return reader


def assert_loads_nothing(html):
    page = read(html)
    assert not set(page.tags) & FORBIDDEN
    for tag, name, value in page.attributes:
        assert not name.startswith("on"), f"<{tag} {name}>"
        assert name not in ("srcset", "style", "action", "background", "xlink:href")
        if name == "src":
            assert re.fullmatch(r"data:image/png;base64,[A-Za-z0-9+/=]+", value)
        if name == "href":
            assert value.startswith("#")
    assert "url(" not in page.style and "@import" not in page.style
    policy = [v for _, name, v in page.attributes if name == "content" and "default-src" in v]
    assert policy and policy[0].startswith("default-src 'none'; img-src data:;")
    assert "script" not in policy[0]
    return page


@pytest.mark.parametrize("answer", ["flagged", "clean", "cannot judge"])
@pytest.mark.parametrize("make", [pictures, texts])
def test_every_verdict_has_its_page(tmp_path, make, answer):
    data, trusted = make(120), make(150, seed=1)
    scan = scan_of(data, trusted, answer)
    _, html = written(tmp_path, data, trusted, scan, title="my data")
    page = assert_loads_nothing(html)
    words = {"flagged": "Flagged", "clean": "Clean", "cannot judge": "Cannot judge"}
    assert f"{words[answer]}: my data · Mithridate" in page.text
    named = "7 examples are named" in page.text
    assert named == (answer == "flagged")
    assert ("shown for review" in page.text) == (answer != "flagged")
    assert "What this scan cannot tell" in page.text
    assert "largest variance of the features" in page.text
    assert "6 or more examples in one class (5 % of the data)" in page.text or answer != "clean"


def test_the_first_screen_states_the_error_rates(tmp_path):
    data, trusted = pictures(120), pictures(150, seed=1)
    _, html = written(tmp_path, data, trusted, scan_of(data, trusted))
    text = " ".join(read(html).text.split())
    assert "at most 1 scan of 20" in text
    assert "7 examples are named. Expect up to 1 of them to be clean (20 %, an average" in text
    assert "with 95 % confidence at most 3 are clean." in text
    assert "Do not train on these data" in text


def naming_of(scan, **more):
    """The scan with another account of its list."""
    return replace(scan, naming=replace(scan.naming, **more))


def test_the_first_screen_says_where_a_list_promises_nothing_or_only_its_bound(tmp_path):
    data, trusted = pictures(120), pictures(150, seed=1)
    scan = scan_of(data, trusted)
    thin = naming_of(scan, clean_at_most=7)
    text = " ".join(read(written(tmp_path / "a", data, trusted, thin)[1]).text.split())
    assert "with 95 % confidence nothing better can be said than that all may be" in text
    kept = naming_of(scan, clean_at_most=1, bounded=True)
    text = " ".join(read(written(tmp_path / "b", data, trusted, kept)[1]).text.split())
    assert "7 examples are named. With 95 % confidence at most 1 is clean." in text
    assert "Expect up to" not in text


def test_a_list_that_cannot_keep_its_bound_says_what_it_would_take(tmp_path):
    data, trusted = pictures(120), pictures(60, seed=1)
    scan = naming_of(scan_of(data, trusted, named=False), bounded=True, needed=130)
    text = " ".join(read(written(tmp_path, data, trusted, scan)[1]).text.split())
    assert "takes about 130 trusted examples of this class, and there are 20" in text


def test_a_flagged_set_without_named_examples_says_why(tmp_path):
    data, trusted = pictures(120), pictures(60, seed=1)
    _, html = written(tmp_path, data, trusted, scan_of(data, trusted, named=False))
    text = " ".join(read(html).text.split())
    assert "No single example can be named" in text
    # 40 / (0.2 * 21) = 9.5: a list of ten at p = 1/21 passes Benjamini and Hochberg, of nine not
    assert "with 20 trusted examples of this class, a list needs 10 examples" in text
    assert 1 / 21 <= 0.2 * 10 / 40 and 1 / 21 > 0.2 * 9 / 40


def test_the_page_says_what_the_absence_of_trusted_data_costs(tmp_path):
    data = pictures(600)
    _, html = written(tmp_path, data, None, scan_of(data, None, "cannot judge"))
    text = " ".join(read(html).text.split())
    assert "Without trusted examples no error rate can be stated" in text
    # six of a class of 200 at p = 1/(m+1): m + 1 >= 200 / (0.2 * 6)
    assert "Before 6 examples (1 % of these data)" in text and "at least 166 trusted" in text
    assert 1 / 167 <= 0.2 * 6 / 200 < 1 / 166


def test_hostile_names_and_texts_are_plain_text(tmp_path):
    data, trusted = hostile_texts(360), hostile_texts(150)
    scan = scan_of(data, trusted)
    _, html = written(
        tmp_path, data, trusted, scan, hostile_names(360), origin=HOSTILE[0], title=HOSTILE[1],
        command=HOSTILE[2], rejected=[(name, name) for name in HOSTILE],
    )  # fmt: skip
    page = assert_loads_nothing(html)
    for text in (*HOSTILE[:9], "half a pair \\udcff", HOSTILE[10]):
        assert spell_invisible(text) in page.text, text
    assert "49" not in page.text.partition("{{7*")[2][:20], "the template of a text was run"
    assert all(c.isprintable() or c == "\n" for c in page.text)
    assert "http://evil.example/y" in page.text, "shown, and not loaded"


def test_what_detectors_say_is_text_too(tmp_path):
    data, trusted = pictures(120), pictures(150, seed=1)
    _, html = written(tmp_path, data, trusted, scan_of(data, trusted))
    assert "nothing &lt;b&gt;at all&lt;/b&gt;" in html


def test_simple_features_after_the_first_are_folded_away(tmp_path):
    data, trusted = texts(60), texts(30, seed=1)
    known = len(data.classes) * (1,)
    signs = tuple(Sign(f"the word `w{i}`", 0, 1.0, known, known) for i in range(14))
    _, page = written(tmp_path, data, trusted, replace(scan_of(data, trusted), signs=signs))
    shown, _, folded = page.partition("<summary>7 more</summary>")
    assert "`w4`" in shown and "`w5`" not in shown
    assert "`w5`" in folded and "`w11`" in folded and "`w12`" not in page


def test_every_picture_and_figure_has_its_words(tmp_path):
    data, trusted = pictures(120), pictures(150, seed=1)
    _, html = written(tmp_path, data, trusted, scan_of(data, trusted))
    assert html.count("<svg viewBox") == html.count('role="img" aria-label="') + 4, "four keys"
    images = re.findall(r"<img [^>]*>", html)
    assert len(images) == 7 + 8 + 3 and all(re.search(r'alt="[^"]+"', image) for image in images)


def test_heavy_pictures_and_many_classes_stay_below_three_megabytes(tmp_path):
    rng = np.random.default_rng(0)
    noise = torch.from_numpy(rng.integers(0, 256, (240, 3, 160, 160), dtype=np.uint8))
    labels = np.arange(240) % 30
    data = dataset(noise, labels, [f"class {c}" for c in range(30)])
    trusted = data.subset(list(range(120)))
    scan = scan_of(data, trusted)
    everywhere = tuple(
        type(c)(c.name, c.suspects, c.trusted, {"spectral-signatures": 0.001, "reversed": 1.0},
                3, "spectral-signatures", 4) for c in scan.classes
    )  # fmt: skip
    object.__setattr__(scan, "classes", everywhere)
    scan.flagged[:120] = True
    _, html = written(tmp_path, data, trusted, scan)
    assert len(html) < 3_000_000
    assert "6 of 30 classes with flagged examples are shown" in " ".join(html.split())
    assert "18 more classes" in html
    text = " ".join(read(html).text.split())
    assert "of class class 0 and of 29 more stand apart" in text
    assert "Pictures are made smaller, to 112 pixels" in text


def test_a_real_scan_of_digits_shows_its_trigger(tmp_path, digits):
    order = stream(0, "split").permutation(len(digits))
    trusted, clean = digits.subset(order[:400]), digits.subset(order[400:1000])
    attack = Poisoning(PatchTrigger(row=-3, column=-3), AllToOne(3), RandomSelection(60))
    data = attack.poison(clean, stream(0, "poison")).data
    scanner = DataScanner(
        training=TrainingConfig(epochs=6, batch_size=64), network="resnet9:8", permutations=199
    )
    scan = scanner.scan(data, trusted, ImageDomain(), 0)
    found, html = written(tmp_path, data, trusted, scan)
    assert found["verdict"]["answer"] == "flagged"
    assert [c["name"] for c in found["classes"] if c["flagged"]] == ["3"]
    page = assert_loads_nothing(html)
    assert "Class 3:" in page.text
    assert len(found["detectors"]) == len(scan.judged) >= 5
