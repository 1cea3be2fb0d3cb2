"""Recipes over worlds go on where they stopped."""

import sys
from pathlib import Path

RECIPES = Path(__file__).parents[2] / "recipes"


def test_a_run_makes_only_the_worlds_that_have_no_record(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(RECIPES))
    import worlds

    made = []

    def world(name):
        made.append(name)
        return {"name": name}

    def of(sets):
        return ((name, lambda name=name: world(name)) for name in sets)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["recipe", *arguments])
        worlds.command_line("", "toy", lambda: f"{len(made)} made\n", {"run": of}, ("a", "b"))

    run("run", "--sets", "a")
    run("run")
    run("table")
    assert made == ["a", "b"]
    assert (tmp_path / "results/toy/table.md").read_text() == "2 made\n"
    assert capsys.readouterr().out.endswith("2 made\n\n")
