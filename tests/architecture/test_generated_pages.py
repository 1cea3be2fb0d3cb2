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
