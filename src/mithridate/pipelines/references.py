"""Clean networks beside which a model is judged: trained here, or read from a folder.

Axes: m reference networks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Protocol

from torch import nn

from mithridate.core.data import Dataset
from mithridate.core.domain import Domain
from mithridate.core.errors import DataError
from mithridate.core.fingerprint import fingerprint, place_of
from mithridate.core.fit import TrainingConfig
from mithridate.core.inference import correct
from mithridate.core.method import Trainer
from mithridate.core.runtime import Runtime
from mithridate.core.streams import stream
from mithridate.core.timing import Expected, extrapolate
from mithridate.core.training_run import TrainingRun
from mithridate.pipelines import kept_network
from mithridate.pipelines.announcing import Announce
from mithridate.pipelines.deployment import Placed
from mithridate.pipelines.model_scan import Known
from mithridate.pipelines.population import Population
from mithridate.pipelines.scan import choose_training
from mithridate.pipelines.training import train
from mithridate.pipelines.ways import Way
from mithridate.trainers.standard import Standard

WEIGHTS = (
    ".safetensors", ".pt", ".pth", ".th", ".tar", ".ckpt", ".bin", ".npz", ".h5", ".hdf5",
    ".txt", ".ubj", ".zip",
)  # fmt: skip
"""How files of weights are named, those of torch in all its spellings (model.pth.tar)."""


DRAWN = 0.8
"""The share of the examples that a model learns which comes out alike from the same ones."""

TURNS = 3
"""Ways that are drawn for a network until it learns; after them it is trained as usual."""


@dataclass(frozen=True)
class References:
    """How clean reference networks are made: from trusted examples, one seed each.

    Attributes:
        count: of networks.
        network: its name in the domain, "" is the default.
        training: None chooses by the number of examples.
        varied: Whether each is trained in a way of its own, drawn around `training`.
        trainer: Who alone makes models of this kind, on four fifths of the examples, which are
            drawn anew for each: on the same ones it would make the same model. None for descent.
    """

    count: int = 19
    network: str = ""
    training: TrainingConfig | None = field(default=None)
    varied: bool = True
    trainer: Trainer | None = None

    def trained(
        self,
        number: int,
        trusted: Dataset,
        domain: Domain,
        seed: int = 0,
        *,
        runtime: Runtime | None = None,
    ) -> nn.Module:
        """Train one of the networks on the trusted examples; each number begins elsewhere.

        A way in which it learnt nothing is no way that anybody keeps: another one is drawn.
        """
        usual = self.training or choose_training(len(trusted))
        place = int(stream(seed, "references", number).integers(2**31))
        run = TrainingRun(runtime or Runtime())
        if self.trainer is not None:
            order = stream(place, "references", "rows").permutation(len(trusted))
            some = trusted.subset(order[: max(2, round(DRAWN * len(trusted)))])
            return train(self.trainer, some, domain, place, network=self.network, run=run).model
        for turn in range(TURNS if self.varied else 0):
            way = Way.drawn(usual, stream(place, "way", turn))
            model = domain.network(trusted, self.network, stream(place, "way", turn, "init"))
            way.train(model, trusted, domain, stream(place, "way", turn, "fit"), run)
            if learnt(model, trusted, domain, run.runtime):
                return model
        done = train(Standard(usual), trusted, domain, place, network=self.network, run=run)
        return done.model.eval()


def learnt(model: nn.Module, trusted: Dataset, domain: Domain, runtime: Runtime) -> bool:
    """Whether a network is right on half of what guessing the largest class misses.

    Args:
        model: The network.
        trusted: What it learnt.
        domain: Of the examples.
        runtime: Where to compute.

    """
    share = float(correct(model, trusted, domain, runtime).double().mean())
    guess = float(trusted.labels.bincount().max()) / len(trusted)
    return share >= (1 + guess) / 2


Place = Callable[[nn.Module], Placed]


class CleanNetworks(Protocol):
    """Clean networks that can be made, that are there, or of which enough is known."""

    @property
    def count(self) -> int:
        """The number of networks, m."""

    @property
    def origin(self) -> str:
        """Say where they come from."""

    @property
    def unscanned(self) -> int:
        """How many of them have to be scanned: all, where no scores are known."""
        return self.count

    def expected(self) -> Expected:
        """Estimate how long it takes to make all of them: no time, where they are there."""
        return {}

    def beside(self, place: Place, step: Announce) -> Sequence[Placed] | Known:
        """Give what a model is compared with.

        Args:
            place: Brings a network into the precision of the model.
            step: Is told what begins.

        """


@dataclass(frozen=True, eq=False)
class TrainedReferences:
    """Clean networks that are trained here and kept, so that nothing is trained twice.

    Attributes:
        how: How they are made.
        learnt: The trusted examples that they learn.
        domain: Of these examples.
        seed: Of everything that is drawn at random.
        runtime: Where they are trained.
        home: The folder in which a folder of theirs is made.

    """

    how: References
    learnt: Dataset
    domain: Domain
    seed: int
    runtime: Runtime
    home: Path

    @property
    def count(self) -> int:
        """The number of networks, m."""
        return self.how.count

    @property
    def origin(self) -> str:
        """Say how they were made."""
        ways = ", each in a way of its own" if self.how.varied else ""
        learnt = f"{len(self.learnt)} trusted examples"
        return f"{self.count} networks trained here on {learnt}{ways}"

    @property
    def unscanned(self) -> int:
        """All of them have to be scanned."""
        return self.count

    @cached_property
    def training(self) -> TrainingConfig:
        """How each of them is trained."""
        return self.how.training or choose_training(len(self.learnt))

    @cached_property
    def folder(self) -> Path:
        """Where they are kept; others have another folder."""
        network = self.how.network
        key = place_of(
            fingerprint(self.learnt), self.domain, self.training, network, self.seed,
            self.how.varied,
        )  # fmt: skip
        key = key if self.how.trainer is None else place_of(key, self.how.trainer)
        return self.home / f"references-{key}"

    def expected(self) -> Expected:
        """Estimate how long it takes to train those that are missing, by epochs of few examples."""
        missing = sum(not self.path(number).exists() for number in range(self.count))
        if not missing:
            return {}
        if self.how.trainer is not None:
            began = time.perf_counter()
            self.how.trained(0, self.learnt, self.domain, self.seed, runtime=self.runtime)
            return {"training clean reference": (missing, time.perf_counter() - began)}
        once = replace(self.how, training=replace(self.training, epochs=1), varied=False)

        def on_few(count: int) -> None:
            few = self.learnt.subset(range(count))
            once.trained(0, few, self.domain, self.seed, runtime=self.runtime)

        epoch = extrapolate(on_few, 2 * self.training.batch_size, len(self.learnt))
        return {"training clean reference": (missing, epoch * self.training.epochs)}

    def path(self, number: int) -> Path:
        """Where one of them is kept."""
        return self.folder / f"reference-{number}.safetensors"

    def beside(self, place: Place, step: Announce) -> Sequence[Placed]:
        """Train all of them, or read those that are trained already."""
        return [place(model) for model in self.networks(step)]

    def networks(self, step: Announce) -> Iterator[nn.Module]:
        """Read or train them, one after the other; what is trained is kept for later."""
        for number in range(self.count):
            path = self.path(number)
            if path.exists():
                rng = stream(self.seed, "weights")
                yield kept_network.load(path, self.domain, self.learnt, self.how.network, rng)
                continue
            step(f"training clean reference {number + 1} of {self.count}")
            model = self.how.trained(
                number, self.learnt, self.domain, self.seed, runtime=self.runtime
            )
            note = note_of(self.how.network, self.learnt.classes, self.how.trainer)
            kept_network.save(model, path, note)
            yield model


def note_of(network: str, classes: tuple[str, ...], trainer: Trainer | None) -> kept_network.Note:
    """Say of what kind a model is that was trained here."""
    if trainer is None:
        return kept_network.Note(network, classes)
    settings = {name: str(value) for name, value in trainer.config().items() if name != "method"}
    return kept_network.Note(network, classes, trainer.name(), settings)


@dataclass(frozen=True, eq=False)
class GivenReferences(CleanNetworks):
    """Clean networks that somebody else trained, as a folder of their weights.

    Attributes:
        folder: The folder.
        read: Gives the network in a file.

    """

    folder: Path
    read: Callable[[Path], nn.Module]

    @cached_property
    def files(self) -> tuple[Path, ...]:
        """The files of weights in the folder.

        Raises:
            DataError: There are fewer than two.

        """
        there = self.folder.glob("*") if self.folder.is_dir() else ()
        files = tuple(sorted(path for path in there if path.suffix in WEIGHTS))
        if len(files) < 2:
            raise DataError(
                f"{str(self.folder)!r}: expected a folder with the weights of clean networks, at "
                f"least two files ({', '.join(WEIGHTS)}); found {len(files)}"
            )
        return files

    @property
    def count(self) -> int:
        """The number of networks, m."""
        return len(self.files)

    @property
    def origin(self) -> str:
        """Say where they come from."""
        return f"{self.count} networks from {self.folder}"

    def beside(self, place: Place, step: Announce) -> Sequence[Placed]:
        """Read all of them."""
        return [place(self.read(path)) for path in self.files]


@dataclass(frozen=True, eq=False)
class HeldReferences(CleanNetworks):
    """Clean networks that are there already.

    Attributes:
        networks: They themselves.

    """

    networks: tuple[nn.Module, ...]

    @property
    def count(self) -> int:
        """The number of networks, m."""
        return len(self.networks)

    @property
    def origin(self) -> str:
        """Say where they come from."""
        return f"{self.count} networks that were given"

    def beside(self, place: Place, step: Announce) -> Sequence[Placed]:
        """Give all of them."""
        return [place(network) for network in self.networks]


@dataclass(frozen=True, eq=False)
class KnownReferences:
    """Clean networks of an earlier scan, of which only the scores are left.

    Attributes:
        population: What was kept of them.
        scores: By scanner, for networks like the model.

    """

    population: Population
    scores: Known

    @property
    def count(self) -> int:
        """The number of networks, m."""
        return max(map(len, self.scores.values()), default=0)

    @property
    def origin(self) -> str:
        """Say where they come from."""
        return f"{self.count} networks from {self.population.where}"

    @property
    def unscanned(self) -> int:
        """None has to be scanned."""
        return 0

    def expected(self) -> Expected:
        """Nothing has to be made."""
        return {}

    def beside(self, place: Place, step: Announce) -> Known:
        """Give their scores."""
        return self.scores
