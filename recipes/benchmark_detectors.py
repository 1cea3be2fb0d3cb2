"""How fast Spectral Signatures and Activation Clustering are beside ART, and how exact.

    python recipes/benchmark_detectors.py speed     # both libraries by turns, one thread
    python recipes/benchmark_detectors.py exact     # scores and clusters against references
    python recipes/benchmark_detectors.py stream    # a million examples, chunk by chunk
    python recipes/benchmark_detectors.py table     # the tables from the records

The first two need the Adversarial Robustness Toolbox, in an environment of its own:

    python -m venv .venv-art
    .venv-art/bin/pip install -c constraints/dev.txt -e . adversarial-robustness-toolbox packaging
    OMP_NUM_THREADS=1 .venv-art/bin/python recipes/benchmark_detectors.py speed

Both libraries get the same 50,000 features of 512 dimensions in ten classes and one thread, and
take turns in one process, so that whatever else the machine does meets both; the ratio of each turn
is what counts, in processor time. ART is called as a user calls it (*public*: it passes the
features through a model of one identity layer, since it knows no other way to be given features)
and once more with that pass taken away (*core*). Ours is `judge` on a view of the features. The
features are *falling* (variance 1/i in the i-th direction, as trained networks have it: fast to
decompose) and *flat* (the same variance in all directions: the hardest case for an iteration).
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import subprocess
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from cells import markdown, records, save
from mithridate.core.runtime import environment
from mithridate.core.view import View
from mithridate.detectors.activation_clustering import ActivationClustering, two_means
from mithridate.detectors.spectral_signatures import SpectralSignatures

FOLDER = "benchmark_detectors"
N, WIDTH, CLASSES, COMPONENTS = 50_000, 512, 10, 10
SPECTRA = ("falling", "flat")
INSTALL = (
    "this needs ART in an environment of its own: python -m venv .venv-art; .venv-art/bin/pip "
    "install -c constraints/dev.txt -e . adversarial-robustness-toolbox packaging"
)


def features_of(spectrum: str, n: int = N, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Features float32[n, 512] in ten classes about means of their own, 5 % of class 0 shifted."""
    fixed, rng = torch.Generator().manual_seed(0), torch.Generator().manual_seed(seed)
    spread = torch.ones(WIDTH) if spectrum == "flat" else torch.arange(1, WIDTH + 1) ** -0.5
    turn = torch.linalg.qr(torch.randn(WIDTH, WIDTH, generator=fixed))[0]
    means = 3 * torch.randn(CLASSES, WIDTH, generator=fixed) * spread
    shift = torch.randn(WIDTH, generator=fixed) * spread
    labels = torch.randint(CLASSES, (n,), generator=rng)
    rows = torch.randn(n, WIDTH, generator=rng) * spread + means[labels]
    rows[(labels == 0) & (torch.rand(n, generator=rng) < 0.05)] += shift
    return rows @ turn, labels


def art_classifier(passing: bool) -> Any:
    """A classifier of ART whose last layer gives the features themselves."""
    try:
        from art.estimators.classification import PyTorchClassifier
    except ImportError as error:
        raise SystemExit(INSTALL) from error

    class Given(PyTorchClassifier):  # type: ignore[misc]
        """Gives the features without a pass through the model."""

        def get_activations(self, x: Any, *_: Any, **__: Any) -> Any:
            return x

    model = torch.nn.Sequential(torch.nn.Identity())
    kind = PyTorchClassifier if passing else Given
    return kind(model, torch.nn.CrossEntropyLoss(), (WIDTH,), CLASSES)


def art_spectral(rows: Any, labels: Any, passing: bool) -> None:
    """ART's Spectral Signatures."""
    from art.defences.detector.poison import SpectralSignatureDefense

    defence = SpectralSignatureDefense(
        art_classifier(passing), rows, labels, expected_pp_poison=0.05
    )
    defence.detect_poison()


def art_clustering(rows: Any, labels: Any, passing: bool) -> Any:
    """ART's Activation Clustering with PCA; gives its clusters by class."""
    from art.defences.detector.poison import ActivationDefence

    defence = ActivationDefence(art_classifier(passing), rows, labels)
    defence.detect_poison(nb_clusters=2, nb_dims=COMPONENTS, reduce="PCA")
    return defence.clusters_by_class


def ways(rows: torch.Tensor, labels: torch.Tensor) -> dict[str, dict[str, Callable[[], object]]]:
    """What is timed: by detector, by way."""
    x, y = rows.numpy(), labels.numpy()

    def view() -> View:
        return View(features=rows, labels=labels)

    return {
        "spectral signatures": {
            "ours": lambda: SpectralSignatures().judge(view()),
            "ART, public": lambda: art_spectral(x, y, passing=True),
            "ART, core": lambda: art_spectral(x, y, passing=False),
        },
        "activation clustering": {
            "ours, pca": lambda: ActivationClustering(reduction="pca").judge(view()),
            "ours, ica": lambda: ActivationClustering().judge(view()),
            "ART, public": lambda: art_clustering(x, y, passing=True),
            "ART, core": lambda: art_clustering(x, y, passing=False),
        },
    }


def timed(work: Callable[[], object]) -> dict[str, float]:
    """Processor and wall-clock seconds of some work, and how many processes wanted a core."""
    load = os.getloadavg()[0]
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    spent = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}
    return {**spent, "load": load}


def origin() -> dict[str, Any]:
    """What the figures were measured with."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    told = subprocess.run(
        command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True
    )
    found = environment()
    with contextlib.suppress(metadata.PackageNotFoundError):
        found["adversarial-robustness-toolbox"] = metadata.version("adversarial-robustness-toolbox")
    return {"commit": told.stdout.strip(), "environment": found}


def speed(turns: int) -> None:
    """Time all ways by turns, forth and back, after one turn that does not count.

    The record is written after each turn, so that a stopped run has measured something.
    """
    for spectrum in SPECTRA:
        compared = ways(*features_of(spectrum))
        every = [(name, way) for name, found in compared.items() for way in found]
        seconds: dict[str, dict[str, list[dict[str, float]]]] = {
            name: {way: [] for way in found} for name, found in compared.items()
        }
        shape = {"examples": N, "features": WIDTH, "classes": CLASSES, "spectrum": spectrum}
        for turn in range(turns + 1):
            for name, way in every if turn % 2 else every[::-1]:
                spent = timed(compared[name][way])
                print(f"{spectrum} {turn} {name}, {way}: {spent['cpu']:.3f} s", flush=True)
                if turn:
                    seconds[name][way].append(spent)
            if turn:
                save(FOLDER, f"speed-{spectrum}", {**shape, "seconds": seconds, **origin()})


def worst(found: torch.Tensor, expected: torch.Tensor) -> dict[str, float]:
    """The largest difference, relative to each score and to the mean score."""
    gap = (found - expected).abs()
    return {
        "of_each_score": float((gap / expected.abs()).max()),
        "of_the_mean_score": float(gap.max() / expected.abs().mean()),
    }


def spectral_gap(rows: torch.Tensor, ours: torch.Tensor, official: torch.Tensor) -> dict[str, Any]:
    """Differences of one class from a full decomposition in 64 bits, ours and ART's."""
    from art.defences.detector.poison import SpectralSignatureDefense

    wide = rows.double().numpy()
    centred = wide - wide.mean(0)
    direction = np.linalg.svd(centred, full_matrices=False)[2][0]
    theirs = SpectralSignatureDefense.spectral_signature_scores(rows.numpy())[:, 0]
    uncentred = torch.from_numpy(np.abs(wide @ direction))
    return {
        "ours": worst(ours, torch.from_numpy((centred @ direction) ** 2)),
        "ours, official": worst(official, uncentred),
        "ART": worst(torch.from_numpy(theirs).double(), uncentred),
    }


def cluster_cost(rows: torch.Tensor, theirs: Any) -> dict[str, float]:
    """Sum of squares within the clusters of one class, over the best of scikit-learn's.

    All are measured in the exact ten main directions. The best is of 20 random starts.
    """
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA

    points = PCA(COMPONENTS, svd_solver="full").fit_transform(rows.double().numpy())
    best = KMeans(2, n_init=20, random_state=0).fit(points)
    ours = two_means(ActivationClustering(reduction="pca").reduce(rows)[2]).numpy()

    def within(inside: Any) -> float:
        parts = (points[inside], points[~inside])
        return sum(float(((part - part.mean(0)) ** 2).sum()) for part in parts)

    same = float((ours == (best.labels_ == 1)).mean())
    return {
        "ours": within(ours) / best.inertia_,
        "ART": within(np.asarray(theirs) == 1) / best.inertia_,
        "ours_as_the_best": max(same, 1 - same),
    }


def exact() -> None:
    """Compare scores and clusters with references, class by class."""
    for spectrum in SPECTRA:
        rows, labels = features_of(spectrum)
        view = View(features=rows, labels=labels)
        ours = SpectralSignatures().judge(view).values
        official = SpectralSignatures(compat="official").judge(view).values
        clusters = art_clustering(rows.numpy(), labels.numpy(), passing=False)
        spectral, clustering = [], []
        for label in range(CLASSES):
            mine = labels == label
            spectral.append(spectral_gap(rows[mine], ours[mine], official[mine]))
            clustering.append(cluster_cost(rows[mine], clusters[label]))
        found = {"spectral_signatures": spectral, "activation_clustering": clustering}
        save(FOLDER, f"exact-{spectrum}", {"spectrum": spectrum, **found, **origin()})


def chunks(
    count: int, size: int, spent: list[float]
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Draw features chunk by chunk, and note the time that drawing took."""
    for number in range(count // size):
        began = time.process_time()
        chunk = features_of("falling", size, seed=number)
        spent.append(time.process_time() - began)
        yield chunk


def stream(count: int, size: int) -> None:
    """Fit and score a stream that is never in memory as a whole; note the peak of memory."""
    detector, drawing = SpectralSignatures(), list[float]()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    began = time.process_time()
    state = detector.fit_chunks(chunks(count, size, drawing))
    fitted = time.process_time()
    scores = torch.cat(
        [
            detector.score(state, View(features=rows, labels=labels))
            for rows, labels in chunks(count, size, drawing)
        ]
    )
    seconds = time.process_time() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    half = len(drawing) // 2
    record = {
        "examples": len(scores), "features": WIDTH, "chunk": size,
        "fit_seconds": fitted - began - sum(drawing[:half]),
        "score_seconds": seconds - (fitted - began) - sum(drawing[half:]),
        "whole_mb": len(scores) * WIDTH * 4 / 2**20, "before_mb": before, "peak_mb": peak,
    }  # fmt: skip
    save(FOLDER, "stream", {**record, **origin()})


def spread_of(values: list[float], digits: int = 1) -> str:
    """Write the median of some values and their range."""
    return f"{median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def speed_table(found: list[Any]) -> str:
    """How many times faster ours is, turn by turn."""
    rows = []
    for record in found:
        for name, seconds in record["seconds"].items():
            for ours in (way for way in seconds if way.startswith("ours")):
                for art in (way for way in seconds if way.startswith("ART")):
                    pairs = list(zip(seconds[art], seconds[ours], strict=True))
                    cells = [record["spectrum"], f"{name}: {ours}", art]
                    cells += [
                        spread_of([a[clock] / b[clock] for a, b in pairs])
                        for clock in ("cpu", "wall")
                    ]
                    cells += [spread_of([t["cpu"] for t in seconds[way]], 2) for way in (ours, art)]
                    load = spread_of([t["load"] for t in seconds[ours]])
                    rows.append([*cells, load, str(len(pairs))])
    header = ["spectrum", "ours", "against", "times faster, cpu", "times faster, wall",
              "ours, cpu s", "ART, cpu s", "load", "turns"]  # fmt: skip
    return markdown(header, rows)


def exact_table(found: list[Any]) -> str:
    """The worst class of each reference."""
    rows = []
    for record in found:
        spectral, clusters = record["spectral_signatures"], record["activation_clustering"]
        for who in spectral[0]:
            gaps = [
                f"{max(one[who][key] for one in spectral):.1e}"
                for key in ("of_each_score", "of_the_mean_score")
            ]
            rows.append([record["spectrum"], f"spectral signatures: {who}", *gaps, ""])
        for who in ("ours", "ART"):
            cost = f"{max(one[who] for one in clusters):.5f}"
            rows.append([record["spectrum"], f"activation clustering: {who}", "", "", cost])
    header = ["spectrum", "what", "of each score", "of the mean score", "cost over the best"]
    return markdown(header, rows)


def stream_table(found: list[Any]) -> str:
    """The streamed scan."""
    rows = [
        [f"{r['examples']:,} x {r['features']}", f"{r['whole_mb']:,.0f}", f"{r['before_mb']:,.0f}",
         f"{r['peak_mb']:,.0f}", f"{r['fit_seconds']:.1f}", f"{r['score_seconds']:.1f}"]
        for r in found
    ]  # fmt: skip
    header = ["features", "as a whole, MB", "memory before, MB", "peak, MB", "fit, cpu s",
              "score, cpu s"]  # fmt: skip
    return markdown(header, rows)


def said(found: list[Any]) -> str:
    """What the ratios say, in sentences that are written from them."""
    sentences = []
    for name in found[0]["seconds"]:
        ours = min(way for way in found[0]["seconds"][name] if way.startswith("ours"))
        for art in (way for way in found[0]["seconds"][name] if way.startswith("ART")):
            parts = []
            for record in found:
                seconds = record["seconds"][name]
                pairs = zip(seconds[art], seconds[ours], strict=True)
                times = median(theirs["cpu"] / own["cpu"] for theirs, own in pairs)
                parts.append(f"{times:.1f} times on a {record['spectrum']} spectrum")
            sentences.append(f"- {name} ({ours}) against {art}: {' and '.join(parts)}.")
    return "\n".join(sentences) + "\n"


def table() -> None:
    """Write the tables from the records."""
    parts = {
        "Times faster than ART: median over turns, and their range.": speed_table(
            records(FOLDER, "speed-*")
        ),
        "Largest relative difference from a full decomposition in 64 bits, over all examples, and "
        "sum of squares within clusters over the best of twenty runs of scikit-learn's k-means, "
        "worst class.": exact_table(records(FOLDER, "exact-*")),
        "Spectral Signatures on a stream.": stream_table(records(FOLDER, "stream")),
        "Processor time, median over the turns, in words:": said(records(FOLDER, "speed-*")),
    }
    text = "\n".join(f"{title}\n\n{body}" for title, body in parts.items())
    (Path("results") / FOLDER / "table.md").write_text(text)
    print(text)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=["speed", "exact", "stream", "table"])
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--chunk", type=int, default=20_000)
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.what == "speed":
        speed(given.turns)
    elif given.what == "exact":
        exact()
    elif given.what == "stream":
        stream(given.count, given.chunk)
    else:
        table()


if __name__ == "__main__":
    main()
