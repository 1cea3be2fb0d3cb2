"""A network that a user gives, beside the examples that the user trusts."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from mithridate.cli.class_order import ordered
from mithridate.cli.groups import WhichNetwork
from mithridate.cli.terminal import note
from mithridate.core.data import Dataset, of_classes
from mithridate.core.domain import Domain
from mithridate.core.errors import CannotJudge
from mithridate.core.runtime import Runtime
from mithridate.pipelines import kept_network
from mithridate.pipelines.plausibility import check_as_read
from mithridate.stats.intervals import Interval


def with_classes_of(
    model: Path, which: WhichNetwork, data: Dataset
) -> tuple[kept_network.Note, Dataset]:
    """Read what the file says, and give the trusted examples the classes of the network.

    A doubt about the order of the classes is said.

    Args:
        model: The file of weights.
        which: What the user says of the network.
        data: The trusted examples.

    Raises:
        DataError: An example is of a class that the network does not know.

    """
    kept = kept_network.noted(model)
    classes, doubt = ordered(which.classes, kept, which.network, data.classes)
    trusted = of_classes(data, classes, "trusted")
    if doubt:
        note(doubt)
    return kept, trusted


def accuracy_as_read(
    model: nn.Module, trusted: Dataset, domain: Domain, runtime: Runtime, seed: int
) -> Interval | None:
    """Ask the trusted examples whether a network is read as it was trained, and say so.

    Args:
        model: The network.
        trusted: Examples known to be clean.
        domain: Of these examples.
        runtime: Where it is computed.
        seed: Of everything that is drawn at random.

    Returns:
        Its accuracy on the trusted examples.

    Raises:
        CannotJudge: It is not, so that nothing that is measured of it would mean anything.
    """
    plausible = check_as_read(model, trusted, domain, runtime=runtime, seed=seed)
    note(plausible.described())
    if plausible.why:
        raise CannotJudge(plausible.why)
    return plausible.accuracy
