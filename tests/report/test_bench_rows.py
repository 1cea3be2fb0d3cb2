"""Rows over seeds, their intervals, ranks, stability and published figures, by hand."""

import math

import numpy as np
import pytest

from mithridate.core.errors import DataError
from mithridate.report.bench.aggregate import clean_rows, rows
from mithridate.report.bench.leaderboard import leaderboard, stabilities
from mithridate.report.bench.markdown import markdown_table
from mithridate.report.bench.published import Publications
from mithridate.stats.crossed import crossed_mean, paired_difference
from mithridate.stats.intervals import Interval
from report.bench_example import record, sweep


def seeds(values, **given):
    """One cell for every value of the accuracy, with narrow intervals of their own."""
    return [
        record(seed=s, metrics={"accuracy": Interval(v, v - 0.001, v + 0.001, 400)}, **given)
        for s, v in enumerate(values)
    ]


def test_three_seeds_give_the_mean_and_students_interval():
    (row,) = rows(seeds((0.80, 0.82, 0.84)))
    found = row.metrics["accuracy"]
    assert found.value == pytest.approx(0.82)
    half = 4.302653 * 0.02 / math.sqrt(3)  # t at 97.5 % with 2 degrees of freedom
    assert (found.low, found.high) == pytest.approx((0.82 - half, 0.82 + half))
    assert (found.seeds, found.over) == (3, "seeds")


def test_seeds_that_agree_leave_the_interval_of_a_single_run():
    (row,) = rows(seeds((0.9, 0.9)))
    assert row.metrics["accuracy"][:3] == pytest.approx((0.9, 0.899, 0.901))


def test_one_seed_has_its_own_interval_over_inputs_alone():
    (row,) = rows(seeds((0.9,)))
    assert row.metrics["accuracy"][:4] == pytest.approx((0.9, 0.899, 0.901, 1))
    assert row.metrics["accuracy"].over == "inputs"


def test_an_interval_of_a_share_stays_within_what_a_share_can_be():
    (row,) = rows(seeds((0.5, 0.7)))  # Student's half is 12.7 times 0.1
    assert row.metrics["accuracy"][:3] == pytest.approx((0.6, 0.0, 1.0))


def test_what_has_no_number_is_left_out_of_the_mean():
    missing = {"auroc": Interval(math.nan, 0.0, 1.0, 0)}
    known = {"auroc": Interval(0.8, -math.inf, math.inf, 5)}
    (row,) = rows([record(seed=0, metrics=missing), record(seed=1, metrics=known)])
    assert row.metrics["auroc"].value == 0.8
    assert row.metrics["auroc"].seeds == 1
    (row,) = rows([record(metrics=missing)])
    assert "auroc" not in row.metrics


def outcomes_of(found):
    """Outcomes of four test inputs, written down in another order for every seed."""
    rng = np.random.default_rng(1)
    kept, grids = {}, {}
    for one in found:
        order, right = rng.permutation(4), rng.random(4) < 0.5
        kept[one.key] = {
            "right": right[order], "hit": ~right[order], "recovered": right[order],
            "test_ids": order + 10, "trap_ids": order + 10,
        }  # fmt: skip
        grids[one.key] = right
    return kept, grids


def test_known_outcomes_are_pooled_over_seeds_and_inputs_and_paired_with_no_defence():
    none = [record(defence="none", role="control", seed=s, outcome="") for s in range(3)]
    mine = [record(seed=s) for s in range(3)]
    kept, grids = outcomes_of(none + mine)
    found = {row.method: row for row in rows(none + mine, kept.get)}["ss"].metrics
    after = np.stack([grids[r.key] for r in mine])
    before = np.stack([grids[r.key] for r in none])
    assert found["accuracy"][:3] == pytest.approx(crossed_mean(after)[:3])
    assert found["accuracy"].over == "seeds x inputs"
    assert found["accuracy_reduction"][:3] == pytest.approx(paired_difference(before, after)[:3])


def test_a_missing_outcome_falls_back_to_the_seeds():
    mine = [record(seed=s) for s in range(2)]
    kept, _ = outcomes_of(mine[:1])
    (row,) = rows(mine, kept.get)
    assert row.metrics["accuracy"].over == "seeds"


def test_cells_of_other_settings_are_never_averaged():
    found = rows([record(settings={"top": 1}), record(settings={"top": 2}, seed=1)])
    assert sorted(row.variant for row in found) == ["top = 1", "top = 2"]
    assert [len(row.records) for row in found] == [1, 1]


def test_a_neighbour_is_named_by_what_differs_from_the_default():
    found = rows([record(settings={"top": 1, "deep": 5}),
                  record(settings={"top": 2, "deep": 5}, role="neighbour")])  # fmt: skip
    assert {row.neighbour: row.variant for row in found}[True] == "top = 2"


def test_two_records_of_one_cell_are_refused_and_one_given_twice_is_not():
    assert len(rows([record(), record()])) == 1
    with pytest.raises(DataError, match="one run of the sweep"):
        rows([record(key="a"), record(key="b")])
    with pytest.raises(DataError, match="two records have the key"):
        rows([record(key="a"), record(key="a", seed=1)])


def test_the_worst_result_of_a_row_names_it():
    one, two = record(outcome="secure"), record(seed=1, outcome="destroyed")
    (row,) = rows([one, two, record("failed", why="no memory", seed=2)])
    assert (row.result, row.worded) == ("destroyed", "1x destroyed, 1x secure, 1x failed")
    assert row.why == ("failed: no memory",)


def test_the_clean_twin_counts_once_a_seed_whatever_the_attacks():
    flagged = {"verdict": {"answer": "flagged"}, "cost": {"seconds": 3.0}}
    clean = {"verdict": {"answer": "clean"}, "cost": {"seconds": 5.0}}
    twins = [record(attack=a, rate=0.0, seed=s, **(flagged if s else clean))
             for a in ("badnets", "sig", "wanet") for s in (0, 1)]  # fmt: skip
    (row,) = clean_rows([*twins, record()])
    assert row.alarms == (1, 2)
    assert row.cost("seconds") == 4.0
    assert len(row.records) == 2


def board(asr=(0.9, 0.5, 0.1), **given):
    """Three methods over three attacks; the last one as given."""
    found = []
    for attack in ("badnets", "sig", "wanet"):
        for name, value in zip(("none", "ac", "ss"), asr, strict=True):
            extra = {"role": "control" if name == "none" else "defence"}
            extra |= given if name == "ss" else {}
            found.append(record(attack=attack, defence=name, asr=value, **extra))
    return found


def test_ranks_follow_the_asr_that_is_left():
    found = leaderboard(rows(board()), "asr")
    assert [found.methods[i] for i in found.order] == ["ss", "ac", "none"]
    assert found.ranks.mean[found.order].tolist() == [1.0, 2.0, 3.0]
    assert found.ranks.clusters == 3


def test_a_destroyed_network_never_wins():
    found = leaderboard(rows(board(outcome="destroyed")), "asr")
    assert [found.methods[i] for i in found.order] == ["ac", "none", "ss"]


def test_oracle_and_neighbours_are_in_no_rank():
    table = [*board(), *board(asr=(0.9, 0.5, 0.0), tuning="oracle")[2::3],
             *board(role="neighbour", settings={"top": 2})[2::3]]  # fmt: skip
    assert set(leaderboard(rows(table), "asr").methods) == {"none", "ac", "ss"}


def test_a_method_that_is_mostly_missing_is_left_out_and_named():
    found = leaderboard(rows([*board(), record(defence="spectre")]), "asr")
    assert found.left_out == (("spectre", 1),)
    assert "spectre" not in found.methods


def test_ranks_without_two_attacks_say_why():
    found = leaderboard(rows([record(), record(defence="ac")]), "asr")
    assert found.ranks is None
    assert "at least 2" in found.why
    assert "at least 2 methods" in leaderboard([], "asr").why
    apart = [record(attack=a, defence=d) for a, d in (("x", "u"), ("y", "v"), ("z", "w"))]
    assert "at least 2 methods" in leaderboard(rows(apart), "asr").why


def test_stability_is_the_mean_absolute_difference_from_the_default():
    table = [record(asr=0.5, accuracy=0.9, settings={"top": 2})]
    table += [record(asr=a, accuracy=0.9, settings={"top": t}, role="neighbour")
              for t, a in ((1, 0.4), (3, 0.8))]  # fmt: skip
    table += [record(defence="ac", asr=0.1)]
    by = {moved.measure: moved for moved in stabilities(rows(table))}
    assert by["asr"].stability.score == pytest.approx((0.1 + 0.3) / 2)
    assert by["accuracy"].stability.score == 0
    assert by["asr"].settings == 2
    assert {moved.defence for moved in by.values()} == {"ss"}


def test_published_figures_stand_beside_the_same_data_attack_rate_and_defence_only():
    shipped = Publications()
    (row,) = rows([record(defence="spectral-signatures", rate=0.1)])
    assert shipped.beside(row) == pytest.approx((0.8998, 0.9241, 0.072))
    for other in ({"task": "gtsrb"}, {"rate": 0.02}, {"attack": "new"}, {"defence": "new"},
                  {"tuning": "oracle"}):  # fmt: skip
        (row,) = rows([record(**({"defence": "ss", "rate": 0.1} | other))])
        assert shipped.beside(row) is None
    assert "b98eab4" in shipped.origin


def test_published_figures_without_their_columns_are_refused(tmp_path):
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="expected the columns"):
        Publications(tmp_path / "other.csv")


def test_the_markdown_table_holds_numbers_reasons_and_counts():
    found = [record(asr=0.25, accuracy=0.75), record(defence="ac", outcome="destroyed"),
             record("void", why="the attack did not take", defence="none", role="control"),
             record(rate=0.0, accuracy=0.5)]  # fmt: skip
    lines = markdown_table(found).splitlines()
    cells = {line.split(" | ")[0].strip("| "): line for line in lines if line.startswith("| ")}
    assert cells["attack"] == "| attack | none | ac | ss |"
    assert "25.0 [20.8, 29.5] / 75.0 [70.5, 79.2] (n=1)" in cells["badnets, 5 %"]
    assert "| destroyed: 90.0" in cells["badnets, 5 %"]
    assert "| void |" in cells["badnets, 5 %"]
    assert "| not run | not run | 50.0 [45.0, 55.0] (n=1) |" in cells["clean twin"]


def test_names_cannot_break_the_markdown_table():
    told = markdown_table([record(defence="<b>|x`*_\n[a](http://evil.example)")])
    line = next(line for line in told.splitlines() if line.startswith("| attack"))
    assert line.count("|") == 3
    for sign in ("<b>", "`", "*", "_", "](", "://"):
        assert sign not in line


def test_a_whole_sweep_makes_a_row_of_every_three_seeds():
    table = rows(sweep())
    assert len(table) == 120
    assert all(len(row.records) == 3 for row in table)
    assert [row.cell["defence"] for row in table[:4]] == [
        "none", "do-nothing", "random-filter", "perfect-filter",
    ]  # fmt: skip
