"""What earlier versions wrote names methods as they were called then, and is still read."""

from mithridate.core.method import Detector, Trainer
from mithridate.core.plain import plain
from mithridate.core.settings import build
from mithridate.pipelines.kept_guard import _method
from mithridate.pipelines.population import Form, Population, ScannerScores
from mithridate.scanners.k_arm import KArm


def test_a_population_names_a_scanner_as_it_was_called():
    scanner, form = KArm(), Form("cnn", "fp32", 2)
    kept = {**plain(scanner.config()), "method": "karm"}
    scores = (ScannerScores("karm", kept, [[0.5, 1.0]]),)
    population = Population(form, "", "", 0, scores)
    assert population.known([scanner], form)["k-arm"].tolist() == [[0.5, 1.0]]
    assert population.known([KArm(steps=1)], form) == {}


def test_a_guard_names_a_detector_as_it_was_called():
    assert _method(Detector, {"method": "te-co", "seed": 3}).name() == "teco"


def test_a_script_names_methods_and_settings_as_they_were_called():
    assert build(Trainer, "cut-mix", {"recipe.rate": "0.5"}).training.learning_rate == 0.5
