"""Pages that are written by the code say what the code says."""

from dataclasses import dataclass, field, fields
from typing import Literal, get_type_hints

import pytest

from architecture.source import ROOT
from mithridate.core.errors import DataError
from mithridate.core.method import Detector, Trigger
from mithridate.core.registry import find
from mithridate.report import catalogue


def test_the_page_of_methods_is_up_to_date(monkeypatch):
    monkeypatch.chdir(ROOT)
    assert catalogue.main(["--check"]) == 0, "run `make docs` and commit docs/methods.md"


def test_the_page_names_every_method_with_all_its_settings():
    page = catalogue.page()
    for method in find(Detector).values():
        if "bench" not in method.__module__:
            assert page.count(f"\n### {method.name()}\n") == 1
            assert method.summary() in page
            assert all(f"| `{f.name}` |" in page for f in fields(method))
            assert all(f"]({link})" in page for link in method.links)
            assert all(f"`{name}`" in page for name in (method.name(), *method.aliases()))


def test_the_page_says_what_methods_compute_and_what_settings_mean():
    page = catalogue.page()
    entry = page[page.index("\n### activation-clustering\n") :]
    entry = entry[: entry.index("\n### ", 5)]
    assert "(|z - a|^2 - |z - b|^2) / |a - b|^2" in " ".join(entry.split())
    row = next(line for line in entry.splitlines() if line.startswith("| `components` |"))
    assert row.split(" | ")[1].startswith("Dimensions that the features of a class are reduced to")
    assert "[arXiv:1811.03728](https://arxiv.org/abs/1811.03728)" in page
    assert "| `wanet` |  | image | data |" in page and "| `tbt` |  | image | weights |" in page


def test_formulas_are_no_markdown():
    assert catalogue.plain_text("a_b * c_d < [e] `x_y`") == r"a\_b \* c\_d \< \[e\] `x_y`"
    assert catalogue.prose("By\n  f(x) = x_1\nhere.") == "By\n\n    f(x) = x_1\nhere."
    assert catalogue.prose("1. One\n   two.") == "1. One\n   two."
    assert catalogue.source("A, 2026", ("https://doi.org/1/2", "https://x.org/a")) == (
        "A, 2026 [doi:1/2](https://doi.org/1/2), [x.org](https://x.org/a)"
    )
    assert catalogue.source("", ()) == "-"


def test_writing_and_checking(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="run this in the repository"):
        catalogue.main(["--check"])
    (tmp_path / "docs").mkdir()
    assert catalogue.main(["--check"]) == 1
    assert "run `make docs`" in capsys.readouterr().err
    assert catalogue.main(["--write"]) == 0
    assert catalogue.main(["--check"]) == 0
    catalogue.PAGE.write_text("stale", "utf-8")
    assert catalogue.main(["--check"]) == 1


@dataclass(frozen=True)
class Awkward:
    trigger: Trigger
    other: Trigger | None = None
    mode: Literal["a", "b|c"] = "a"
    pair: tuple[int, ...] = (1, 2)
    many: list[str] = field(default_factory=list)


def test_types_and_defaults_are_short_and_stay_in_their_cells():
    hints = get_type_hints(Awkward)
    spell = catalogue.spell_type
    spelled = {f.name: (spell(hints[f.name]), catalogue.default(f)) for f in fields(Awkward)}
    assert spelled == {
        "trigger": ("Trigger", "required"),
        "other": ("Trigger or None", "None"),
        "mode": ("'a' or 'b|c'", "'a'"),
        "pair": ("tuple[int, ...]", "(1, 2)"),
        "many": ("list[str]", "[]"),
    }
    assert catalogue.escape_cell("a|b\nc") == "a\\|b c"
