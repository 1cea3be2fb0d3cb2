"""No broken or malicious file gets anything run, or ends otherwise than in a clear finding."""

import contextlib
import importlib
import io
import pickle
from pathlib import Path

import pytest
import torch

RECIPES = Path(__file__).parents[2] / "recipes"
KEPT = 1
"""Files of each kind that are scanned here; the recipe scans all."""


@pytest.fixture(scope="module")
def config():
    patch = pytest.MonkeyPatch()
    patch.syspath_prepend(str(RECIPES))
    yield importlib.import_module("hostile_files")
    patch.undo()


@pytest.fixture(scope="module")
def files(config, tmp_path_factory):
    marker = tmp_path_factory.mktemp("marker") / "marker"
    return marker, list(config.samples(0, str(marker), rounds=1, cuts=1))


def test_a_file_of_each_kind_ends_as_it_must_and_runs_nothing(config, files, tmp_path):
    marker, samples = files
    assert len(samples) > 300
    taken, wrong = {}, []
    for sample in samples:
        taken[sample.kind] = taken.get(sample.kind, 0) + 1
        if taken[sample.kind] > (2 if sample.must else KEPT):
            continue
        path = tmp_path / "file"
        path.write_bytes(sample.words)
        found = config.scanned(path, sample.code)
        wrong += (
            [(why, sample.kind, sample.name, found)] if (why := config.wrong(sample, found)) else []
        )
        assert not marker.exists(), (sample.kind, sample.name)
        assert found["kib"] < 2 << 20
    assert len(taken) > 40
    assert not wrong


def test_the_payloads_would_have_worked(files):
    """Where this fails, the absence of the marker says nothing."""
    marker, samples = files
    by = {(s.kind, s.name): s.words for s in samples}
    pickle.loads(by["pickle", "exec"])
    assert marker.exists()
    for kind, name in (("pt2 expression", "0"), ("pt2 sample inputs", "exec")):
        marker.unlink(missing_ok=True)
        with contextlib.suppress(Exception):  # what comes after the payload does not matter
            torch.export.load(io.BytesIO(by[kind, name]))
        assert marker.exists(), (kind, name)
    marker.unlink()
