"""The work of a training, in its order: settle it, estimate, train or scan and train, measure.

Axes: n suspect and m trusted examples.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import nn

from mithridate.core.data import Dataset, concatenate
from mithridate.core.domain import Domain, suited
from mithridate.core.errors import MethodError, MithridateError
from mithridate.core.fast import FastTraining
from mithridate.core.fingerprint import fingerprint, place_of
from mithridate.core.fit import TrainingConfig
from mithridate.core.method import Trainer
from mithridate.core.runtime import Runtime
from mithridate.core.spelling import option
from mithridate.core.streams import stream
from mithridate.core.timing import extrapolate
from mithridate.core.training_run import Progress, TrainingRun
from mithridate.pipelines.announcing import Announce
from mithridate.pipelines.damage import Damage, damage, set_apart
from mithridate.pipelines.filtered import Filtered
from mithridate.pipelines.finding import DataScan
from mithridate.pipelines.passes import Passes
from mithridate.pipelines.scan import DataScanner, choose_fast, choose_training
from mithridate.pipelines.training import train
from mithridate.pipelines.unlearned import Unlearned
from mithridate.trainers.standard import Standard

THEN = ("none", "drop", "relabel", "unlearn")
"""What may follow a scan."""

STEPS = 2
"""Batches of the smaller of the two pieces that an estimate trains on."""


@dataclass(frozen=True, eq=False)
class TrainingOutcome:
    """A network that was trained, and what is known of it.

    Attributes:
        model: The network.
        notes: Examples that the trainer noted, by name.
        cost: Seconds, and examples passed.
        losses: float32[n, epochs] of each training example, None where a scan had a say.
        scan: Of the data, None where nothing was scanned.
        ended: How what followed the scan ended, in words.
        damage: On the trusted examples that measure the network, None without any.

    """

    model: nn.Module
    notes: Mapping[str, torch.Tensor]
    cost: dict[str, float]
    losses: torch.Tensor | None = None
    scan: DataScan | None = None
    ended: str = ""
    damage: Damage | None = None


@dataclass(frozen=True, eq=False)
class ReadyTraining:
    """A training that is ready to begin.

    Attributes:
        trainer: Who trains.
        network: The name of the network, "" is the default of the domain.
        then: What follows a scan; "none" where nothing is scanned.
        data: The suspects.
        learn: Trusted examples that a scan may use, or None.
        measured: Trusted examples that the network is measured by, or None.
        domain: Of all examples.
        seed: Of everything that is drawn at random.
        runtime: Where it is computed.
        home: The folder in which an unfinished training is kept, None for nowhere.

    """

    trainer: Trainer
    network: str
    then: str
    data: Dataset
    learn: Dataset | None
    measured: Dataset | None
    domain: Domain
    seed: int
    runtime: Runtime
    home: Path | None

    @classmethod
    def of(
        cls, trainer: Trainer, data: Dataset, trusted: Dataset | None, domain: Domain,
        *, network: str = "", then: str = "none", apart: float = 0.3, epochs: int | None = None,
        said: Collection[str] = (), seed: int = 0, runtime: Runtime | None = None,
        home: Path | None = None,
    ) -> ReadyTraining:  # fmt: skip
        """Settle how long it takes, and which trusted examples measure the network.

        Args:
            trainer: Who trains.
            data: The suspects.
            trusted: Examples known to be clean, of the classes of the suspects, or None.
            domain: Of all examples.
            network: The name of the network, "" is the default of the domain.
            then: What follows a scan, one of `THEN`.
            apart: The share of the trusted examples that a scan may not use.
            epochs: How long the training takes; None chooses by the number of examples.
            said: Settings of the trainer that were given, which are kept.
            seed: Of everything that is drawn at random.
            runtime: Where it is computed.
            home: The folder in which an unfinished training is kept, None for nowhere.
        """
        check_then(then, trainer.name(), trusted is not None)
        learn, measured = None, trusted
        if trusted is not None and then != "none":
            learn, measured = set_apart(trusted, apart, stream(seed, "train", "apart"))
        n = len(data) + (0 if learn is None else len(learn))
        domain = suited(domain, network)
        domain.network(data, network, stream(seed, "name"))  # refuses an unknown name
        return cls(
            timed(trainer, n, epochs, said), network, then, data, learn, measured, domain, seed,
            runtime or Runtime(), home,
        )  # fmt: skip

    @cached_property
    def union(self) -> Dataset:
        """All that is trained on."""
        return concatenate(self.data, self.learn) if self.learn is not None else self.data

    @cached_property
    def checkpoint(self) -> Path | None:
        """Where the training is kept while it runs; another training has another folder."""
        if self.home is None:
            return None
        parts = (fingerprint(self.union), self.domain, self.trainer, self.then, self.network,
                 self.seed)  # fmt: skip
        return self.home / f"unfinished-{place_of(*parts)}"

    @property
    def unfinished(self) -> bool:
        """Whether an earlier run left a part of this training."""
        return self.checkpoint is not None and any(self.checkpoint.rglob("*.safetensors"))

    def seconds(self) -> float | None:
        """Estimate how long one training takes by a few batches of it; None where that fails."""
        order = stream(self.seed, "estimate").permutation(len(self.union))
        config = getattr(self.trainer, "training", None)
        size, epochs, trainer = 64, 1, self.trainer
        if isinstance(config, TrainingConfig):
            # what takes stages gets two epochs, since one can be too short to divide
            short = 1 if isinstance(trainer, Standard) else min(2, config.epochs)
            size, epochs = config.batch_size, config.epochs // short
            trainer = changed(trainer, training=replace(config, epochs=short))

        def on_few(count: int) -> None:
            few, run = self.union.subset(order[:count]), TrainingRun(self.runtime)
            train(trainer, few, self.domain, network=self.network, run=run)

        with contextlib.suppress(MithridateError):
            return extrapolate(on_few, STEPS * size, len(self.union)) * epochs
        return None

    def made(
        self, step: Announce | None = None, progress: Progress | None = None
    ) -> TrainingOutcome:
        """Train, scan where something is to follow a scan, and measure.

        Args:
            step: Is told what begins.
            progress: Is told of every epoch.

        """
        say = step or (lambda _: None)
        outcome = self._trained if self.then == "none" else self._cleansed
        made = outcome(say, progress)
        if self.measured is None:
            return made
        say("measuring on trusted examples")
        before = None if made.scan is None else made.scan.model
        harm = damage(before, made.model, self.measured, self.domain, self.runtime)
        return replace(made, damage=harm)

    def _trained(self, say: Announce, progress: Progress | None) -> TrainingOutcome:
        """Train in the ordinary way of the trainer."""
        say(f"training by {self.trainer.name()}")
        run = TrainingRun(self.runtime, progress, self.checkpoint)
        with Passes() as passes:
            trained = train(
                self.trainer, self.data, self.domain, self.seed, network=self.network, run=run
            )
        return TrainingOutcome(trained.model, trained.notes, passes.cost(), trained.losses)

    def _cleansed(self, say: Announce, progress: Progress | None) -> TrainingOutcome:
        """Scan, and act on what was flagged."""
        config = self.trainer.training if isinstance(self.trainer, Standard) else None
        scanner = DataScanner(network=self.network, training=config)
        how: Filtered | Unlearned
        if self.then == "drop":
            how = Filtered(scanner, None if config else self.trainer)
        else:
            how = Unlearned(scanner, cast(Literal["relabel", "unlearn"], self.then))
        made = how.train(
            self.data, self.learn, self.domain, self.seed, runtime=self.runtime,
            progress=progress, step=say, checkpoint=self.checkpoint,
        )  # fmt: skip
        return TrainingOutcome(made.model, made.notes, made.cost, None, made.scan, made.ended)


def check_then(then: str, trainer: str, trusted: bool) -> None:
    """Refuse at once what cannot follow a scan.

    Args:
        then: What is asked for.
        trainer: The name of the trainer.
        trusted: Whether there are trusted examples.

    Raises:
        MethodError: There is no such end, or it needs another trainer or trusted examples.

    """
    asked = option("then", then)
    if then not in THEN:
        raise MethodError(f"expected {option('then')} {', '.join(THEN)}; found {then!r}")
    if then != "none" and not trusted:
        raise MethodError(
            f"{asked} needs {option('trusted')}: without trusted examples a scan names no "
            "example, so there is nothing to act on"
        )
    if then in ("relabel", "unlearn") and trainer != Standard.name():
        raise MethodError(
            f"{asked} changes the network of the scan, which is trained by {Standard.name()}; "
            f"leave {option('trainer')} out, or say {option('then', 'drop')}"
        )


def timed(trainer: Trainer, n: int, epochs: int | None, said: Collection[str]) -> Trainer:
    """Let a trainer with a configuration train for as long as n examples need, as a scan does.

    Args:
        epochs: as asked for.
        said: settings that were given, which are kept.
    """
    fields = {f.name for f in dataclasses.fields(cast(Any, trainer))}
    config = getattr(trainer, "training", None)
    inside = isinstance(config, TrainingConfig)
    name = "training.epochs" if inside else "epochs"
    if epochs is not None and name in said:
        raise MethodError(f"{option('epochs')} and the setting {name} say the same; leave one out")
    if epochs is not None and not inside and "epochs" not in fields:
        raise MethodError(f"{trainer.name()} has no epochs to choose; leave {option('epochs')} out")
    if not inside:
        return trainer if epochs is None else cast(Trainer, changed(trainer, epochs=epochs))
    usual = (choose_fast if isinstance(config, FastTraining) else choose_training)(n)
    wanted: dict[str, Any] = {"epochs": epochs or usual.epochs, "batch_size": usual.batch_size}
    free: dict[str, Any] = {
        field: value for field, value in wanted.items() if f"training.{field}" not in said
    }
    return cast(Trainer, changed(trainer, training=replace(cast(TrainingConfig, config), **free)))


def changed(method: Any, **fields: Any) -> Any:
    """Give the same method with other fields."""
    return replace(method, **fields)
