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
from mithridate.core.method import Trainer
from mithridate.core.streams import stream
from mithridate.domains.elsewhere import is_elsewhere, weights_in
from mithridate.domains.registry import in_columns
from mithridate.pipelines import kept_network
from mithridate.pipelines.deployment import (
    Placed,
    as_deployed,
    place_as_onnx,
    place_onnx,
    small_weights,
)
from mithridate.pipelines.network_reading import NetworkReading
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
        trainer: Who alone makes models of this kind, None where any trainer does.

    """

    placed: Placed
    network: str
    precision: str
    domain: Domain
    encoding: Encoding
    place: Callable[[nn.Module], Placed]
    trainer: Trainer | None = None

    @property
    def form(self) -> Form:
        """What references must have in common with it."""
        classes = self.placed.trusted.classes if self.placed.trusted is not None else ()
        named = self.network if self.trainer is None else repr(self.trainer)
        return Form(named, self.precision, len(classes), self.encoding)


@dataclass(frozen=True, eq=False)
class SuspectFile(ABC):
    """A file with a model in it that was looked at and may be opened.

    Attributes:
        path: The file; in a folder with a checkpoint, the one with the weights.
        how: What the user says of it; the network of a folder is the one that it describes.
        findings: What the look at it showed.
        classes: Their names in the order of its outputs, () before `among` told them.
        doubt: What is to be said of that order, "" for nothing.

    """

    path: Path
    how: NetworkReading
    findings: tuple[str, ...]
    classes: tuple[str, ...] = ()
    doubt: str = ""

    @classmethod
    def looked_at(cls, path: Path, how: NetworkReading) -> SuspectFile:
        """Look at a file without opening it.

        Args:
            path: A file, or a folder with a checkpoint, whose configuration is then the network.
            how: What the user says of it.

        Raises:
            UnsafeData: It could harm the reader.

        """
        if path.is_dir():
            how = how if how.network else replace(how, network=f"huggingface:{path}")
            path = weights_in(path)
        kind = GraphFile if kept_network.is_onnx(path) else WeightsFile
        return kind(path, how, findings_of(path))

    @property
    @abstractmethod
    def onnx(self) -> bool:
        """Whether it is a graph and not weights."""

    @property
    @abstractmethod
    def note(self) -> kept_network.Note:
        """What the file says about its weights."""

    @property
    def doubts(self) -> tuple[str, ...]:
        """What is doubtful about the file, its classes among it."""
        return (*self.findings, self.doubt) if self.doubt else self.findings

    def among(self, there: tuple[str, ...]) -> SuspectFile:
        """Settle the order of its classes.

        Args:
            there: The classes of the data.

        """
        classes, doubt = self.how.ordered(self.note, there)
        return replace(self, classes=classes, doubt=doubt)

    @property
    def network(self) -> str:
        """The name of the network, "" where nobody says it; see `Note.named` for what it raises."""
        return self.note.named(self.how.network)

    def answering(self, domain: Domain, data: Dataset, seed: int) -> tuple[nn.Module, Domain]:
        """Give the network itself, and the domain with the encoding of its inputs.

        Args:
            domain: Of the data.
            data: Examples with the classes of the network.
            seed: Of what a network draws before it is given its weights.

        """
        known = in_columns(domain, self.note.columns)
        fed, how = self.how.fed(known, self.network, graph=self.onnx), self.how
        rng = stream(seed, "weights")
        opened = kept_network.deployed(
            self.path, fed, data, how.network, rng, how.part, how.columns
        )
        return opened, fed

    @abstractmethod
    def opened(self, precision: str, domain: Domain, shown: Dataset, seed: int) -> Suspect:
        """Open the file as it is deployed, and feed references as it is fed.

        Args:
            precision: Of weights; an ONNX file has its own.
            domain: Of the trusted examples.
            shown: The trusted examples that calibrate and that scanners see.
            seed: Of what a network draws before it is given its weights.

        """


class WeightsFile(SuspectFile):
    """A file of weights, for which a network is built."""

    onnx = False

    @cached_property
    def note(self) -> kept_network.Note:
        """What the file says about its weights."""
        return kept_network.noted(self.path)

    def opened(self, precision: str, domain: Domain, shown: Dataset, seed: int) -> Suspect:
        """Give a network the weights, and bring it into the precision."""
        model, fed = self.answering(domain, shown, seed)
        suspect = deployed_suspect(model, self.network, precision, fed, shown, self.how.encoding)
        trainer = self.note.trained_by
        return replace(suspect, trainer=trainer) if trainer and trainer.only else suspect


class GraphFile(SuspectFile):
    """An ONNX file, which is run as it is."""

    onnx = True
    note = kept_network.Note()

    def opened(self, precision: str, domain: Domain, shown: Dataset, seed: int) -> Suspect:
        """Open the graph; references are exported and quantised like it.

        Those from elsewhere are fed like it, too; networks of this library need not be.
        """
        fed = self.how.fed(domain, self.network) if is_elsewhere(self.network) else domain
        placed, kind = place_onnx(self.path, domain, shown, *self.how.encoding)

        def exported(network: nn.Module) -> Placed:
            return place_as_onnx(network, kind, domain, shown)

        return Suspect(placed, self.network, f"ONNX, {kind}", fed, self.how.encoding, exported)


def deployed_suspect(
    model: nn.Module, network: str, precision: str, domain: Domain, shown: Dataset,
    encoding: Encoding = ((), ()),
) -> Suspect:  # fmt: skip
    """Bring a network into a precision, and let others be brought there like it.

    Args:
        model: The network.
        network: Its name.
        precision: See `artifacts.precision`.
        domain: How its inputs are fed.
        shown: The trusted examples that calibrate and that scanners see.
        encoding: The mean and standard deviation that were given for its inputs.

    """

    def place(other: nn.Module) -> Placed:
        return as_deployed(other, precision, domain, shown)

    return Suspect(place(model), network, precision, domain, encoding, place)


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
