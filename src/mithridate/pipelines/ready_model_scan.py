"""The work of a scan of a model, in its order: open, ask whether it is read well, compare.

Axes: n trusted examples, m reference networks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

from torch import nn

from mithridate.core.data import Dataset, of_classes
from mithridate.core.domain import Domain
from mithridate.core.errors import MethodError
from mithridate.core.runtime import Runtime
from mithridate.core.spelling import option
from mithridate.core.streams import stream
from mithridate.core.timing import Expected
from mithridate.pipelines import kept_network
from mithridate.pipelines.announcing import Announce
from mithridate.pipelines.damage import set_apart
from mithridate.pipelines.expected_time import expect_scans
from mithridate.pipelines.model_scan import (
    ModelScan,
    ModelScanner,
    asking_scanners,
    default_scanners,
    not_scanned,
    quick_scanners,
)
from mithridate.pipelines.network_reading import NetworkReading
from mithridate.pipelines.plausibility import Plausibility, check_as_read
from mithridate.pipelines.population import Population
from mithridate.pipelines.references import (
    CleanNetworks,
    GivenReferences,
    HeldReferences,
    KnownReferences,
    References,
    TrainedReferences,
)
from mithridate.pipelines.scan import choose_training
from mithridate.pipelines.suspect_file import Suspect, SuspectFile, deployed_suspect

Clean: TypeAlias = int | Path | Population | Sequence[nn.Module]
"""Clean networks: how many to train; a folder of weights; what is known of some; or networks."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """How a model is compared with clean networks of its form.

    Attributes:
        scanner: Which scanners, and at which level.
        clean: The clean networks.
        precision: Into which float weights are brought first; an ONNX file has its own.
        apart: The share of the trusted examples that scanners see where the rest trains references.
        epochs: How long each reference is trained; None chooses by the number of examples.
        seed: Of everything that is drawn at random.
        runtime: Where to compute.
        home: The folder in which trained references are kept.
        varied: Whether each reference is trained in a way of its own.

    """

    scanner: ModelScanner
    clean: Clean
    precision: str = "fp32"
    apart: float = 0.3
    epochs: int | None = None
    seed: int = 0
    runtime: Runtime = field(default_factory=Runtime)
    home: Path = Path()
    varied: bool = True

    def __post_init__(self) -> None:
        level, apart = self.scanner.level, self.apart
        if not 0 < level < 1 or not 0 < apart < 1:
            raise MethodError(
                f"expected {option('level')} and {option('apart')} between 0 and 1, found {level} "
                f"and {apart}"
            )
        if isinstance(self.clean, int) and self.clean < 2:
            raise MethodError(f"expected at least 2 {option('references')}, found {self.clean}")

    def looked_at(self, path: Path, how: NetworkReading) -> SuspectFile:
        """Look at the file of the model.

        Args:
            path: A file, or a folder with a checkpoint.
            how: What the user says of it.

        Raises:
            MethodError: Nobody says which network it holds.

        """
        file = SuspectFile.looked_at(path, how)
        if file.onnx and not isinstance(self.clean, Path) and not how.network:
            raise MethodError(
                "an ONNX file does not say which network it holds, and clean references must be of "
                f"the same form: name it with {option('network')}, or give a folder of clean "
                f"networks as {option('clean_models')}"
            )
        return file

    def opened(
        self, model: Path | nn.Module, how: NetworkReading, trusted: Dataset, domain: Domain
    ) -> ReadyModelScan:
        """Look at the model, give the trusted examples its classes, and open it.

        Args:
            model: The network, or its file or folder.
            how: What is said of the network.
            trusted: The n trusted examples, in any order of classes.
            domain: Of the examples.

        """
        if isinstance(model, nn.Module):
            classes, _ = how.ordered(kept_network.Note(), trusted.classes)
            return self.ready(model, how, of_classes(trusted, classes, "trusted"), domain)
        file = self.looked_at(model, how).among(trusted.classes)
        return self.ready(file, file.how, of_classes(trusted, file.classes, "trusted"), domain)

    def ready(
        self, model: SuspectFile | nn.Module, how: NetworkReading, trusted: Dataset, domain: Domain
    ) -> ReadyModelScan:
        """Open the model.

        Args:
            model: The file that was looked at, with its classes settled; or the network.
            how: What is said of the network.
            trusted: The n trusted examples, with the classes of the model in its order.
            domain: Of the examples.

        """
        shown, learnt = self._divided(trusted)
        if isinstance(model, SuspectFile):
            suspect = model.opened(self.precision, domain, shown, self.seed)
        else:
            suspect = deployed_suspect(model, how.network, self.precision, domain, shown)
        asked = self if suspect.trainer is None else self._asking()
        return ReadyModelScan(asked, suspect, how, trusted, shown, learnt)

    def _asking(self) -> Comparison:
        """Leave the scanners of an ordinary scan, which need derivatives, to who has some."""
        usual = self.scanner.scanners in (default_scanners(), quick_scanners())
        scanner = replace(self.scanner, scanners=asking_scanners()) if usual else self.scanner
        return replace(self, scanner=scanner)

    def _divided(self, trusted: Dataset) -> tuple[Dataset, Dataset | None]:
        """The examples that scanners see, and those that train references where any are trained."""
        if isinstance(self.clean, Path | Sequence):
            return trusted, None
        learnt, shown = set_apart(trusted, self.apart, stream(self.seed, "scan", "apart"))
        if isinstance(self.clean, Population):
            return self.clean.seen((shown, trusted), self.seed), None
        return shown, learnt


@dataclass(frozen=True, eq=False)
class ReadyModelScan:
    """A scan of a model that is ready to begin.

    Attributes:
        how: How the model is compared.
        suspect: The model.
        reading: What is said of its network, for others like it.
        trusted: All trusted examples.
        shown: Those that scanners see.
        learnt: Those that train references, None where none are trained.

    """

    how: Comparison
    suspect: Suspect
    reading: NetworkReading
    trusted: Dataset
    shown: Dataset
    learnt: Dataset | None

    @cached_property
    def plausible(self) -> Plausibility:
        """Whether the trusted examples say that the model is read as it was trained."""
        placed, how = self.suspect.placed, self.how
        return check_as_read(
            placed.model, self.trusted, self.suspect.domain, precision=placed.precision,
            runtime=how.runtime, seed=how.seed,
        )  # fmt: skip

    @cached_property
    def beside(self) -> CleanNetworks:
        """The clean networks that the model is compared with."""
        clean, suspect = self.how.clean, self.suspect
        if isinstance(clean, Population):
            return KnownReferences(clean, clean.known(self.how.scanner.scanners, suspect.form))
        if isinstance(clean, Path):
            return GivenReferences(clean, self._read)
        return self._trained(clean) if isinstance(clean, int) else HeldReferences(tuple(clean))

    def _read(self, path: Path) -> nn.Module:
        """Read a clean network like the model."""
        rng, how = stream(self.how.seed, "weights"), self.reading
        domain, shown = self.suspect.domain, self.shown
        return kept_network.load(path, domain, shown, how.network, rng, how.part, how.columns)

    def _trained(self, count: int) -> TrainedReferences:
        """References that are trained on trusted examples, and kept."""
        learnt, how, suspect = self.learnt, self.how, self.suspect
        assert learnt is not None, "examples are set apart where references are trained"
        config = choose_training(len(learnt))
        if how.epochs is not None:
            config = replace(config, epochs=how.epochs)
        made = References(count, suspect.network, config, how.varied, suspect.trainer)
        return TrainedReferences(made, learnt, suspect.domain, how.seed, how.runtime, how.home)

    def expected(self) -> Expected:
        """Measure how long each kind of work takes, scans by those of a fresh network."""
        how, suspect, beside = self.how, self.suspect, self.beside
        making = beside.expected()  # first, so that memory and kernels are prepared for the scans
        rng = stream(how.seed, "estimate")
        fresh = suspect.domain.network(self.shown, suspect.network, rng).eval()
        placed = suspect.place(fresh if suspect.trainer is None else suspect.placed.model)
        networks = 1 + beside.unscanned
        return {
            **making,
            **expect_scans(how.scanner.scanners, placed, networks, how.seed, how.runtime),
        }

    def scanned(self, step: Announce | None = None) -> ModelScan:
        """Scan the model; it "cannot be judged" where it is not read as it was trained.

        Args:
            step: Is told what begins.

        """
        how = self.how
        if self.plausible.why:
            return not_scanned(self.plausible.why, how.scanner.level, self.trusted.classes)
        others = self.beside.beside(self.suspect.place, step or (lambda _: None))
        placed = self.suspect.placed
        known = self.beside
        vitals = known.population.vitals if isinstance(known, KnownReferences) else ()
        return how.scanner.scan(
            placed, others, how.seed, runtime=how.runtime, step=step, vitals=vitals
        )
