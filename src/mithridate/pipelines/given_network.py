"""A network that somebody gives, beside the examples that somebody trusts.

Axes: n trusted examples.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from mithridate.core.data import Dataset, of_classes
from mithridate.core.domain import Domain
from mithridate.core.runtime import Runtime
from mithridate.pipelines.kept_network import Note
from mithridate.pipelines.network_reading import NetworkReading
from mithridate.pipelines.plausibility import Plausibility, check_as_read
from mithridate.pipelines.suspect_file import SuspectFile


@dataclass(frozen=True, eq=False)
class GivenNetwork:
    """A network, and trusted examples that have its classes in its order.

    Attributes:
        model: The network.
        trusted: The n examples.
        domain: Of the examples, with the encoding of the network's inputs.
        file: Where it was read from, None for one that was there.

    """

    model: nn.Module
    trusted: Dataset
    domain: Domain
    file: SuspectFile | None = None

    @classmethod
    def of(
        cls, model: nn.Module | Path, how: NetworkReading, examples: Dataset, domain: Domain,
        seed: int = 0,
    ) -> GivenNetwork:  # fmt: skip
        """Take a network, or look at a file and open it.

        Args:
            model: The network, or its file or folder.
            how: What is said of it.
            examples: The trusted examples, in any order of classes.
            domain: Of the examples.
            seed: Of what a network draws before it is given its weights.

        Raises:
            UnsafeData: Opening the file could harm the reader.
            DataError: An example is of a class that the network does not know.
        """
        if isinstance(model, nn.Module):
            classes, _ = how.ordered(Note(), examples.classes)
            trusted = of_classes(examples, classes, "trusted")
            return cls(model, trusted, how.fed(domain, how.network))
        file = SuspectFile.looked_at(model, how).among(examples.classes)
        trusted = of_classes(examples, file.classes, "trusted")
        opened, fed = file.answering(domain, trusted, seed)
        return cls(opened, trusted, fed, file)

    def plausible(self, runtime: Runtime, seed: int) -> Plausibility:
        """Ask the trusted examples whether the network is read as it was trained.

        Args:
            runtime: Where to compute.
            seed: Of what is drawn at random.

        """
        return check_as_read(self.model, self.trusted, self.domain, runtime=runtime, seed=seed)
