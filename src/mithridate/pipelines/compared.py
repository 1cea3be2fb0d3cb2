"""Who is compared with whom in a scan, and what a network is trained on."""

from __future__ import annotations

from dataclasses import dataclass

from mithridate.core.data import Dataset, concatenate
from mithridate.core.domain import Domain
from mithridate.pipelines.announcing import Announce
from mithridate.pipelines.overlap import Arrangement, arrange


@dataclass(frozen=True, eq=False)
class Compared:
    """Who is compared with whom, and what a network is trained on.

    Attributes:
        union: Suspects, then trusted examples, then those that only train.
        suspects: Those that are judged.
        trusted: Those that they are compared with, None where nothing can be compared.
        seen: How they were chosen, None where all were taken.

    """

    union: Dataset
    suspects: Dataset
    trusted: Dataset | None
    seen: Arrangement | None = None

    @staticmethod
    def of(
        data: Dataset, trusted: Dataset | None, domain: Domain | None, step: Announce
    ) -> Compared:
        """Choose who is compared; without a domain nobody is."""
        if trusted is None or not len(trusted):
            return Compared(data, data, None)
        if domain is None:
            return Compared(concatenate(data, trusted), data, None)
        step("looking for what suspect and trusted examples have in common")
        seen = arrange(data, trusted, domain)
        both = seen.both
        suspects, trusted = both.subset(seen.suspects), both.subset(seen.trusted)
        return Compared(both.subset(seen.order), suspects, trusted, seen)

    @property
    def sizes(self) -> tuple[int, int | None]:
        """How many suspects and trusted examples; None for all the rest of the union."""
        return len(self.suspects), None if self.trusted is None else len(self.trusted)
