"""A file with a model in it: looked at first, then opened as it is deployed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from torch import nn

from mithridate.artifacts.inspect import PROGRAMS, inspect_file
from mithridate.artifacts.opening import no_weights
from mithridate.core.data import Dataset
from mithridate.core.domain import Domain
from mithridate.core.errors import UnsafeData
from mithridate.core.streams import stream
from mithridate.domains.elsewhere import is_elsewhere, weights_in
from mithridate.pipelines import kept_network
from mithridate.pipelines.deployment import (
    Placed,
    as_deployed,
    place_as_onnx,
    place_onnx,
    small_weights,
)
from mithridate.pipelines.population import Encoding, Form


@dataclass(frozen=True, eq=False)
class Suspect:
    """A model as it is deployed, and what brings other networks there.

    Attributes:
        placed: The model.
        network: The name of its network.
        precision: The precision in which it is deployed.
        domain: How its inputs are fed.
        encoding: The mean and standard deviation that were given for them.
        place: Brings another network of this kind into the same precision.

    """

    placed: Placed
    network: str
    precision: str
    domain: Domain
    encoding: Encoding
    place: Callable[[nn.Module], Placed]

    @property
    def form(self) -> Form:
        """What references must have in common with it."""
        classes = self.placed.trusted.classes if self.placed.trusted is not None else ()
        return Form(self.network, self.precision, len(classes), self.encoding)


@dataclass(frozen=True, eq=False)
class SuspectFile(ABC):
    """A file with a model in it that was looked at and may be opened.

    Attributes:
        path: The file; in a folder with a checkpoint, the one with the weights.
        given: The name of the network that the user gave, "" for none.
        part: Which network of a checkpoint of several is taken, "" for the one that fits.
        encoding: The mean and standard deviation that were given for its inputs.
        findings: What the look at it showed, and what is doubtful about its classes.
        classes: Their names in the order of its outputs, () before `among` told them.

    """

    path: Path
    given: str
    part: str
    encoding: Encoding
    findings: tuple[str, ...]
    classes: tuple[str, ...] = ()

    @classmethod
    def looked_at(cls, path: Path, network: str, part: str, encoding: Encoding) -> SuspectFile:
        """Look at a file without opening it.

        Args:
            path: A file, or a folder with a checkpoint, whose configuration is then the network.
            network: The name that the user gave, "" for none.
            part: Which network of a checkpoint of several is taken, "" for the one that fits.
            encoding: The mean and standard deviation that the user gave for its inputs.

        Raises:
            UnsafeData: It could harm the reader.

        """
        given = network or (f"huggingface:{path}" if path.is_dir() else "")
        path = weights_in(path) if path.is_dir() else path
        kind = GraphFile if kept_network.is_onnx(path) else WeightsFile
        return kind(path, given, part, encoding, findings_of(path))

    @property
    @abstractmethod
    def onnx(self) -> bool:
        """Whether it is a graph and not weights."""

    @property
    @abstractmethod
    def note(self) -> kept_network.Note:
        """What the file says about its weights."""

    def among(self, classes: tuple[str, ...], doubt: str) -> SuspectFile:
        """Give the same file with its classes.

        Args:
            classes: Their names in the order of its outputs.
            doubt: What is to be said of that, "" for nothing.

        """
        findings = (*self.findings, doubt) if doubt else self.findings
        return replace(self, classes=classes, findings=findings)

    @property
    def network(self) -> str:
        """The name of the network, "" where nobody says it; see `Note.named` for what it raises."""
        return self.note.named(self.given)

    @property
    @abstractmethod
    def fed(self) -> bool:
        """Whether references must be fed as the model is, by its mean and standard deviation."""

    @abstractmethod
    def opened(
        self, precision: str, domain: Domain, fed: Domain, shown: Dataset, seed: int
    ) -> Suspect:
        """Open the file as it is deployed.

        Args:
            precision: Of weights; an ONNX file has its own.
            domain: Of the trusted examples.
            fed: The same with the mean and standard deviation of the model.
            shown: The trusted examples that calibrate and that scanners see.
            seed: Of what a network draws before it is given its weights.

        """


class WeightsFile(SuspectFile):
    """A file of weights, for which a network is built."""

    onnx, fed = False, True

    @cached_property
    def note(self) -> kept_network.Note:
        """What the file says about its weights."""
        return kept_network.noted(self.path)

    def opened(
        self, precision: str, domain: Domain, fed: Domain, shown: Dataset, seed: int
    ) -> Suspect:
        """Give a network the weights, and bring it into the precision."""
        rng = stream(seed, "weights")
        model = kept_network.load(self.path, fed, shown, self.given, rng, self.part)

        def place(network: nn.Module) -> Placed:
            return as_deployed(network, precision, fed, shown)

        return Suspect(place(model), self.network, precision, fed, self.encoding, place)


class GraphFile(SuspectFile):
    """An ONNX file, which is run as it is."""

    onnx = True
    note = kept_network.Note()

    @property
    def fed(self) -> bool:
        """Whether references must be fed as the model is: networks of this library need not."""
        return is_elsewhere(self.network)

    def opened(
        self, precision: str, domain: Domain, fed: Domain, shown: Dataset, seed: int
    ) -> Suspect:
        """Open the graph; references are exported and quantised like it."""
        placed, kind = place_onnx(self.path, domain, shown, *self.encoding)

        def exported(network: nn.Module) -> Placed:
            return place_as_onnx(network, kind, domain, shown)

        return Suspect(placed, self.network, f"ONNX, {kind}", fed, self.encoding, exported)


def findings_of(path: Path) -> tuple[str, ...]:
    """Look at a file without opening it, and give what is doubtful about it.

    Raises:
        UnsafeData: It could harm the reader.

    """
    report = inspect_file(path)
    if report.format in PROGRAMS:
        raise no_weights(report)
    dangers = [each for each in report.findings if each.severity == "danger"]
    if dangers:
        raise UnsafeData(
            f"{str(path)!r}: {dangers[0].what}; it is not opened (`mithridate scan file` says more)"
        )
    told = tuple(f.what for f in report.findings if f.severity in ("warning", "unknown"))
    if kept_network.is_onnx(path) and (form := small_weights(path)):
        told += (
            f"the file holds weights in {form}, and clean networks are exported with floats or "
            "eight bits: small differences between them are of the form and of no backdoor",
        )
    return told
