"""Rows drawn by what they hold."""

import pytest
import torch

from mithridate.core.errors import MethodError
from mithridate.detectors._drawing import check_form, drawn

ROWS = torch.randint(0, 256, (200, 3), generator=torch.Generator().manual_seed(0)).byte()


def members(rows):
    return {tuple(row) for row in rows.tolist()}


def test_the_same_rows_are_drawn_whatever_their_order():
    order = torch.randperm(200, generator=torch.Generator().manual_seed(1))
    assert torch.equal(drawn(ROWS[order], 20, 0, "a"), drawn(ROWS, 20, 0, "a"))


def test_seed_and_place_decide_and_no_row_is_favoured():
    first = members(drawn(ROWS, 20, 0, "a"))
    assert members(drawn(ROWS, 20, 1, "a")) != first != members(drawn(ROWS, 20, 0, "b"))
    means = torch.stack([drawn(ROWS, 20, seed, "a").double().mean(0) for seed in range(200)])
    assert torch.allclose(means.mean(0), ROWS.double().mean(0), atol=5)


def test_fewer_are_given_where_there_are_fewer():
    assert members(drawn(ROWS[:5], 20, 0, "a")) == members(ROWS[:5])


def test_another_form_is_refused():
    check_form(ROWS[:3], ROWS)
    for wrong in (ROWS[:, :2], ROWS.int()):
        with pytest.raises(MethodError, match="fit again on inputs like these"):
            check_form(wrong, ROWS)
