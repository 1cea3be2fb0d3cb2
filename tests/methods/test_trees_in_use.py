"""Scans of data and of models, and guards, take boosted trees for a model like any other."""

import numpy as np
import pytest
import torch
from torch import nn

from mithridate.core.data import dataset
from mithridate.core.errors import CannotJudge, MethodError
from mithridate.core.forest import Forest
from mithridate.core.streams import stream
from mithridate.detectors.early_loss import EarlyLoss
from mithridate.detectors.spectral_signatures import SpectralSignatures
from mithridate.domains.table.columns import columns_of
from mithridate.domains.table.domain import TableDomain
from mithridate.pipelines import front, kept_network
from mithridate.trainers.boosted_trees import BoostedTrees

lightgbm = pytest.importorskip("lightgbm", reason="needs pip install 'mithridate[trees]'")
CLASSES = ("benign", "malicious")


def rows(n, seed=0):
    """Rows whose class hangs on five numbers and a category together."""
    rng = stream(seed, "rows")
    names = [f"field{i}" for i in range(5)]
    made = np.empty(n, dtype=[*((name, "i8") for name in names), ("packer", "O")])
    made["packer"] = rng.choice(["upx", "none", ""], n)
    total = 40.0 * (made["packer"] == "upx")
    for name in names:
        made[name] = rng.integers(0, 100, n)
        total += made[name]
    return dataset(made, (total > 260).astype(int), CLASSES)


DOMAIN = TableDomain(columns=columns_of(rows(2).inputs))


def test_a_scan_of_data_looks_at_them_through_what_trees_say():
    data = rows(600)
    scan = front.scan_data(
        data, rows(500, 1), domain=DOMAIN, trainer="boosted-trees", power=0, permutations=199,
        detectors=(SpectralSignatures(), EarlyLoss()),
    )  # fmt: skip
    assert scan.features.shape == (1100, 100)
    assert {each.detector.name() for each in scan.judged} == {
        "spectral-signatures",
        "early-loss",
    }
    assert isinstance(scan.model, Forest)
    assert all(0 < p <= 1 for found in scan.classes for p in found.p_values.values())
    with pytest.raises(MethodError, match="is of the ordinary training"):
        front.scan_data(data, domain=DOMAIN, trainer="boosted-trees", epochs=3)


def grown(data, path):
    """Trees in a file of ours."""
    trainer = BoostedTrees(rounds=20, leaves=8)
    model = trainer.form(nn.Linear(1, 2))
    trainer.train(model, data, DOMAIN, stream(0, "grow"))
    settings = {"rounds": "20", "leaves": "8"}
    kept_network.save(model, path, kept_network.Note("", CLASSES, "boosted-trees", settings))
    return path


def test_a_scan_of_a_model_compares_them_with_clean_trees_of_their_own_kind(tmp_path):
    path = grown(rows(700), tmp_path / "trees.safetensors")
    said = []
    scan = front.scan_model(
        path, rows(900, 2), 4, domain=DOMAIN, home=tmp_path, step=said.append, apart=0.3
    )
    assert any("value-search" in each for each in said)
    assert not any("neural-cleanse" in each for each in said)
    assert sum("training clean reference" in each for each in said) == 4
    assert scan.verdict.answer == "cannot judge", "five models reach no level of 0.05"
    folder = next(tmp_path.glob("references-*"))
    kept = [kept_network.noted(each) for each in sorted(folder.glob("*.safetensors"))]
    assert {(note.trainer, note.settings["rounds"]) for note in kept} == {("boosted-trees", "20")}


def test_a_guard_stands_in_front_of_a_file_of_lightgbm(tmp_path):
    data, path = rows(600), tmp_path / "model.txt"
    values = np.stack([data.inputs[f"field{i}"] for i in range(5)], 1).astype(float)
    names = [f"field{i}" for i in range(5)]
    held = lightgbm.Dataset(values, data.labels.numpy(), feature_name=names)
    settings = {"objective": "binary", "num_threads": 1, "verbosity": -1}
    lightgbm.train(settings, held, 20).save_model(path)
    guard = front.guard(path, rows(300, 3), ["mahalanobis"], domain=DOMAIN, level=0.1)
    decisions = guard.decide(rows(50, 4).inputs)
    assert len(decisions) == 50
    with pytest.raises(CannotJudge, match="boosted trees answer in steps"):
        front.repair(path, rows(300, 3), "fine-tuning", domain=DOMAIN)
    assert torch.is_tensor(guard.model(DOMAIN.prepare(data.inputs[:2])))
