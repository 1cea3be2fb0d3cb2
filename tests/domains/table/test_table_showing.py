"""Rows on a page: what tells suspects comes first, and long or missing values are said to be so."""

import numpy as np
import torch

from mithridate.domains.registry import show_inputs

KINDS = [("seconds", "f8"), ("bytes", "i8"), ("note", object)]


def rows(n=60):
    table = np.empty(n, dtype=KINDS)
    table["seconds"], table["bytes"], table["note"] = np.arange(n) / 7, np.arange(n), "plain"
    table["bytes"][:10] = 1337
    table["seconds"][0] = np.nan
    table["note"][0], table["note"][1] = "", "x" * 500
    return table


def test_a_value_that_suspects_share_is_marked_and_comes_first():
    show = show_inputs(rows())
    contrast = show.contrast(torch.arange(10), torch.arange(10, 60))
    first = contrast["words"][0]
    assert first["word"] == "bytes = 1337" and first["telling"]
    assert (first["suspects"], first["rest"]) == (1.0, 0.0)
    card = show.card(5, contrast)
    assert card["pieces"][0] == ("bytes = 1337", True)
    assert [text for text, _ in card["pieces"]][1:] == [
        "; ",
        "seconds = 0.714286",
        "; ",
        "note = plain",
    ]


def test_missing_and_long_values_are_told_as_such():
    show = show_inputs(rows())
    assert "seconds = (missing)" in [text for text, _ in show.card(0, {})["pieces"]]
    assert "note = (missing)" in [text for text, _ in show.card(0, {})["pieces"]]
    assert "note = " + "x" * 40 + "..." in [text for text, _ in show.card(1, {})["pieces"]]


def test_a_wide_row_is_cut_and_says_how_much_is_left_out():
    wide = np.zeros(1, dtype=[(f"column {i}", "f8") for i in range(100)])
    card = show_inputs(wide).card(0, {})
    assert sum(len(text) for text, _ in card["pieces"]) <= 400
    assert card["after"] > 500


def test_without_a_rest_there_is_nothing_to_set_against():
    assert show_inputs(rows()).contrast(torch.arange(5), torch.arange(0)) == {}
