"""A thorough scan: what it keeps, what it tells, and how features are shown without a verdict."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from methods.test_strongest_feature import SmallDomain
from mithridate.cli.work.scan_data import asked_for
from mithridate.core.data import dataset
from mithridate.core.errors import MethodError
from mithridate.core.fit import TrainingConfig
from mithridate.detectors.early_loss import EarlyLoss
from mithridate.detectors.simple_features import SimpleFeatures
from mithridate.detectors.strongest_feature import StrongestFeature
from mithridate.pipelines.features_found import (
    StrongFeature,
    StrongFeatures,
    with_subsets,
    without_subsets,
)
from mithridate.pipelines.ready_scan import TOO_LONG, ReadyScan
from mithridate.pipelines.scan import DataScanner
from mithridate.report.page import write_report
from mithridate.report.strong_features import exhibited

FEW = StrongestFeature(trainings=5, epochs=1)


@pytest.fixture(scope="module")
def scanned(digits, tmp_path_factory):
    """A scan by the strongest feature alone, of 600 digits beside 200 trusted ones."""
    home, told = tmp_path_factory.mktemp("scan"), []
    scanner = DataScanner(detectors=(FEW,), training=TrainingConfig(epochs=2), power=0)
    data, trusted = digits.subset(torch.arange(600)), digits.subset(torch.arange(600, 800))
    job = ReadyScan.of(scanner, data, trusted, SmallDomain(crop=0.0), home=home)
    return SimpleNamespace(job=job, scan=job.scanned(told.append), told=told, home=home, data=data)


def test_trainings_on_subsets_are_told_of_and_kept(scanned):
    said = [words for words in scanned.told if "subsets" in words]
    assert said == [f"training {i} of 5 on subsets of the data" for i in range(1, 6)]
    assert len(list(scanned.job.subsets.glob("*.safetensors"))) == 5


def test_features_name_suspects_of_one_class_and_none_that_is_trusted(scanned):
    found = scanned.scan.strongest
    assert found.trainings == 5 and found.features
    excesses = [each.excess for each in found.features]
    assert excesses == sorted(excesses, reverse=True)
    for each in found.features:
        assert 0 < len(each.members) <= each.size
        assert set(scanned.data.labels[each.members].tolist()) == {each.label}
        low, high = each.interval
        assert low <= each.slope <= high
    assert scanned.scan.verdict.p_value is not None, "trusted examples went the same way"


def test_the_page_and_the_record_call_them_features_and_no_verdicts(scanned, tmp_path):
    names = [f"<{row}>" for row in range(600)]
    content = write_report(scanned.scan, scanned.data, scanned.job.trusted, tmp_path, names=names)
    page = (tmp_path / "report.html").read_text()
    assert "features and no verdicts" in page and "&lt;" in page
    first = content["strongest"]["features"][0]
    assert first["interval"][0] <= first["strength"] <= first["interval"][1]
    assert len(first["by_size"]) == len(content["strongest"]["sizes"])


def test_the_time_of_subsets_is_announced(scanned):
    assert scanned.job.seconds_of_subsets(4.0) == pytest.approx(4.0 / 2 * 1 * 5 / 2)
    plain = ReadyScan.of(DataScanner(), scanned.data, None, SmallDomain())
    assert plain.seconds_of_subsets(4.0) == 0


def test_it_is_asked_for_once_and_left_out_of_what_is_repeated():
    detectors = with_subsets((SimpleFeatures(),))
    assert detectors == with_subsets(detectors) == (SimpleFeatures(), StrongestFeature())
    assert without_subsets(detectors) == (SimpleFeatures(),)
    assert DataScanner(thorough=True).asked == with_subsets(DataScanner().detectors)


@pytest.mark.parametrize("thorough", [True, False])
def test_subsets_are_learnt_by_the_network_of_the_scan(thorough):
    given = () if thorough else (StrongestFeature(),)
    small = DataScanner(detectors=given, thorough=thorough, network="resnet9:4")
    assert small.asked == (StrongestFeature(network="resnet9:4"),)
    own = DataScanner(detectors=(StrongestFeature(network="vgg"),), network="resnet9:4")
    assert own.asked == own.detectors


def test_a_quick_look_trains_nothing():
    for word, flags in (("--strongest", (True, False)), ("--thorough", (False, True))):
        with pytest.raises(MethodError, match=f"--quick trains no network, and {word} trains many"):
            asked_for("", True, *flags)
    with pytest.raises(MethodError, match="--strongest asks one detector"):
        asked_for("spectre", False, True, False)
    assert asked_for("", False, True, False) == StrongestFeature.name()
    assert asked_for("spectre", False, False, True) == "spectre"


def test_copies_are_not_judged_by_trainings_on_subsets(scanned):
    scanner = DataScanner(detectors=(FEW,), training=TrainingConfig(epochs=1))
    job = ReadyScan.of(scanner, scanned.data, scanned.job.trusted, SmallDomain(crop=0.0))
    clean = replace(scanned.scan, verdict=replace(scanned.scan.verdict, answer="clean", why=""))
    assert TOO_LONG in job.powered(clean, job.looked()).verdict.why


def test_nothing_is_rehearsed_where_all_that_is_asked_trains(scanned):
    scanner = DataScanner(detectors=(FEW, EarlyLoss()), training=TrainingConfig(epochs=1))
    job = ReadyScan.of(scanner, scanned.data, scanned.job.trusted, SmallDomain(crop=0.0))
    assert job.seconds_after(job.looked()) == 0


def test_features_of_texts_are_shown_with_the_words_that_tell_them():
    texts = np.array(["a quiet film qx"] * 12 + ["a loud film"] * 12, dtype=object)
    data = dataset(texts, [0] * 24, ["<b>calm</b>"])
    sizes = (10,)
    one = StrongFeature(
        0, 1, 10, 3.0, torch.tensor([0.4]), torch.tensor([0.1]), 0, torch.arange(12),
        torch.tensor([2.0, 8.0]), torch.tensor([-1.0, 2.0]),
    )  # fmt: skip
    shown = exhibited(StrongFeatures((one,), sizes, 2), data, [str(i) for i in range(24)])
    section = shown["sections"][0]
    assert section["kind"] == "texts" and len(section["cards"]) == 12
    telling = [word for word, tells in section["cards"][0]["content"]["pieces"] if tells]
    assert "qx" in " ".join(telling)
    assert shown["rows"][0]["told"] == "0.300 to 0.500"
    assert (
        section["strengths"].suspects.startswith("M") and section["counts"].suspects.count("h") == 2
    )
