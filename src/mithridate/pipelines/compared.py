"""Who is compared with whom in a scan, and what a network is trained on."""

from __future__ import annotations

from dataclasses import dataclass

from mithridate.core.data import Dataset, concatenate
from mithridate.core.domain import Domain
from mithridate.core.streams import stream
from mithridate.pipelines.announcing import Announce
from mithridate.pipelines.contents import Numbers
from mithridate.pipelines.exchange import Difference, differences, why_not
from mithridate.pipelines.overlap import Arrangement, arrange


@dataclass(frozen=True, eq=False)
class Compared:
    """Who is compared with whom, and what a network is trained on.

    Attributes:
        union: Suspects, then trusted examples, then those that only train.
        suspects: Those that are judged.
        trusted: Those that they are compared with, None where nothing can be compared.
        seen: How they were chosen, None where all were taken.
        differ: In which properties they surely differ, the largest difference first.

    """

    union: Dataset
    suspects: Dataset
    trusted: Dataset | None
    seen: Arrangement | None = None
    differ: tuple[Difference, ...] = ()

    @staticmethod
    def of(
        data: Dataset, trusted: Dataset | None, domain: Domain | None, step: Announce
    ) -> Compared:
        """Choose who is compared, and ask whether they are of one source.

        Without a domain nobody is compared. The draws of the test are always the same, so that a
        scan is not repeated with other seeds until it passes.
        """
        if trusted is None or not len(trusted):
            return Compared(data, data, None)
        if domain is None:
            return Compared(concatenate(data, trusted), data, None)
        step("looking for what suspect and trusted examples have in common")
        seen = arrange(data, trusted, domain)
        both = seen.both
        suspects, trusted = both.subset(seen.suspects), both.subset(seen.trusted)
        step("asking whether suspect and trusted examples are of one source")
        differ = differences(suspects, trusted, domain, stream(0, "exchange"), seen.strata)
        return Compared(both.subset(seen.order), suspects, trusted, seen, differ)

    @property
    def differ_too_far(self) -> str:
        """Why suspects and trusted examples are not of one source, in words; "" where they are."""
        return why_not(self.differ)

    @property
    def known(self) -> Dataset | None:
        """The trusted examples, None where suspects cannot be judged by them."""
        return None if self.differ_too_far else self.trusted

    @property
    def strata(self) -> Numbers | None:
        """Who is exchangeable with whom within a class, None for all of it."""
        return self.seen.strata if self.seen else None

    @property
    def sizes(self) -> tuple[int, int | None]:
        """How many suspects and trusted examples; None for all the rest of the union."""
        return len(self.suspects), None if self.trusted is None else len(self.trusted)
