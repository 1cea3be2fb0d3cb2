"""The jobs of the library, each as one function: `from mithridate import scan_data`.

They take what the command line takes, a path or the name of a set, and give back values. All of
them are sentences made of the other pipelines, and nothing is computed here.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias, cast

from torch import nn

from mithridate.core.data import Dataset, of_classes
from mithridate.core.domain import Domain
from mithridate.core.errors import CannotJudge, MethodError
from mithridate.core.method import Detector, Repair, Trained, Trainer
from mithridate.core.registry import get
from mithridate.core.runtime import Runtime
from mithridate.core.scanner import Scanner
from mithridate.core.streams import stream
from mithridate.core.training_run import TrainingRun
from mithridate.domains.catalogue import open_source
from mithridate.domains.formats import Source
from mithridate.pipelines import damage, kept_network, training
from mithridate.pipelines.announcing import Announce
from mithridate.pipelines.deployment import Placed, as_deployed
from mithridate.pipelines.finding import DataScan
from mithridate.pipelines.guarded import Guarded
from mithridate.pipelines.model_scan import (
    Known,
    ModelScan,
    ModelScanner,
    default_scanners,
    not_scanned,
)
from mithridate.pipelines.plausibility import check_as_read
from mithridate.pipelines.population import Population
from mithridate.pipelines.references import GivenReferences, References, TrainedReferences
from mithridate.pipelines.repaired import MAX_LOSS, MeasuredRepair, RepairOutcome
from mithridate.pipelines.scan import DataScanner
from mithridate.pipelines.suspect_file import Suspect, SuspectFile

Examples: TypeAlias = str | Path | Source | Dataset
"""A path, the name of a set ("digits", "digits:test"), what `read` gave, or a data set."""

Network: TypeAlias = str | Path | nn.Module
"""A file of weights or a network."""

Beside: TypeAlias = int | str | Path | Sequence[nn.Module]
"""Clean networks: how many to train; a folder of weights or a kept population; or networks."""

SHOWN = 0.3
"""The share of the trusted examples that scanners of a model see, as on the command line."""


def examples_of(data: Examples, domain: Domain | None = None) -> tuple[Dataset, Domain]:
    """Give the examples, and the domain that says what their inputs are.

    Args:
        data: The examples in any form.
        domain: Theirs, where another is meant than the one that reading them gives.

    Raises:
        DataError: They cannot be read.
        MethodError: A data set is given and no domain.

    """
    if isinstance(data, Dataset):
        if domain is None:
            raise MethodError(
                "expected domain=... beside a Dataset, which does not say what its inputs are; "
                "give the domain of the source that it was read from"
            )
        return data, domain
    source = data if isinstance(data, Source) else open_source(str(data))
    return source.data, domain or source.domain


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
    *, domain: Domain | None = None, seed: int = 0, runtime: Runtime | None = None,
    step: Announce | None = None, **settings: Any,
) -> DataScan:  # fmt: skip
    """Scan labelled data for a backdoor, as `mithridate scan data` does.

    Args:
        data: The suspects.
        trusted: Examples that somebody has checked, drawn like the suspects; without them the
            answer is "cannot judge".
        domain: What the inputs are, needed beside a `Dataset`.
        seed: Of everything that is drawn at random.
        runtime: Where to compute.
        step: Is told what begins.
        **settings: Fields of `DataScanner`, such as level=0.01.

    Raises:
        DataError: The examples cannot be read, or have other classes than the suspects.

    """
    suspects, domain = examples_of(data, domain)
    known = None
    if trusted is not None:
        known = of_classes(examples_of(trusted, domain)[0], suspects.classes, "trusted")
    scanner = DataScanner(**settings)
    return scanner.scan(suspects, known, domain, seed, runtime=runtime, step=step)


def train(
    data: Examples, trainer: str | Trainer = "standard",
    *, network: str = "", domain: Domain | None = None, seed: int = 0,
    run: TrainingRun | None = None, **settings: Any,
) -> Trained:  # fmt: skip
    """Train a fresh network on labelled data by any trainer.

    Args:
        data: The examples.
        trainer: Its name, see `mithridate methods trainer`, or a trainer.
        network: The name of the network, "" is the default of the domain.
        domain: What the inputs are, needed beside a `Dataset`.
        seed: Of everything that is drawn at random.
        run: Where it is computed, who is told of every epoch, and where it is kept.
        **settings: Of a trainer that is named, such as training=TrainingConfig(epochs=5).

    """
    examples, domain = examples_of(data, domain)
    method = get(cast(Any, Trainer), trainer, **settings) if isinstance(trainer, str) else trainer
    return training.train(method, examples, domain, seed, network=network, run=run)


def repair(
    model: Network, trusted: Examples, method: str | Repair = "fine-tuning",
    *, suspects: Examples | None = None, max_loss: float = MAX_LOSS, network: str = "",
    domain: Domain | None = None, seed: int = 0, runtime: Runtime | None = None,
    step: Announce | None = None,
) -> RepairOutcome:  # fmt: skip
    """Repair a network and measure the damage, as `mithridate repair` does.

    Args:
        model: The network, which is left as it is; a copy comes back.
        trusted: Examples that somebody has checked.
        method: The name of a repair, see `mithridate methods repair`, or a repair.
        suspects: What the network may have been trained on.
        max_loss: The accuracy that the repair may cost, as a share; where it costs more, the
            network comes back as it was, and the outcome is marked as `undone`.
        network: The name of the network in a file, "" where the file says it.
        domain: What the inputs are, needed beside a `Dataset`.
        seed: Of everything that is drawn at random.
        runtime: Where to compute.
        step: Is told what begins.

    Raises:
        CannotJudge: The trusted examples show that the network is not read as it was trained.

    """
    checked, domain = examples_of(trusted, domain)
    mended, checked = _as_read(model, checked, domain, network, seed, runtime)
    others = None
    if suspects is not None:
        others = of_classes(examples_of(suspects, domain)[0], checked.classes, "suspect")
    chosen = get(cast(Any, Repair), method) if isinstance(method, str) else method
    measured = MeasuredRepair(chosen, max_loss=max_loss)
    return measured.repair(
        mended, checked, domain, seed, suspects=others, runtime=runtime, step=step
    )


def guard(
    model: Network, trusted: Examples, detectors: Sequence[str | Detector] = ("strip",),
    *, level: float = 0.05, network: str = "", domain: Domain | None = None, seed: int = 0,
    runtime: Runtime | None = None, step: Announce | None = None,
) -> Guarded:  # fmt: skip
    """Fit a guard for a network, as `mithridate guard` does; `decide(inputs)` then judges inputs.

    Args:
        model: The network.
        trusted: Examples that somebody has checked and that the network was not trained on.
        detectors: Names, see `mithridate methods detector`, or detectors.
        level: The share of clean inputs that may be refused by mistake.
        network: The name of the network in a file, "" where the file says it.
        domain: What the inputs are, needed beside a `Dataset`.
        seed: Of everything that is drawn at random.
        runtime: Where to compute.
        step: Is told what begins.

    Raises:
        CannotJudge: The trusted examples show that the network is not read as it was trained.

    """
    checked, domain = examples_of(trusted, domain)
    judged, checked = _as_read(model, checked, domain, network, seed, runtime)
    chosen = [get(cast(Any, Detector), d) if isinstance(d, str) else d for d in detectors]
    return Guarded.fitted(judged, checked, domain, chosen, level, seed, runtime=runtime, step=step)


def scan_model(
    model: Network, trusted: Examples, references: Beside = 19,
    *, precision: str = "fp32", network: str = "", domain: Domain | None = None,
    scanners: Sequence[Scanner] = (), level: float = 0.05, seed: int = 0,
    runtime: Runtime | None = None, step: Announce | None = None, home: Path | None = None,
) -> ModelScan:  # fmt: skip
    """Compare a network with clean ones of its form, as `mithridate scan model` does.

    Args:
        model: The network.
        trusted: Examples that somebody has checked.
        references: Clean networks of the same form.
        precision: Into which float weights are brought first; an ONNX file has its own.
        network: The name of the network, "" where the file says it; networks to be trained have it.
        domain: What the inputs are, needed beside a `Dataset`.
        scanners: None given takes those of an ordinary scan.
        level: The probability that a clean network like the references is flagged.
        seed: Of everything that is drawn at random.
        runtime: Where to compute.
        step: Is told what begins.
        home: The folder in which trained references are kept; None throws them away.

    Raises:
        UnsafeData: Opening the file could harm the reader.

    """
    scanner = ModelScanner(tuple(scanners) or default_scanners(), level)
    examples, domain = examples_of(trusted, domain)
    file = None if isinstance(model, nn.Module) else _looked_at(Path(model), network, examples)
    examples = of_classes(examples, file.classes, "trusted") if file else examples
    learnt, shown = damage.set_apart(examples, SHOWN, stream(seed, "scan", "apart"))
    population = _population(references)
    if population is not None:
        shown = population.seen((shown, examples), seed)
    suspect = _placed(file or cast(nn.Module, model), precision, network, domain, shown, seed)
    plausible = check_as_read(
        suspect.placed.model, examples, suspect.domain,
        precision=suspect.placed.precision, runtime=runtime, seed=seed,
    )  # fmt: skip
    if plausible.why:
        return not_scanned(plausible.why, level, examples.classes)
    if population is not None:
        known: Known = population.known(scanner.scanners, suspect.form)
        return scanner.scan(suspect.placed, known, seed, runtime=runtime, step=step)
    others = _networks(references, suspect, learnt, seed, runtime, step, home)
    return scanner.scan(suspect.placed, others, seed, runtime=runtime, step=step)


def _as_read(
    model: Network, trusted: Dataset, domain: Domain, network: str, seed: int,
    runtime: Runtime | None,
) -> tuple[nn.Module, Dataset]:  # fmt: skip
    """Open a network, and give the examples its classes; a file is asked whether it is read well.

    Raises:
        CannotJudge: It is not.

    """
    if isinstance(model, nn.Module):
        return model, trusted
    file = _looked_at(Path(model), network, trusted)
    examples = of_classes(trusted, file.classes, "trusted")
    rng = stream(seed, "weights")
    opened = kept_network.deployed(file.path, domain, examples, file.given, rng)
    plausible = check_as_read(opened, examples, domain, runtime=runtime, seed=seed)
    if plausible.why:
        raise CannotJudge(plausible.why)
    return opened, examples


def _looked_at(path: Path, network: str, examples: Dataset) -> SuspectFile:
    """Look at a file of weights, and settle the order of its classes."""
    file = SuspectFile.looked_at(path, network, "", ((), ()))
    return file.among(*kept_network.classes_of(file.note, file.given, examples.classes))


def _placed(
    model: SuspectFile | nn.Module, precision: str, network: str, domain: Domain, shown: Dataset,
    seed: int,
) -> Suspect:  # fmt: skip
    """Open a model as it is deployed."""
    if isinstance(model, SuspectFile):
        return model.opened(precision, domain, domain, shown, seed)

    def place(other: nn.Module) -> Placed:
        return as_deployed(other, precision, domain, shown)

    return Suspect(place(model), network, precision, domain, ((), ()), place)


def _population(references: Beside) -> Population | None:
    """Read what was kept of clean networks, where that is what a path or a name stands for."""
    kept = isinstance(references, str | Path) and not Path(references).is_dir()
    return Population.load(str(references)) if kept else None


def _networks(
    references: Beside, suspect: Suspect, learnt: Dataset, seed: int, runtime: Runtime | None,
    step: Announce | None, home: Path | None,
) -> Sequence[Placed]:  # fmt: skip
    """Take the clean networks that are given, or train some."""
    say = step or (lambda _: None)
    if isinstance(references, str | Path):

        def read(path: Path) -> nn.Module:
            rng = stream(seed, "weights")
            return kept_network.load(path, suspect.domain, learnt, suspect.network, rng)

        return GivenReferences(Path(references), read).beside(suspect.place, say)
    if not isinstance(references, int):
        return [suspect.place(network) for network in references]
    how, where = References(references, suspect.network), runtime or Runtime()
    with tempfile.TemporaryDirectory() as folder:
        trained = TrainedReferences(how, learnt, suspect.domain, seed, where, Path(folder))
        return replace(trained, home=home or trained.home).beside(suspect.place, say)
