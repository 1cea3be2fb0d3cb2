"""The pages of a benchmark: escaping, links, and nothing that is empty or prettier than it was."""

import base64
import hashlib
import html
import math
import re
from html.parser import HTMLParser
from importlib import resources

import pytest

from mithridate.core.errors import DataError
from mithridate.report.bench.drawing import Axis, glyph, hatching
from mithridate.report.bench.site import FILTERS, write_site
from mithridate.report.bench.wording import ABSENT
from mithridate.stats.intervals import Interval
from report.bench_example import command, record, sweep, written
from report.example import HOSTILE


class Page(HTMLParser):
    """Rows of all tables as (attributes, cells), and every address on a page."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.links, self.tags, self.ids = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.tags.append(tag)
        self.links += [given[name] for name in ("href", "src", "xlink:href") if name in given]
        self.ids += [given["id"]] if "id" in given else []
        if tag == "tr":
            self.rows.append((given, []))
        elif tag in ("td", "th") and self.rows:
            self.rows[-1][1].append("")

    def handle_data(self, data):
        if self.rows and self.rows[-1][1]:
            self.rows[-1][1][-1] += data

    def items(self, **wanted):
        """Rows of results whose data attributes are as wanted."""
        return [cells for given, cells in self.rows if "item" in given.get("class", "")
                and all(given.get(f"data-{n}") == v for n, v in wanted.items())]  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    written(folder, sweep())
    return folder


@pytest.fixture(scope="module")
def index(site):
    return Page((site / "index.html").read_text("utf-8"))


def section(site, name):
    """The rows of one section of the index."""
    text = (site / "index.html").read_text("utf-8")
    begin = text.index(f'<h2 id="{name}"')
    return Page(text[begin : text.index("</section>", begin)])


def test_every_record_has_a_page_that_the_index_links_to(site, index):
    pages = {f"cells/{path.name}" for path in (site / "cells").iterdir()}
    assert len(pages) == len(sweep())
    assert pages <= set(index.links)


def test_every_link_leads_to_a_file_or_a_place_of_the_page(site, index):
    for link in set(index.links):
        if link.startswith("#"):
            assert link[1:] in index.ids
        else:
            assert (site / link).is_file(), link
    cell = next(path for path in (site / "cells").iterdir())
    for link in Page(cell.read_text("utf-8")).links:
        assert (cell.parent / link).is_file(), link


def test_nothing_outside_is_referred_to(site):
    for path in (site / "index.html", *sorted((site / "cells").iterdir())[:40]):
        text = path.read_text("utf-8")
        assert not re.search(r"https?:|ftp:|=[\"']?//", text)
        assert "url(" not in text and "@import" not in text


def test_the_one_script_is_the_one_that_the_policy_names(site):
    text = (site / "index.html").read_text("utf-8")
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in html.unescape(text)
    assert len(script.splitlines()) < 100
    cell = next((site / "cells").iterdir()).read_text("utf-8")
    assert "<script" not in cell and "script-src" not in cell and "default-src 'none'" in cell


def test_every_axis_has_a_filter_and_every_row_says_where_it_stands(site, index):
    text = (site / "index.html").read_text("utf-8")
    asked = "domain task attack rate defence precision network trusted tuning role"
    assert set(FILTERS) >= set(asked.split())
    for axis in FILTERS:
        (options,) = re.findall(rf'<select name="{axis}"[^>]*>(.*?)</select>', text, re.DOTALL)
        values = set(re.findall(r'<option value="([^"]*)"', options))
        assert values == {str(r.cell[axis]) for r in sweep()}
        assert {given[f"data-{axis}"] for given, _ in section(site, "attacked").rows
                if "item" in given.get("class", "")} <= values  # fmt: skip


def test_no_cell_of_a_result_is_empty(index):
    rows = [cells for given, cells in index.rows if given.get("class") == "item"]
    assert len(rows) > 90
    assert all(cell.strip() for cells in rows for cell in cells)


@pytest.mark.parametrize(("status", "why"), [
    ("void", "the attack did not take: its success rate on the undefended network is 12.0%"),
    ("skipped", "needs a convolution"), ("failed", "ZeroDivisionError"),
])  # fmt: skip
def test_what_is_not_done_says_why_in_its_row_and_on_its_page(site, index, status, why):
    told = [" ".join(cells) for cells in index.items() if why in " ".join(cells)]
    assert told
    assert any(status in text for text in told)
    pages = [p.read_text("utf-8") for p in (site / "cells").iterdir()]
    named = [p for p in pages if f"<h1>{status.capitalize()}</h1>" in p]
    assert len(named) == sum(r.status == status for r in sweep())
    assert any(why[1:] in page for page in named)


def test_a_void_cell_is_hatched_and_named_in_the_heat_map(site):
    text = (site / "index.html").read_text("utf-8")
    heat = text[text.index('class="map item"') :].partition("</figure>")[0]
    assert heat.count(">void<") == 9  # every method without the oracle and the neighbour
    assert heat.count('class="hatch"') == heat.count(">void<") + heat.count(">skipped<")
    assert "not run" not in heat


def test_a_destroyed_network_is_never_called_secure(site, index):
    ruined = index.items(defence="fine-pruning", attack="badnets", tuning="default")
    assert len(ruined) == 2
    for cells in ruined:
        assert cells[1].strip() == "destroyed"
        assert float(re.match(r"[\d.]+", cells[2].strip())[0]) < 10  # although its ASR is low
    text = (site / "index.html").read_text("utf-8")
    heat = text[text.index('class="map item"') :].partition("</figure>")[0]
    assert heat.count("†") == 2 and heat.count('class="ruin"') == 2
    for found in sweep():
        if found.outcome == "destroyed":
            page = (site / "cells" / f"{found.key}.html").read_text("utf-8")
            assert "<h1>Destroyed</h1>" in page and "verdict flagged" in page


def test_one_destroyed_seed_shows_in_the_row(tmp_path):
    mixed = [record(outcome="secure", asr=0.01), record(outcome="destroyed", asr=0.0, seed=1)]
    page = Page(written(tmp_path, mixed))
    (cells,) = page.items(result="destroyed")
    assert cells[1].strip() == "1x destroyed, 1x secure"


def test_oracle_tuned_results_stand_apart(site):
    main, oracle = section(site, "attacked"), section(site, "oracle")
    assert not main.items(tuning="oracle")
    assert len(oracle.items(tuning="oracle")) == len(oracle.items()) == 8
    text = (site / "index.html").read_text("utf-8")
    assert "oracle" not in text[text.index('<h2 id="ranks"') : text.index('<h2 id="stability"')]
    (key,) = {r.key for r in sweep() if r.cell["tuning"] == "oracle" and r.cell["attack"] == "sig"
              and r.cell["rate"] == 0.01 and r.cell["seed"] == 0}  # fmt: skip
    assert "Oracle: its settings were chosen" in (site / "cells" / f"{key}.html").read_text("utf-8")


def test_every_table_holds_the_controls(site):
    for name, groups in (("attacked", 8), ("clean", 1)):
        found = section(site, name)
        for control in ("none", "do-nothing", "random-filter", "perfect-filter"):
            assert len(found.items(defence=control, role="control")) == groups


def test_clean_twins_show_false_alarms_with_an_exact_interval_and_costs(tmp_path):
    judged = [record(rate=0.0, seed=s, verdict={"answer": "flagged" if s == 0 else "clean"},
                     cost={"seconds": 2.0 + s, "peak_mb": 800.0, "forward": 1500.0,
                           "backward": 0.0, "clean_samples": 250.0},
                     metrics={"realised_fpr": Interval(0.02, 0.01, 0.03, 900)})
              for s in range(4)]  # fmt: skip
    written(tmp_path, judged)
    (cells,) = section(tmp_path, "clean").items()
    assert cells[4].startswith("2.0")
    assert cells[5].strip() == "1/4[0.6, 80.6]"  # Clopper and Pearson
    assert [c.strip() for c in cells[6:11]] == ["3.5", "800", "1,500", "0", "250"]


def test_the_rows_show_the_mean_over_seeds(tmp_path):
    found = [record(seed=s, metrics={"accuracy": Interval(v, v - 0.001, v + 0.001, 400)})
             for s, v in enumerate((0.80, 0.82, 0.84))]  # fmt: skip
    (cells,) = Page(written(tmp_path, found)).items()
    assert cells[3].strip() == "82.0[77.0, 87.0]"
    assert cells[11].split() == ["012seeds"]


def test_published_figures_have_their_own_column_and_touch_no_mean(site, tmp_path):
    main = section(site, "attacked")
    (cells,) = main.items(defence="ss", attack="badnets", rate="0.05", tuning="default")
    assert cells[-1].strip() == "69.4 / 91.21 run"
    assert "b98eab4" in (site / "index.html").read_text("utf-8")
    none = Page(written(tmp_path, [record(task="digits")]))
    assert not any("published" in cell for _, row in none.rows for cell in row)


def test_hostile_names_reasons_and_settings_are_shown_as_they_are_written(tmp_path):
    found = [
        record(attack=text, defence=text, task=text, network=text, settings={text: text},
               why=text, seed=number, evidence=(text,), origin={text: text},
               verdict={"answer": text, text: text}, outcome=text,
               metrics={text: Interval(1.0, 0.0, 2.0, 3)})
        for number, text in enumerate(HOSTILE)
    ]  # fmt: skip
    path = write_site(found, tmp_path, HOSTILE[0], lambda r: HOSTILE[2])
    for page in (path, *(tmp_path / "cells").iterdir()):
        text = page.read_text("utf-8")
        parsed = Page(text)
        assert parsed.tags.count("script") == (page == path)
        assert not {"iframe", "img", "object", "link"} & set(parsed.tags)
        assert not [link for link in parsed.links if "evil" in link]
        assert "\u202e" not in text and "\x00" not in text
    assert "&lt;script&gt;" in path.read_text("utf-8")


def test_numbers_that_are_missing_or_unbounded_do_not_stop_the_page(tmp_path):
    odd = {
        "auroc": Interval(math.nan, 0.0, 1.0, 0),
        "asr": Interval(math.nan, -math.inf, math.inf, 0),
        "flagged": Interval(0.1, -math.inf, math.inf, 5),
        "effectiveness": Interval(0.5, -math.inf, 1.0, 2),
    }  # fmt: skip
    one = record(metrics=odd, curves={"loss": [math.nan, 1.0, None, 2.0], "roc": [[0.0, None]]},
                 per_class={"accuracy": [math.nan, 0.5, None]},
                 verdict={"answer": "clean", "p_value": None})  # fmt: skip
    (cells,) = Page(written(tmp_path, [one])).items()
    assert cells[2].strip() == ABSENT
    assert cells[6].strip() == "50.0[-∞, 100.0]"
    text = (tmp_path / "cells" / f"{one.key}.html").read_text("utf-8")
    assert "nan" not in re.sub(r"<pre.*?</pre>", "", text, flags=re.DOTALL)
    assert "none from one run" in text


def test_a_key_that_is_no_file_name_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(DataError, match="letters, digits"):
        written(tmp_path / "out", [record(key="../../up")])
    assert not (tmp_path / "out").exists()
    with pytest.raises(DataError, match="no records"):
        written(tmp_path / "out", [])


def test_the_page_of_a_cell_holds_command_settings_and_curves(site):
    found = next(r for r in sweep() if r.curves.get("roc"))
    text = (site / "cells" / f"{found.key}.html").read_text("utf-8")
    assert command(found) in text
    assert text.count('<figure class="plot">') == 3
    assert "Configuration in full" in text and "&#34;method&#34;" in text
    siblings = [
        r.key for r in sweep()
        if r.cell | {"seed": 0} == found.cell | {"seed": 0} and r.key != found.key
        and r.settings["defence"] == found.settings["defence"]
    ]  # fmt: skip
    assert len(siblings) == 2
    assert set(Page(text).links) == {"../index.html", *(f"{key}.html" for key in siblings)}


def test_the_style_sheet_has_no_colour_but_those_of_both_schemes():
    sheet = resources.files("mithridate.report") / "templates" / "bench" / "bench.css"
    text = sheet.read_text("utf-8")
    body = re.sub(r":root \{.*?\}", "", text, flags=re.DOTALL)
    assert not re.search(r"#[0-9a-f]{3,6}\b", body)
    names = [re.findall(r"--(c\d):", block) for block in re.findall(r":root \{(.*?)\}", text)]
    assert names == [["c0", "c1", "c2", "c3", "c4", "c5"]] * 2


def test_an_axis_places_values_and_round_ticks():
    axis = Axis(0.2, 1.0, 0, 80)
    assert [axis(v) for v in (0.2, 0.6, 1.0, 0.0, 2.0)] == [0, 40, 80, 0, 80]
    assert axis.ticks() == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert Axis(1, 12, 0, 1).ticks(6) == pytest.approx([2, 4, 6, 8, 10, 12])


def test_seven_glyphs_differ_and_hatching_stays_inside():
    assert len({glyph(shape, 0, 0, 1) for shape in range(7)}) == 7
    points = [
        tuple(map(float, p.split()))
        for p in re.findall(r"[ML]([-\d. ]+)", hatching(10, 20, 60, 26))
    ]
    assert len(points) > 10
    assert all(10 <= x <= 70 and 20 <= y <= 46 for x, y in points)
