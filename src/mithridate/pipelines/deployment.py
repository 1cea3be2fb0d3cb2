"""A network in the precision in which it is deployed, and what a defender may see of it.

Who only asks, asks the artefact itself; who looks inside, or needs derivatives, gets its
dequantised twin, once the twin has been shown to answer like the artefact.
Axes: n examples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from torch import nn

from mithridate.core.data import Dataset
from mithridate.core.domain import Domain
from mithridate.core.errors import CannotJudge, MethodError
from mithridate.core.inference import predict
from mithridate.core.runtime import Runtime
from mithridate.core.threat import ThreatModel
from mithridate.core.view import View

if TYPE_CHECKING:
    from mithridate.artifacts.precision import Deployed

Quantised = Literal["fp32", "static", "dynamic"]
"""How the weights and activations of an ONNX graph are quantised."""

ARITHMETIC = ("bf16", "fp32")
"""Precisions that need no artefact: the same weights, run in this arithmetic."""


@dataclass(frozen=True, eq=False)
class Placed:
    """A network as it is deployed, with the examples that the defender trusts.

    Attributes:
        twin: answers the same and has gradients; None, with the reason in `why`, where there is
            none.
        precision: of the arithmetic, "fp32" for an artefact, which knows its own.
    """

    model: nn.Module
    twin: nn.Module | None
    domain: Domain
    trusted: Dataset | None
    precision: str = "fp32"
    why: str = ""

    def view(
        self,
        data: Dataset | None = None,
        threat: ThreatModel | None = None,
        runtime: Runtime | None = None,
    ) -> View:
        """Show a defender the artefact to ask and its twin to look into; data: what arrives."""
        return View(
            data, domain=self.domain, model=self.twin, artefact=self.model, clean=self.trusted,
            threat=threat, runtime=runtime, precision=self.precision,
        )  # fmt: skip

    def predicted(self, data: Dataset, runtime: Runtime | None = None) -> Dataset:
        """Give the same examples with the labels that the artefact calls them by."""
        prepared = self.domain.prepare(data.inputs)
        predicted = predict(self.model, prepared, runtime or Runtime(), self.precision)
        return replace(data, labels=predicted)


def agreeing(place: Placed) -> dict[str, float]:
    """Tell how often artefact and twin call the trusted examples alike; nothing where they are one.

    Args:
        place: The model.

    """
    if place.twin is None or place.trusted is None or place.twin is place.model:
        return {}
    both = [
        replace(place, model=model).predicted(place.trusted).labels
        for model in (place.model, place.twin)
    ]
    return {"argmax": float((both[0] == both[1]).double().mean())}


def as_deployed(
    model: nn.Module, precision: str, domain: Domain, trusted: Dataset | None
) -> Placed:
    """Bring a network into a precision; see `artifacts.precision`.

    Args:
        trusted: calibrates activations where a precision needs that, and checks the twin.
    """
    if precision in ARITHMETIC:
        return Placed(model, model, domain, trusted, precision)
    if trusted is None:
        raise MethodError(f"{precision} needs trusted examples to calibrate and to check its twin")
    from mithridate.artifacts.precision import deploy

    return place_artefact(deploy(model, precision, domain.prepare(trusted.inputs)), domain, trusted)


def place_artefact(artefact: Deployed, domain: Domain, trusted: Dataset) -> Placed:
    """Show an artefact that is there already; its twin is checked on the trusted examples."""
    try:
        artefact.check(domain.prepare(trusted.inputs))
    except CannotJudge as reason:
        return Placed(artefact.model, None, domain, trusted, why=str(reason))
    return Placed(artefact.model, artefact.twin, domain, trusted)


def place_onnx(
    file: Path, domain: Domain, trusted: Dataset, mean: Sequence[float], std: Sequence[float]
) -> tuple[Placed, Quantised]:
    """Show an ONNX file as it is: run by ONNX Runtime, its twin by an interpreter with derivatives.

    Also tells how it was quantised.

    Args:
        mean: the file takes (x / 255 - mean) / std; without them it takes prepared inputs.
        std: the file takes (x / 255 - mean) / std; without them it takes prepared inputs.
    """
    from mithridate.artifacts.onnx import Adapter, Interpreter, Session, read, without_softmax

    whole = read(file)
    proto = without_softmax(whole)
    adapter = Adapter.of(mean, std)
    session = Session(proto, adapter)
    try:
        twin: nn.Module | None = Interpreter(proto, adapter)
        why = ""
    except CannotJudge as reason:
        twin, why = None, str(reason)
    return _agreeing(Placed(session, twin, domain, trusted, why=why)), _quantised(whole)


def place_as_onnx(model: nn.Module, kind: Quantised, domain: Domain, trusted: Dataset) -> Placed:
    """Export a network to ONNX, quantise it as `kind` says, and show it like one from outside."""
    from mithridate.artifacts.onnx.export import export_with_twin

    session, twin = export_with_twin(model, domain.prepare(trusted.inputs), kind)
    return _agreeing(Placed(session, twin, domain, trusted))


def _quantised(graph: Any) -> Quantised:
    """Tell by its operators how an ONNX graph was quantised."""
    from mithridate.artifacts.onnx.reading import nodes

    operators = {node.op_type for node in nodes(graph)}
    if operators & {"DynamicQuantizeLinear", "MatMulInteger", "ConvInteger"}:
        return "dynamic"
    return "static" if "QuantizeLinear" in operators else "fp32"


def small_weights(file: Path) -> str:
    """Say in what form an ONNX file holds weights that its clean references are not exported in.

    "" where they are exported alike: floats, and eight bits.
    """
    from mithridate.artifacts.onnx.reading import nodes, read, tensors

    model = read(file)
    kinds = {tensor.data_type for tensor in tensors(model)}
    if any(node.op_type == "MatMulNBits" for node in nodes(model)) or kinds & {21, 22}:
        return "few bits"
    return "half precision" if kinds & {10, 16} else ""


def _agreeing(place: Placed) -> Placed:
    """Take away a twin that does not answer like its artefact."""
    from mithridate.artifacts.onnx.interpreter import check_twin

    if place.twin is None or place.trusted is None:
        return place
    try:
        check_twin(place.model, place.twin, place.domain.prepare(place.trusted.inputs))
    except CannotJudge as reason:
        return replace(place, twin=None, why=str(reason))
    return place
