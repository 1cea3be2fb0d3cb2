"""The pages of a benchmark in a real browser: widths, schemes, filters, and no foreign script."""

import base64
import html
import json
import re

import pytest

from report.bench_example import record, sweep, written
from report.example import HOSTILE
from report.test_browser import (
    DESKTOP,
    PHONE,
    Sink,
    browse,
    measure,
    needs_browser,
    without_policy,
)

CHOSEN = """<!doctype html><meta charset="utf-8">
<iframe width="1280" height="900" srcdoc="{page}"></iframe><pre id="measured"></pre>
<script>
addEventListener("load", () => {{
  const page = document.querySelector("iframe").contentDocument;
  const seen = (selector) => [...page.querySelectorAll(selector)].filter((e) =>
    e.getClientRects().length).length;
  const count = () => ({{
    main: seen("section:has(#attacked) tr.item"), oracle: seen("section:has(#oracle) tr.item"),
    clean: seen("section:has(#clean) tr.item"), groups: seen("section:has(#attacked) tbody"),
    plots: seen(".plots .item"), bar: seen("#filters"), told: page.querySelector("output").value,
    nothing: seen(".nothing"),
  }});
  const choose = (name, value) => {{
    const select = page.querySelector(`select[name="${{name}}"]`);
    select.value = value;
    select.dispatchEvent(new page.defaultView.Event("change", {{bubbles: true}}));
  }};
  const found = [count()];
  choose("attack", "badnets"); found.push(count());
  choose("defence", "fine-pruning"); found.push(count());
  choose("tuning", "oracle"); found.push(count());
  page.querySelector("#filters button").click(); found.push(count());
  document.querySelector("iframe").remove();
  document.getElementById("measured").textContent = btoa(JSON.stringify(found));
}});
</script>
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    written(folder, sweep())
    return folder


@needs_browser
def test_filters_hide_what_does_not_match_in_every_table_and_come_back(tmp_path, site):
    page = html.escape((site / "index.html").read_text("utf-8"))
    wrapper = tmp_path / "wrapper.html"
    wrapper.write_text(CHOSEN.format(page=page), "utf-8")
    with Sink() as sink:
        dumped = browse(tmp_path, wrapper, "--dump-dom", sink=sink)
    measured = re.search(r'<pre id="measured">([^<]+)</pre>', dumped)
    assert measured, "the page was not measured"
    whole, attack, both, none, again = json.loads(base64.b64decode(measured.group(1)))
    assert whole["bar"] == 1 and whole["nothing"] == 0
    assert (whole["groups"], attack["groups"]) == (8, 2)
    assert (attack["main"], attack["oracle"], attack["clean"]) == (20, 2, whole["clean"])
    assert attack["told"].startswith("30 of ")
    assert attack["plots"] < whole["plots"]
    assert (both["main"], both["oracle"], both["clean"]) == (2, 0, 1)
    assert (none["main"], none["oracle"], none["clean"]) == (0, 0, 0)
    assert none["nothing"] >= 3
    assert again == whole


@needs_browser
def test_overview_and_cells_fit_phone_and_desktop(tmp_path, site):
    shown = [next(r for r in sweep() if r.curves), next(r for r in sweep() if r.status == "void")]
    paths = [site / "index.html", *(site / "cells" / f"{r.key}.html" for r in shown)]
    texts = [path.read_text("utf-8") for path in paths]
    measured, asked = measure(tmp_path, *[(t, size) for t in texts for size in (PHONE, DESKTOP)])
    assert len(measured["found"]) == 6
    for found in measured["found"]:
        assert found["wide"] <= found["room"], f"scrolls sideways: {found['over']}"
        assert not found["over"]
    reasons = measured["found"][0]["cut"]
    assert len(reasons) > 3 and max(reasons) <= 1, "a reason is cut off on a phone"
    assert not [line for line in asked if "evil.example" in line]


@needs_browser
def test_hostile_records_run_nothing_and_fit(tmp_path):
    found = [
        record(attack=text, defence=text, task=text, why=text, seed=number, outcome=text,
               settings={text: text}, origin={text: text}, evidence=(text,), verdict={"why": text})
        for number, text in enumerate(HOSTILE)
    ]  # fmt: skip
    page = written(tmp_path, found, title=HOSTILE[0])
    cell = (tmp_path / "cells" / f"{found[1].key}.html").read_text("utf-8")
    pages = [(page, PHONE), (page, DESKTOP), (cell, PHONE), (without_policy(cell), DESKTOP)]
    measured, asked = measure(tmp_path, *pages)
    assert measured["outer"] == "untouched", "a script of the records ran"
    assert [one["scripts"] for one in measured["found"]] == [1, 1, 0, 0]
    for one in measured["found"]:
        assert one["title"].endswith("· Mithridate"), "a script of the records ran"
        assert one["wide"] <= one["room"], f"scrolls sideways: {one['over']}"
    assert HOSTILE[0][:30] in measured["found"][0]["text"]
    assert not [line for line in asked if "evil.example" in line]


@needs_browser
@pytest.mark.parametrize(("size", "scheme"), [(PHONE, 0), (DESKTOP, 1)])
def test_the_overview_opens_from_a_file_in_light_and_dark(tmp_path, site, size, scheme):
    from PIL import Image

    picture = tmp_path / "seen.png"
    flags = (
        f"--window-size={size[0]},{size[1]}", f"--screenshot={picture}",
        f"--blink-settings=preferredColorScheme={scheme}",
    )  # fmt: skip
    with Sink() as sink:
        browse(tmp_path, site / "index.html", *flags, sink=sink)
    with Image.open(picture) as opened:
        corner = opened.convert("L").getpixel((2, opened.height - 3))
        levels = opened.convert("L").getextrema()
    assert corner < 60 if scheme == 0 else corner > 200
    assert levels[1] - levels[0] > 150, "the page is empty"
