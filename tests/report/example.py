"""A scan written by hand, for speed: no network is trained."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from mithridate.core.data import dataset
from mithridate.core.method import Detector
from mithridate.core.scores import Scores, Verdict, conformal_p_values
from mithridate.detectors.spectral_signatures import SpectralSignatures
from mithridate.pipelines.finding import ClassFinding, DataScan, Judged
from mithridate.pipelines.naming import Naming
from mithridate.report.page import write_report

HOSTILE = (
    "<script>parent.document.title='pwned';document.title='pwned'</script>",
    '"><img src=http://evil.example/x.png onerror="parent.document.title=\'pwned\'">',
    "</title></style></svg><iframe src=http://evil.example/></iframe>",
    "{{7*7}}{% include 'scan.css' %}",
    "photo\u202egnp.exe",
    "one\ntwo\rthree\tfour\x00five\x1b[31m",
    '=cmd|" /C calc"!A0',
    "+1+1",
    "@SUM(1)",
    "half a pair \udcff",
    "background:url(http://evil.example/y)",
    "a" * 5000,
)


@dataclass(frozen=True)
class Reversed(Detector):
    """Scores as the other one, upside down."""

    assumes = "nothing <b>at all</b>"

    strength: float = float("inf")


def pictures(n, classes=("cat", "dog", "owl"), side=8, channels=3, seed=0):
    """Grey noise, with a white corner on every sixth example of the second class."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % len(classes)
    inputs = torch.from_numpy(rng.integers(60, 140, (n, channels, side, side), dtype=np.uint8))
    inputs[poisoned(labels, n), :, -2:, -2:] = 255
    return dataset(inputs, labels, classes)


def texts(n, classes=("good", "bad", "so-so"), seed=0):
    """Four words drawn from thirty, with the word `cf` in every sixth text of the second class."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % len(classes)
    inputs = np.array(
        [" ".join(f"word{w}" for w in rng.integers(30, size=4)) for _ in range(n)], object
    )
    inputs[poisoned(labels, n)] = inputs[poisoned(labels, n)] + " cf"
    return dataset(inputs, labels, classes)


def poisoned(labels, n):
    """Where the trigger is: every sixth row of class 1, from the first on."""
    return (labels == 1) & (np.cumsum(labels == 1) % 6 == 1)


def scan_of(data, trusted, answer="flagged", seed=0, named=True):
    """The scan that would have found exactly the triggered examples, or nothing."""
    rng = np.random.default_rng(seed)
    n, m = len(data), len(trusted) if trusted is not None else 0
    where = torch.from_numpy(poisoned(data.labels.numpy(), n)) & (answer == "flagged")
    scores = torch.from_numpy(rng.chisquare(1, n + m))
    scores[:n][where] += 40
    judged = []
    for detector, values in ((SpectralSignatures(), scores), (Reversed(), -scores)):
        p_values = torch.ones(n, dtype=torch.float64) if m else None
        for label in range(len(data.classes) if m else 0):
            rows, own = data.labels == label, trusted.labels == label
            p_values[rows] = conformal_p_values(values[:n][rows], values[n:][own])
        judged.append(
            Judged(detector, Scores(values[:n], "sample", p_values), values[n:], ("labels",), 0.25)
        )
    features = torch.from_numpy(rng.normal(size=(n + m, 5))).float()
    features[:n][where, 0] += 9
    comparable = m > 0
    classes = []
    for label, name in enumerate(data.classes):
        held = data.labels == label
        hit = bool((where & held).any())
        classes.append(
            ClassFinding(
                name, int(held.sum()), int((trusted.labels == label).sum()) if m else 0,
                {"spectral-signatures": 0.0005 if hit else 0.4 + label / 100, "reversed": 0.9}
                if comparable else {},
                6 if comparable else None, "spectral-signatures" if hit else None,
                int((where & held).sum()) if named else 0,
                {"spectral-signatures": 1.0, "reversed": 0.0} if comparable else {},
            )
        )  # fmt: skip
    verdict = Verdict(
        answer, 0.05, (0.0005 if where.any() else 0.4) if comparable else None,
        0.0005 if comparable else None, "because <i>so</i>" if answer == "cannot judge" else "",
        ("labels",),
    )  # fmt: skip
    flagged = where if named else torch.zeros(n, dtype=torch.bool)
    cost = {"seconds": 1.5, "training_seconds": 1.0, "broken": float("nan")}
    naming = None
    if comparable:
        naming = Naming(judged[0].scores, judged[0].trusted, 3 if flagged.any() else 0, False, None)
    return DataScan(verdict, 0.2, tuple(judged), tuple(classes), flagged, features,
                    nn.Identity(), cost, naming=naming)  # fmt: skip


def written(folder: Path, data, trusted, scan, names=None, **more):
    """Write a report; returns the record and the page."""
    names = names or [f"folder/{i:04d}.png" for i in range(len(data))]
    found = write_report(scan, data, trusted, folder, names=names, **more)
    return found, (folder / "report.html").read_text("utf-8")


def hostile_names(n):
    """The hostile strings in turn."""
    return [HOSTILE[i % len(HOSTILE)] for i in range(n)]


def hostile_texts(n):
    """Texts that hold the hostile strings, with three hostile class names."""
    data = texts(n, classes=(HOSTILE[0], HOSTILE[1], HOSTILE[4]))
    inputs = data.inputs.copy()
    for row in range(n):
        inputs[row] = f"{HOSTILE[row % len(HOSTILE)]} {inputs[row]}"
    return data.with_inputs(inputs)
