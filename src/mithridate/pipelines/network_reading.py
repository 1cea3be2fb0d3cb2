"""What a user says of a network in a file that the file does not say itself.

Axes: c classes.
"""

from __future__ import annotations

from dataclasses import dataclass

from mithridate.core.domain import Domain, suited
from mithridate.core.errors import MethodError
from mithridate.core.spelling import option
from mithridate.domains.elsewhere import is_elsewhere
from mithridate.pipelines.class_orders import classes_in_order
from mithridate.pipelines.kept_network import Note, classes_of
from mithridate.pipelines.population import Encoding


@dataclass(frozen=True)
class NetworkReading:
    """How a network in a file is read.

    Attributes:
        network: Its name, "" where the file says it.
        part: Which network of a checkpoint of several is taken, "" for the one that fits.
        classes: The names of the c classes in the order of its outputs, () where the file or the
            data say it.
        mean: A network from elsewhere takes (x / 255 - mean) / std; one number, or one a channel.
        std: See `mean`; () for both leaves inputs as the network's library has them.
        columns: The names of the columns of boosted trees in their order, () where the file says
            them; "data" alone says that they are those of the data.

    """

    network: str = ""
    part: str = ""
    classes: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    columns: tuple[str, ...] = ()

    @property
    def encoding(self) -> Encoding:
        """The mean and the standard deviation."""
        return self.mean, self.std

    def fed(self, domain: Domain, network: str, *, graph: bool = False) -> Domain:
        """Give the domain as the network takes its inputs, standardised where that is asked for.

        Args:
            domain: Of the inputs.
            network: The name of the network.
            graph: Whether it is an ONNX graph, which is from elsewhere in any case.

        Raises:
            MethodError: The network is not from elsewhere, or such data have no mean.

        """
        domain = suited(domain, network)
        if not any(self.encoding):
            return domain
        if not (graph or is_elsewhere(network)):
            raise MethodError(
                f"{option('mean')} and {option('std')} are for ONNX files and for networks that "
                f"{option('network')} says are from elsewhere; files of this library hold their own"
            )
        return domain.standardised(*self.encoding)

    def ordered(self, kept: Note, there: tuple[str, ...]) -> tuple[tuple[str, ...], str]:
        """Settle the order of the classes: as given, else as the file says, else as the data do.

        Args:
            kept: What the file says.
            there: The classes of the data.

        Returns:
            The classes in the order of the outputs, and what is to be said of that, "" for nothing.

        Raises:
            MethodError: A class is missing or named twice, or the file says another order.

        """
        if not self.classes:
            return classes_of(kept, self.network, there)
        classes = classes_in_order(self.classes, there)
        if kept.classes and kept.classes != classes:
            raise MethodError(
                f"{option('classes')} says {list(classes)[:10]}, but the file of the weights names "
                f"its classes itself: {list(kept.classes)[:10]}; leave {option('classes')} out"
            )
        return classes, ""
