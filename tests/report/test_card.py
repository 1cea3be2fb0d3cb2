"""The card of a network: strict JSON, one offline page, plain text from outside, honest words."""

import json
import re
from dataclasses import dataclass, replace

import pytest

from mithridate.core.method import Repair
from mithridate.pipelines.damage import ClassDamage, Damage
from mithridate.report.card import NetworkWork, page, record, write_card
from mithridate.stats.intervals import proportion
from mithridate.trainers.standard import Standard
from report.example import HOSTILE, pictures, scan_of
from report.test_browser import DESKTOP, PHONE, measure, needs_browser, without_policy
from report.test_page import FORBIDDEN, read


@dataclass(frozen=True)
class Mend(Repair):
    """Mends <b>everything</b>."""

    paper = "Nobody <i>et al.</i>, Nowhere"

    strength: float = float("inf")
    words: str = HOSTILE[0]


def damage(classes=("cat", "dog", "owl"), before=(9, 8, 9), after=(9, 4, 8), n=10):
    """So many of n examples right in each class."""
    each = tuple(
        ClassDamage(name, proportion(was, n), proportion(now, n))
        for name, was, now in zip(classes, before, after, strict=True)
    )
    total = n * len(classes)
    return Damage(
        proportion(sum(before), total), proportion(sum(after), total),
        proportion(6, total), proportion(1, total), proportion(7, total), each,
    )  # fmt: skip


def repair(**more):
    """A repair of a network that knows three classes, with suspects."""
    suspects, trusted = pictures(60), pictures(40, seed=1)
    scans = (scan_of(suspects, trusted), scan_of(suspects, trusted, "cannot judge"))
    work = NetworkWork(
        "repair", Mend(), "resnet9", suspects.classes, "image",
        {"model": "m.safetensors", "trusted": "t.npz", "data": "d.npz"},
        {"seconds": 1234.5, "forward": 60000.0, "backward": 30000.0},
        data=suspects, trusted=trusted, measured=pictures(30, seed=1), damage=damage(),
        scans=scans, changed=proportion(5, 60), used=("clean", "model"), saw="suspect",
    )  # fmt: skip
    return replace(work, **more)


def training(**more):
    """Ordinary training without trusted examples."""
    work = NetworkWork(
        "train", Standard(), "", ("cat", "dog", "owl"), "image", {"data": "d.npz"},
        {"seconds": 3.0, "forward": 600.0, "backward": 600.0}, data=pictures(60),
    )  # fmt: skip
    return replace(work, **more)


def made(work):
    return record(work, sha256="ab" * 32, command="mithridate repair x", seed=7)


def said(work):
    """The words of the page."""
    return " ".join(read(page(made(work))).text.split())


def test_a_card_is_two_files_of_which_the_record_is_strict_json(tmp_path):
    found = write_card(repair(), tmp_path / "new", sha256="ab", seed=7)
    names = sorted(path.name for path in (tmp_path / "new").iterdir())
    assert names == ["card.html", "card.json"]

    def refuse(constant):
        raise ValueError(constant)

    text = (tmp_path / "new" / "card.json").read_text("utf-8")
    assert json.loads(text, parse_constant=refuse) == found
    assert found["method"]["config"]["strength"] is None
    assert found["damage"]["before"]["value"] == pytest.approx(26 / 30)
    assert found["damage"]["fall"] == pytest.approx(5 / 30)
    assert found["damage"]["worst"]["name"] == "dog"
    assert found["versions"]["torch"] and found["seed"] == 7


def test_the_page_says_what_was_done_harmed_and_paid():
    words = said(repair())
    for expected in (
        "repaired by mend", "10 trusted examples and 60 that may be poisoned", "86.7 %", "70.0 %",
        "dog", "40.0", "1,234", "60,000", "30,000", "flagged", "cannot judge", "8.3 %",
        "words = <script>", "mithridate repair x", "ab" * 32,
    ):  # fmt: skip
        assert expected in words, expected
    assert words.rindex("dog") < words.rindex("owl") < words.rindex("cat"), "worst class first"


def test_a_destroyed_network_is_not_called_repaired_and_no_more():
    assert "Repaired, and badly damaged" in said(repair())
    kept = repair(damage=damage(after=(9, 8, 7)))
    assert "badly damaged" not in said(kept)


def test_what_remains_unknown_follows_from_what_was_done():
    alone = said(repair(data=None, scans=(), changed=None))
    assert "may have removed nothing" in alone and "No suspects were given" in alone
    assert "The data have not changed" in said(repair())
    assert "trained on the trusted examples too" in said(repair(saw="both"))
    assert "up to 38.6 % may have been called rightly before and wrongly now" in alone
    plain = said(training())
    assert "No trusted examples were given, so damage was not measured" in plain
    assert "No scan was asked for" in plain
    suspects = pictures(60)
    for answer, expected in (
        ("clean", "could not see was learnt all the same"),
        ("flagged", "did not flag were trained on"),
        ("cannot judge", "could not judge the data"),
    ):
        scan = scan_of(suspects, pictures(40, seed=1), answer)
        after = training(scans=(scan,), then="drop", ended="something was done")
        assert expected in said(after) and "Something was done." in said(after)


def test_classes_without_examples_are_named_as_unknown():
    part = damage()
    empty = ClassDamage("bee", proportion(0, 0), proportion(0, 0))
    words = said(repair(damage=replace(part, classes=(*part.classes, empty))))
    assert "No trusted example of 1 of 4 classes" in words and "“bee”" in words


def test_many_classes_are_folded_away():
    names = tuple(f"class {i}" for i in range(20))
    many = damage(names, (9,) * 20, tuple(i % 10 for i in range(20)))
    html = page(made(repair(damage=many, classes=names)))
    assert "8 more classes" in html and html.count("<details>") == 1


def hostile():
    names = HOSTILE[:6]
    return repair(
        classes=names, damage=damage(names, (9,) * 6, (5,) * 6), ended=HOSTILE[1],
        origins={"model": HOSTILE[0], "trusted": HOSTILE[2], "data": HOSTILE[1]},
        rejected=((HOSTILE[0], HOSTILE[1]),), network=HOSTILE[3],
    )  # fmt: skip


def test_hostile_names_are_shown_and_do_nothing():
    found = record(hostile(), sha256="ab", command=HOSTILE[0])
    reader = read(page(found))
    assert not FORBIDDEN & set(reader.tags) and "img" not in reader.tags
    assert not [name for _, name, _ in reader.attributes if name.startswith("on")]
    assert not re.search(r"url\(|@import|http", reader.style)
    loaded = [value for _, name, value in reader.attributes if name in ("href", "src")]
    assert all(value.startswith("#") for value in loaded)
    assert "{{7*7}}" in reader.text and "\u202e" not in reader.text


@needs_browser
def test_the_page_fits_phone_and_desktop_and_runs_nothing(tmp_path):
    evil = page(record(hostile(), sha256="ab" * 32, command=HOSTILE[0] * 5))
    cards = [evil, without_policy(evil), page(made(repair())), page(made(training()))]
    many = damage(("a class of two words", "Unbrokenlylongnamethatgoeson" * 3, "owl"))
    cards.append(page(made(repair(damage=many))))
    seen, asked = measure(tmp_path, *((card, size) for card in cards for size in (PHONE, DESKTOP)))
    assert seen["outer"] == "untouched", "a script of the data ran"
    assert not [line for line in asked if "evil.example" in line]
    assert len(seen["found"]) == 10
    for found in seen["found"]:
        assert set(found["tables"]) <= {0}, "a part of a table is hidden"
        assert found["wide"] <= found["room"], f"scrolls sideways: {found['over']}"
        assert not found["over"] and found["scripts"] == 0
        assert found["title"].startswith(("Repaired by mend", "Trained by standard"))


@needs_browser
def test_the_accuracies_of_a_trained_network_are_seen_whole_on_a_phone(tmp_path):
    whole = damage()
    alone = replace(
        whole, before=None, lost=None, gained=None, changed=None,
        classes=tuple(replace(c, before=None) for c in whole.classes),
    )  # fmt: skip
    card = page(made(training(trusted=pictures(30, seed=1), damage=alone)))
    seen, _ = measure(tmp_path, (card, PHONE))
    assert seen["found"][0]["tables"] == [0], "a part of the table is hidden"
