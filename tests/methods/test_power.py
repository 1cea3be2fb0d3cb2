"""Known backdoors are planted in copies, and what a scan finds of them is counted and said."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from methods.test_pipelines import bars
from mithridate.core.data import dataset
from mithridate.core.errors import CannotJudge
from mithridate.core.fit import TrainingConfig
from mithridate.core.scores import Verdict
from mithridate.core.streams import stream
from mithridate.detectors.faint_pattern import FaintPattern
from mithridate.detectors.spectral_signatures import SpectralSignatures
from mithridate.domains.image.domain import ImageDomain
from mithridate.domains.text.domain import TextDomain
from mithridate.pipelines.earned import earned
from mithridate.pipelines.planted import Amount, Backdoor, Power, Powers, Trial, counted
from mithridate.pipelines.planting import MOST, Ground
from mithridate.pipelines.power import Measuring
from mithridate.pipelines.quick_look import UNSEEN
from mithridate.pipelines.ready_scan import ReadyScan
from mithridate.pipelines.scan import DataScanner
from mithridate.stats.enrichment import enrichment
from report.example import pictures, scan_of

CLASSES, EACH = 10, 200


@pytest.fixture(scope="module")
def ground():
    """Two thousand pictures of ten classes; one in 19 is not judged, and class 9 not at all."""
    rng = stream(0, "ground")
    inputs = torch.from_numpy(rng.integers(0, 256, (CLASSES * EACH, 1, 8, 8), dtype=np.uint8))
    data = dataset(inputs, np.arange(CLASSES * EACH) % CLASSES)
    judged = (torch.arange(len(data)) % 19 != 3).nonzero().flatten()
    return Ground(data, judged, tuple(range(9)), ImageDomain())


def carried(copy, data):
    """Rows whose label was changed, by their new label."""
    rows = (copy.labels != data.labels).nonzero().flatten()
    return {
        label: rows[copy.labels[rows] == label] for label in copy.labels[rows].unique().tolist()
    }


def finds_from(data, least):
    """A scan that finds every backdoor of so many examples, and its calls."""
    calls = []

    def judge(copy, seed, unfinished):
        calls.append(seed)
        found = carried(copy, data)
        return np.array([0.001 if len(found.get(c, ())) >= least else 0.5 for c in range(CLASSES)])

    return judge, calls


def measuring(ground, copies=2, kept=None, smallest=0.01):
    return Measuring(ground, smallest, 0.05, 0.8, copies, 7, kept, lambda _: None)


def test_the_amounts_are_the_one_asked_for_and_smaller_ones_that_tell_more(ground):
    assert ground.amounts(0.01) == [Amount(0.01, of_all=True), Amount(0.03), Amount(0.01)]
    assert ground.amounts(0.0013) == [Amount(0.0013, of_all=True)], (
        "much the same as 1 % of a class"
    )
    two = dataset(ground.data.inputs, np.arange(2000) % 2)
    few = Ground(two, torch.arange(2000), (0, 1), ImageDomain())
    assert few.amounts(0.01) == [Amount(0.01, of_all=True), Amount(0.01)]
    assert [backdoor.kind for backdoor in ground.backdoors(0.01)[:4]] == [
        "patch",
        "blend",
        "wave",
        "patch",
    ]


def test_a_copy_holds_one_backdoor_for_a_class_and_the_suspects_stay_as_they_are(ground):
    before = ground.data.inputs.clone(), ground.data.labels.clone()
    copy, plants = ground.planted(ground.backdoors(0.01), stream(1, "plant"))
    assert torch.equal(ground.data.inputs, before[0])
    assert torch.equal(ground.data.labels, before[1])
    assert len({plant.label for plant in plants}) == len(plants) == 9
    assert not {plant.label for plant in plants} & {9}, "nobody would judge that class"
    rows = torch.cat([plant.rows for plant in plants])
    assert len(rows.unique()) == len(rows) <= MOST * len(ground.rows)
    assert torch.isin(rows, ground.rows).all(), "what is not judged cannot be found"
    for plant in plants:
        size = int((ground.data.labels[ground.rows] == plant.label).sum())
        assert len(plant.rows) == plant.backdoor.amount.count(size, len(ground.rows))
        assert (ground.data.labels[plant.rows] != plant.label).all(), "from the other classes"
    changed = (copy.inputs != ground.data.inputs).flatten(1).any(1)
    relabelled = copy.labels != ground.data.labels
    assert torch.equal(changed, relabelled)
    assert torch.equal(relabelled.nonzero().flatten(), rows.sort().values)


def test_two_copies_differ_and_the_same_stream_gives_the_same(ground):
    backdoors = ground.backdoors(0.01)
    first, again, other = (ground.planted(backdoors, stream(s, "plant"))[0] for s in (1, 1, 2))
    assert torch.equal(first.inputs, again.inputs) and torch.equal(first.labels, again.labels)
    assert not torch.equal(first.labels, other.labels)


def test_what_is_found_is_counted_by_kind_and_amount(ground):
    judge, calls = finds_from(ground.data, 5)
    powers = measuring(ground).powers(None, judge)
    assert len(calls) == len(set(calls)) == powers.copies == 2
    by_amount = {each.amount: each for each in powers.measured}
    assert by_amount[Amount(0.01, of_all=True)].hits == by_amount[Amount(0.03)].hits == 2
    small = by_amount[Amount(0.01)]
    assert (small.fewest, small.most, small.hits, small.of) == (2, 2, 0, 2)
    assert {each.kind for each in powers.missed} == {"patch", "blend", "wave"}
    assert all(each.amount == Amount(0.01) for each in powers.missed)
    assert not powers.is_blind


def test_no_network_is_trained_for_what_a_quick_look_finds(ground):
    look, looks = finds_from(ground.data, 5)
    scan, scans = finds_from(ground.data, 2)
    powers = measuring(ground).powers(look, scan)
    assert len(looks) == powers.looks <= 6, "each is tried three times for each network"
    assert len(scans) == 2
    quick = {each.amount: each.quick for each in powers.measured}
    assert quick == {
        Amount(0.01, of_all=True): True, Amount(0.03): True, Amount(0.01): False,
    }  # fmt: skip
    assert all(each.hits == each.of >= 6 for each in powers.measured[:6])
    assert all(each.hits == each.of >= 6 for each in powers.measured[6:])
    all_seen, _ = finds_from(ground.data, 1)

    def refuse(*_):
        raise AssertionError("a network was trained for nothing")

    assert measuring(ground).powers(all_seen, refuse).missed == ()


def test_measuring_that_is_killed_goes_on_where_it_was(ground, tmp_path):
    judge, calls = finds_from(ground.data, 5)
    whole = measuring(ground).powers(judge, judge)
    total = len(calls)
    unfinished = []

    def killed(copy, seed, folder):
        unfinished.append(folder)
        if len(unfinished) == 6:
            folder.mkdir(parents=True)
            raise KeyboardInterrupt
        return judge(copy, seed, folder)

    calls.clear()
    with pytest.raises(KeyboardInterrupt):
        measuring(ground, kept=tmp_path / "kept").powers(killed, killed)
    assert len(calls) == 5
    assert measuring(ground, kept=tmp_path / "kept").powers(judge, judge) == whole
    assert len(calls) == total
    assert not unfinished[-1].exists(), "an unfinished training is left behind"


def test_the_estimate_counts_looks_and_copies(ground):
    assert measuring(ground).seconds(3.0, 10.0) == pytest.approx(6 * 3.0 + 2 * 10.0)
    assert measuring(ground).seconds(0.0, 10.0) == pytest.approx(2 * 10.0)
    assert measuring(ground, copies=0).seconds(3.0, 10.0) == 0.0


def test_what_is_too_small_to_be_seen_is_not_planted(ground):
    judge, calls = finds_from(ground.data, 1)
    some = replace(ground, visible=dict.fromkeys(ground.labels, 7))
    powers = measuring(some).powers(None, judge)
    assert [each.of > 0 for each in powers.measured] == [True] * 3 + [False] * 6
    assert len(powers.missed) == 6 and not powers.is_blind and calls
    assert {each.score for each in powers.missed} == {"none, so few cannot be seen"}
    none = replace(ground, visible=dict.fromkeys(ground.labels, 99))
    assert measuring(none).powers(None, judge).is_blind


def test_a_set_of_two_classes_has_two_backdoors_in_a_copy():
    words = np.array([f"text number {i} of the class" for i in range(400)], dtype=object)
    data = dataset(words, np.arange(400) % 2)
    ground = Ground(data, torch.arange(400), (0, 1), TextDomain())
    copy, plants = ground.planted(ground.backdoors(0.01), stream(0, "plant"))
    assert [len(plant.rows) for plant in plants] == [4, 4]
    assert sum(a != b for a, b in zip(copy.inputs, data.inputs, strict=True)) == 8


def test_what_cannot_be_planted_says_why(ground):
    tiny = dataset(torch.zeros(20, 1, 4, 4, dtype=torch.uint8), np.arange(20) % 2)
    with pytest.raises(CannotJudge, match="4 x 4 pixels are too small"):
        Ground(tiny, torch.arange(20), (0, 1), ImageDomain()).backdoors(0.01)
    with pytest.raises(CannotJudge, match="no class has both"):
        Ground(tiny, torch.arange(20), (), ImageDomain()).backdoors(0.01)
    with pytest.raises(CannotJudge, match="was trained on the suspects themselves"):
        measuring(ground).powers(None, None)


ASKED = Amount(0.01, of_all=True)


def powers_of(*rows):
    """Powers by (kind, amount, found, of)."""
    given = (Power(kind, amount, 5, 9, found, of, quick=False) for kind, amount, found, of in rows)
    return Powers(tuple(given), ASKED, 0.8, 2, 0)


def clean_scan():
    data = pictures(60)
    scan = scan_of(data, pictures(30, seed=1), "clean")
    return replace(scan, verdict=Verdict("clean", 0.05, 0.4, 0.0005))


def test_clean_names_what_would_have_been_missed():
    powers = powers_of(("dot", ASKED, 4, 4), ("ring", ASKED, 1, 4), ("dot", Amount(0.01), 0, 4))
    scan = earned(clean_scan(), powers)
    assert scan.verdict.answer == "clean"
    assert scan.verdict.p_value == 0.4, "the level of the scan is not touched"
    assert "ring on 1 % of the data (5 to 9 examples), found in 1 of 4" in scan.verdict.why
    assert "dot on 1 % of a class (5 to 9 examples), found in 0 of 4" in scan.verdict.why
    assert "found in 4 of 4" not in scan.verdict.why


def test_clean_is_not_said_where_every_kind_would_have_been_missed():
    blind = powers_of(("dot", ASKED, 3, 4), ("ring", ASKED, 0, 4), ("dot", Amount(0.01), 4, 4))
    verdict = earned(clean_scan(), blind).verdict
    assert verdict.answer == "cannot judge"
    assert "dot on 1 % of the data (5 to 9 examples), found in 3 of 4" in verdict.why
    assert "more trusted examples" in verdict.why and "enough=0.8" in verdict.why
    asked_nobody = replace(blind, copies=0)
    assert earned(clean_scan(), asked_nobody).verdict.answer == "clean", "a lower bound says little"
    quick = replace(clean_scan(), verdict=Verdict("cannot judge", 0.05, 0.4, 0.0005, UNSEEN))
    assert earned(quick, blind).verdict.why.startswith(UNSEEN)


def test_the_interval_is_exact_and_found_means_at_the_level():
    backdoor = Backdoor("dot", ASKED)
    trials = [Trial(backdoor, 0, 5, p) for p in (0.01, 0.05, 0.051, 0.5)]
    (power,) = counted((backdoor, Backdoor("ring", ASKED)), trials, 0.05, quick=False)
    assert (power.hits, power.of) == (2, 4)
    assert power.share.low == pytest.approx(0.0676, abs=1e-4)
    assert power.share.high == pytest.approx(0.9324, abs=1e-4)


def test_a_p_value_by_itself_is_that_of_a_class_among_all_that_hold_nothing():
    rng = np.random.default_rng(0)
    labels, trusted = np.repeat(np.arange(4), 60), np.tile(np.arange(60) < 20, 4)
    scores = rng.standard_normal((2, 240))
    scores[0, (labels < 2) & ~trusted] += [3.0] * 80
    both = enrichment(scores, labels, trusted, 4, np.random.default_rng(1), permutations=199)
    first = both.single.min(0).argmin()
    assert both.single[:, first].min() == both.adjusted.min() == both.p_value
    assert (both.single >= both.adjusted - 1e-12).all(), "classes before it make nothing easier"
    alone = scores.copy()
    alone[0, (labels == 1) & ~trusted] -= 3.0
    one = enrichment(alone, labels, trusted, 4, np.random.default_rng(1), permutations=199)
    assert one.single[:, 0] == pytest.approx(both.single[:, 0], abs=0.02)


TINY = DataScanner(
    (FaintPattern(), SpectralSignatures()), smallest=0.1, permutations=99, power=1,
    training=TrainingConfig(epochs=2, batch_size=64), network="resnet9:2",
)  # fmt: skip


def test_a_scan_that_finds_nothing_measures_itself_and_keeps_its_p_values(tmp_path):
    data, trusted = bars(180, 1), bars(90, 2)
    jobs = {
        power: ReadyScan.of(
            replace(TINY, power=power), data, trusted, ImageDomain(), seed=3, home=tmp_path
        )
        for power in (0, 1)
    }
    without, scan = (jobs[power].scanned() for power in (0, 1))
    assert without.power is None and "power=0 plants nothing" in without.verdict.why
    assert without.verdict.answer == "clean"
    assert scan.verdict.p_value == without.verdict.p_value
    assert [c.p_values for c in scan.classes] == [c.p_values for c in without.classes]
    assert scan.power is not None and scan.power.looks >= 3
    assert {each.kind for each in scan.power.measured} == {"patch", "blend", "wave"}
    kept = json.loads(next((jobs[1].planting / "whole").glob("look-0.json")).read_text())
    assert kept[0]["backdoor"]["kind"] == "patch"
