"""The jobs of the library, each as one function: `from mithridate import scan_data`.

They take what the command line takes, by the names of its flags, and give back values. Each makes
the same value as the command does (`ReadyScan`, `ReadyTraining`, ...), which holds the order of the
work, and nothing is computed here.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias, cast

from torch import nn

from mithridate.core.data import Dataset
from mithridate.core.domain import Domain
from mithridate.core.errors import DataError, MethodError
from mithridate.core.method import Detector, Repair, Trainer
from mithridate.core.registry import get
from mithridate.core.runtime import Runtime
from mithridate.core.scanner import Scanner
from mithridate.core.spelling import option
from mithridate.core.streams import stream
from mithridate.core.training_run import Progress
from mithridate.pipelines import damage
from mithridate.pipelines.announcing import Announce
from mithridate.pipelines.examples import Examples, beside, examples_of, opened
from mithridate.pipelines.finding import DataScan
from mithridate.pipelines.given_network import GivenNetwork
from mithridate.pipelines.guarded import Guarded
from mithridate.pipelines.mirroring import flipped
from mithridate.pipelines.model_scan import (
    ModelScan,
    ModelScanner,
    default_scanners,
    quick_scanners,
)
from mithridate.pipelines.network_reading import NetworkReading
from mithridate.pipelines.population import Population
from mithridate.pipelines.ready_guard import ReadyGuard
from mithridate.pipelines.ready_model_scan import Clean, Comparison
from mithridate.pipelines.ready_repair import ReadyRepair, check_repairable
from mithridate.pipelines.ready_scan import ReadyScan
from mithridate.pipelines.ready_training import ReadyTraining, TrainingOutcome
from mithridate.pipelines.repaired import MAX_LOSS, RepairOutcome
from mithridate.pipelines.scan import DataScanner, Saw

Network: TypeAlias = str | Path | nn.Module
"""A file of weights, a folder with a checkpoint, or a network."""

Beside: TypeAlias = int | str | Path | Sequence[nn.Module]
"""Clean networks: how many to train; a folder of weights or a kept population; or networks."""


def split(data: Dataset, apart: float, seed: int = 0) -> tuple[Dataset, Dataset]:
    """Divide examples at random, class by class: most of them, and a share that is set apart.

    Args:
        data: The examples.
        apart: The share, between 0 and 1, of the second part.
        seed: Of the draw.

    """
    return damage.set_apart(data, apart, stream(seed, "split"))


def scan_data(
    data: Examples, trusted: Examples | None = None,
    *, limit: int | None = None, trusted_count: int | None = None, quick: bool = False,
    model: Network | None = None, model_saw: Saw = "suspect", epochs: int | None = None,
    flip: bool | None = None, domain: Domain | None = None, seed: int = 0,
    runtime: Runtime | None = None, step: Announce | None = None, home: Path | None = None,
    **settings: Any,
) -> DataScan:  # fmt: skip
    """Scan labelled data for a backdoor, as `mithridate scan data` does.

    Args:
        data: The suspects.
        trusted: Examples that somebody has checked, drawn like the suspects; without them the
            answer is "cannot judge".
        limit: How many suspects are scanned, drawn at random; None for all.
        trusted_count: How many trusted examples are used, drawn at random; None for all.
        quick: Whether to look at simple features only, without a network.
        model: A trained network or its weights, instead of training one.
        model_saw: What that network was trained on.
        epochs: Of the training; None chooses by the number of examples.
        flip: Whether training may mirror images; None leaves it as the domain has it.
        domain: What the inputs are, needed beside a `Dataset`.
        seed: Of everything that is drawn at random.
        runtime: Where to compute.
        step: Is told what begins.
        home: The folder in which an unfinished training is kept; None keeps none.
        **settings: Fields of `DataScanner`, such as level=0.01.

    Raises:
        DataError: The examples cannot be read, are too few, or have other classes than the
            suspects.
        MethodError: A quick scan is asked for, and a network given.
    """
    if quick and model is not None:
        raise MethodError(f"{option('quick', True)} asks no network; leave {option('model')} out")
    if trusted is None and trusted_count is not None:
        raise DataError(
            f"{option('trusted_count')} draws from {option('trusted')}, which is absent"
        )
    there = opened(data, limit, seed)
    suspects, domain = examples_of(there, domain)
    known = None
    if trusted is not None:
        known = beside(there, opened(trusted, trusted_count, seed, "trusted"), "trusted")
    job = ReadyScan.of(
        DataScanner(**settings), suspects, known,
        flipped(domain, flip), model=None if model is None else _file(model), saw=model_saw,
        epochs=epochs, seed=seed, runtime=runtime, home=home,
    )  # fmt: skip
    if not quick:
        return job.scanned(step)
    seen = job.looked(step)
    return job.powered(job.quick(seen), seen, step, quick=True)


def train(
    data: Examples, trainer: str | Trainer = "standard", trusted: Examples | None = None,
    *, limit: int | None = None, then: str = "none", apart: float = 0.3,
    epochs: int | None = None, flip: bool | None = None, network: str = "",
    domain: Domain | None = None, seed: int = 0, runtime: Runtime | None = None,
    step: Announce | None = None, progress: Progress | None = None, home: Path | None = None,
    **settings: Any,
) -> TrainingOutcome:  # fmt: skip
    """Train a fresh network on data that cannot be trusted, as `mithridate train` does.

    Args:
        data: The examples.
        trainer: Its name, see `mithridate methods trainer`, or a trainer, which is kept as it is.
        trusted: Examples that somebody has checked; they measure the network.
        limit: How many examples are trained on, drawn at random; None for all.
        then: What is done with examples that a scan flags: "drop", "relabel" or "unlearn".
        apart: The share of the trusted examples that such a scan may not use.
        epochs: Of the training; None chooses by the number of examples for a trainer that is named
            and not given a `training`.
        flip: Whether training may mirror images; None leaves it as the domain has it.
        network: The name of the network, "" is the default of the domain.
        domain: What the inputs are, needed beside a `Dataset`.
        seed: Of everything that is drawn at random.
        runtime: Where to compute.
        step: Is told what begins.
        progress: Is told of every epoch.
        home: The folder in which an unfinished training is kept; None keeps none.
        **settings: Of a trainer that is named, such as training=TrainingConfig(epochs=5).

    Raises:
        MethodError: What is to follow a scan needs trusted examples, or another trainer.
    """
    there = opened(data, limit, seed)
    suspects, domain = examples_of(there, domain)
    known = None if trusted is None else beside(there, opened(trusted), "trusted")
    method = get(cast(Any, Trainer), trainer, **settings) if isinstance(trainer, str) else trainer
    whole = not isinstance(trainer, str) or "training" in settings
    said = {"training.batch_size"} if whole else set()
    if whole and epochs is None:
        said.add("training.epochs")
    job = ReadyTraining.of(
        method, suspects, known, flipped(domain, flip),
        network=network, then=then, apart=apart, epochs=epochs, said=said, seed=seed,
        runtime=runtime, home=home,
    )  # fmt: skip
    return job.made(step, progress)


def repair(
    model: Network, trusted: Examples, method: str | Repair = "auto",
    *, data: Examples | None = None, model_saw: Saw = "suspect", apart: float = 0.3,
    max_loss: float = MAX_LOSS, network: str = "", part: str = "", classes: Sequence[str] = (),
    mean: Sequence[float] = (), std: Sequence[float] = (), tree_columns: Sequence[str] = (),
    flip: bool | None = None, domain: Domain | None = None, seed: int = 0,
    runtime: Runtime | None = None, step: Announce | None = None, **settings: Any,
) -> RepairOutcome:  # fmt: skip
    """Repair a network and measure the damage, as `mithridate repair` does.

    Args:
        model: The network, which is left as it is; a copy comes back.
        trusted: Examples that somebody has checked.
        method: The name of a repair, see `mithridate methods repair`, or a repair.
        data: What the network may have been trained on.
        model_saw: Which of both it was trained on.
        apart: The share of the trusted examples that the repair never sees.
        max_loss: The accuracy that the repair may cost, as a share; where it costs more, the
            network comes back as it was, and the outcome is marked as `undone`.
        network: The name of the network in a file, "" where the file says it.
        part: Which network of a checkpoint of several is taken.
        classes: In the order of the network's outputs, where neither the file nor the data say it.
        mean: Of its inputs, where it is from elsewhere and takes (x / 255 - mean) / std.
        std: See `mean`.
        tree_columns: The columns that boosted trees read, where their file does not name them.
        flip: Whether training may mirror images; None leaves it as the domain has it.
        domain: What the inputs are, needed beside a `Dataset`.
        seed: Of everything that is drawn at random.
        runtime: Where to compute.
        step: Is told what begins.
        **settings: Of a repair that is named, such as epochs=3.

    Raises:
        CannotJudge: The trusted examples show that the network is not read as it was trained.
    """
    if isinstance(model, str | Path):
        check_repairable(Path(model))
    how = NetworkReading(
        network, part, tuple(classes), tuple(mean), tuple(std), tuple(tree_columns)
    )
    there, runtime = opened(trusted), runtime or Runtime()
    examples, domain = examples_of(there, domain)
    given = _given(model, how, examples, flipped(domain, flip), seed, runtime)
    classes_there = given.trusted.classes
    others = None if data is None else beside(there, opened(data), "suspect", classes_there)
    chosen = get(cast(Any, Repair), method, **settings) if isinstance(method, str) else method
    job = ReadyRepair(chosen, apart, max_loss, given, others, model_saw, seed, runtime)
    return job.repaired(step)


def guard(
    model: Network, trusted: Examples, detectors: Sequence[str | Detector] = ("strip",),
    *, level: float = 0.05, calibrate: float = 0.5, network: str = "", part: str = "",
    classes: Sequence[str] = (), mean: Sequence[float] = (), std: Sequence[float] = (),
    tree_columns: Sequence[str] = (), domain: Domain | None = None, seed: int = 0,
    runtime: Runtime | None = None, step: Announce | None = None,
) -> Guarded:  # fmt: skip
    """Fit a guard for a network, as `mithridate guard` does; `decide(inputs)` then judges inputs.

    Args:
        model: The network.
        trusted: Examples that somebody has checked and that the network was not trained on.
        detectors: Names, see `mithridate methods detector`, or detectors.
        level: The share of clean inputs that may be refused by mistake.
        calibrate: The share of the trusted examples that calibrate; detectors are fitted to others.
        network: The name of the network in a file, "" where the file says it.
        part: Which network of a checkpoint of several is taken.
        classes: In the order of the network's outputs, where neither the file nor the data say it.
        mean: Of its inputs, where it is from elsewhere and takes (x / 255 - mean) / std.
        std: See `mean`.
        tree_columns: The columns that boosted trees read, where their file does not name them.
        domain: What the inputs are, needed beside a `Dataset`.
        seed: Of everything that is drawn at random.
        runtime: Where to compute.
        step: Is told what begins.

    Raises:
        CannotJudge: The trusted examples show that the network is not read as it was trained.
    """
    how = NetworkReading(
        network, part, tuple(classes), tuple(mean), tuple(std), tuple(tree_columns)
    )
    runtime = runtime or Runtime()
    given = _given(model, how, opened(trusted), domain, seed, runtime)
    chosen = tuple(get(cast(Any, Detector), d) if isinstance(d, str) else d for d in detectors)
    return ReadyGuard(given, chosen, level, calibrate, seed, runtime).fitted(step)


def scan_model(
    model: Network, trusted: Examples, references: Beside = 19,
    *, count: int | None = None, precision: str = "fp32", scanners: Sequence[str | Scanner] = (),
    level: float = 0.05, apart: float = 0.3, epochs: int | None = None, network: str = "",
    part: str = "", classes: Sequence[str] = (), mean: Sequence[float] = (),
    std: Sequence[float] = (), tree_columns: Sequence[str] = (), domain: Domain | None = None,
    seed: int = 0, runtime: Runtime | None = None, step: Announce | None = None,
    home: Path | None = None, varied: bool = True, quick: bool = False,
) -> ModelScan:  # fmt: skip
    """Compare a network with clean ones of its form, as `mithridate scan model` does.

    Args:
        model: The network.
        trusted: Examples that somebody has checked.
        references: Clean networks of the same form.
        count: How many trusted examples are used, drawn at random; None for all.
        precision: Into which float weights are brought first; an ONNX file has its own.
        scanners: Names, see `mithridate methods scanner`, or scanners; () for the ordinary ones.
        level: The probability that a clean network like the references is flagged.
        apart: The share of the trusted examples that scanners see where the rest trains references.
        epochs: Of the training of a reference; None chooses by the number of examples.
        network: The name of the network, "" where the file says it; networks to be trained have it.
        part: Which network of a checkpoint of several is taken.
        classes: In the order of the network's outputs, where neither the file nor the data say it.
        mean: Of its inputs, where it is from elsewhere and takes (x / 255 - mean) / std.
        std: See `mean`.
        tree_columns: The columns that boosted trees read, where their file does not name them.
        domain: What the inputs are, needed beside a `Dataset`.
        seed: Of everything that is drawn at random.
        runtime: Where to compute.
        step: Is told what begins.
        home: The folder in which trained references are kept; None throws them away.
        varied: Whether each reference is trained in a way of its own, for a network from elsewhere.
        quick: Whether the scanner is left out that takes longest; see `model_scan.QUICK`.

    Raises:
        UnsafeData: Opening the file could harm the reader.
    """
    reading = NetworkReading(
        network, part, tuple(classes), tuple(mean), tuple(std), tuple(tree_columns)
    )
    chosen = tuple(get(cast(Any, Scanner), s) if isinstance(s, str) else s for s in scanners)
    usual = quick_scanners if quick else default_scanners
    scanner = ModelScanner(chosen or usual(), level)
    some, domain = examples_of(opened(trusted, count, seed, "trusted"), domain)
    with tempfile.TemporaryDirectory() as folder:
        how = Comparison(
            scanner, _clean(references), precision, apart, epochs, seed, runtime or Runtime(),
            home or Path(folder), varied,
        )  # fmt: skip
        return how.opened(_file(model), reading, some, domain).scanned(step)


def _file(model: Network) -> Path | nn.Module:
    """Give the path of a file, or the network."""
    return Path(model) if isinstance(model, str) else model


def _given(
    model: Network, how: NetworkReading, trusted: Examples, domain: Domain | None, seed: int,
    runtime: Runtime,
) -> GivenNetwork:  # fmt: skip
    """Open a network.

    Raises:
        CannotJudge: It is not read as it was trained.
    """
    examples, domain = examples_of(trusted, domain)
    given = GivenNetwork.of(_file(model), how, examples, domain, seed)
    given.plausible(runtime, seed).believed()
    return given


def _clean(references: Beside) -> Clean:
    """Read what was kept of clean networks, where that is what a path or a name stands for."""
    if not isinstance(references, str | Path):
        return references
    return Path(references) if Path(references).is_dir() else Population.load(str(references))
