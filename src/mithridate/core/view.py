"""Everything that a defender may know, computed on first use, noted, or withheld.

Axes: n examples, c classes, d features, e epochs.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, cast

import torch
from torch import nn

from mithridate.core.attribution import margin_gradients
from mithridate.core.data import Dataset, Inputs
from mithridate.core.domain import Domain
from mithridate.core.errors import EvidenceWithheld, MethodError
from mithridate.core.inference import forward, logits_of
from mithridate.core.runtime import Runtime
from mithridate.core.threat import ThreatModel


class View:
    """What a defender may know of a data set and a model.

    Each piece of evidence is computed when first asked for, kept, and noted in `used`. Evidence
    that the threat model withholds raises `EvidenceWithheld`; evidence that nothing can supply
    raises `MethodError`. Evidence known already can be given by name: `View(labels=y, features=f)`
    is enough for a method that needs no more.

    Args:
        precision: the arithmetic in which the model is run, "bf16", or "fp32" for a model as it is,
            such as one that was quantised.
        artefact: the model that is really deployed, which queries go to, where `model` is its
            dequantised twin.
    """

    def __init__(
        self,
        data: Dataset | None = None,
        *,
        domain: Domain | None = None,
        model: nn.Module | None = None,
        clean: Dataset | None = None,
        threat: ThreatModel | None = None,
        runtime: Runtime | None = None,
        precision: str = "bf16",
        artefact: nn.Module | None = None,
        **known: torch.Tensor | None,
    ) -> None:
        self.precision, self._artefact = precision, artefact or model
        self._data, self._domain, self._model, self._clean = data, domain, model, clean
        self._threat, self._runtime = threat or ThreatModel(), runtime or Runtime()
        self._known = {name: value for name, value in known.items() if value is not None}
        self.used: set[str] = set()

    def _note(self, name: str) -> None:
        if name not in self._threat.granted:
            raise EvidenceWithheld(
                f"the threat model withholds {name!r}; granted: {sorted(self._threat.granted)}"
            )
        self.used.add(name)

    def _get(self, name: str, compute: Callable[[], torch.Tensor] | None) -> torch.Tensor:
        self._note(name)
        if name not in self._known:
            if compute is None:
                raise MethodError(
                    f"this view holds no {name!r} and nothing to compute it from; "
                    f"it was given {sorted(self._known) or 'no evidence'}"
                )
            self._known[name] = compute()
        return self._known[name]

    @property
    def inputs(self) -> Inputs:
        """Raw inputs[n]."""
        self._note("inputs")
        return self._require("inputs", self._data).inputs

    @property
    def labels(self) -> torch.Tensor:
        """Labels as found, int64[n]."""
        data = self._data
        return self._get("labels", None if data is None else lambda: data.labels)

    @property
    def features(self) -> torch.Tensor:
        """Inputs of the model's last linear layer, no augmentation, float32[n, d]."""
        return self._get("features", None if self._model is None else lambda: self._run()[0])

    @property
    def logits(self) -> torch.Tensor:
        """Outputs of the model, no augmentation, float32[n, c]."""
        return self._get("logits", None if self._model is None else lambda: self._run()[1])

    @property
    def losses(self) -> torch.Tensor:
        """Training losses of each example as they were recorded, float32[n, e]."""
        return self._get("losses", None)

    @property
    def attribution(self) -> torch.Tensor:
        """How each example's margin moves with the weights, projected, float32[n, r].

        W = G G' says who supports whom in first order; see `core/attribution.py`.
        """
        return self._get("attribution", None if self._model is None else self._attributed)

    @property
    def model(self) -> nn.Module:
        """The model itself."""
        self._note("model")
        return cast(nn.Module, self._require("model", self._model))

    @property
    def queries(self) -> Callable[[torch.Tensor], torch.Tensor]:
        """A way to ask the model about prepared inputs[n, ...] of one's own: float32[n, c] logits.

        It needs no look inside the model.
        """
        self._note("queries")
        model = self._require("queries", self._artefact)
        return partial(logits_of, model, runtime=self._runtime, precision=self.precision)

    @property
    def clean(self) -> Dataset:
        """Examples that the defender trusts."""
        self._note("clean")
        return cast(Dataset, self._require("clean", self._clean))

    @property
    def domain(self) -> Domain:
        """The domain of the data, which is no secret."""
        return cast(Domain, self._require("domain", self._domain))

    @property
    def blank(self) -> torch.Tensor:
        """A prepared input [1, ...] of zeros, which tells the form of inputs and nothing else."""
        shown = self._clean if self._data is None else self._data
        return torch.zeros_like(self.domain.prepare(self._require("data", shown).inputs[:1]))

    @property
    def classes(self) -> int:
        """Number of classes, c."""
        shown = self._clean if self._data is None else self._data
        return len(self._require("data", shown).classes)

    @property
    def runtime(self) -> Runtime:
        """Where and how to compute."""
        return self._runtime

    def _attributed(self) -> torch.Tensor:
        data = self._require("data", self._data)
        prepared = self._require("domain", self._domain).prepare(data.inputs)
        assert self._model is not None
        return margin_gradients(self._model, prepared, data.labels, self._runtime)

    def _require(self, name: str, value: Any) -> Any:
        if value is None:
            raise MethodError(f"this view holds no {name!r}")
        return value

    def _run(self) -> tuple[torch.Tensor, torch.Tensor]:
        data = self._require("data", self._data)
        domain = self._require("domain", self._domain)
        assert self._model is not None
        prepared = domain.prepare(data.inputs)
        features, logits = forward(self._model, prepared, self._runtime, None, self.precision)
        self._known.setdefault("features", features)
        self._known.setdefault("logits", logits)
        return features, logits
