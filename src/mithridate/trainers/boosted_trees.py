"""Gradient-boosted trees, the model that people use where inputs are columns.

Axes: n examples, c classes, d columns, r rounds.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from mithridate.core.boosted import BoostedFile, Tree
from mithridate.core.data import Dataset
from mithridate.core.domain import Domain
from mithridate.core.errors import MethodError
from mithridate.core.extras import import_extra
from mithridate.core.forest import Forest
from mithridate.core.inference import last_linear
from mithridate.core.lightgbm_file import read_lightgbm
from mithridate.core.method import Trained, Trainer
from mithridate.core.runtime import Runtime
from mithridate.core.training_run import TrainingRun

TOLD = 10
"""How often progress is told, at most."""

LARGEST = 2_000_000
"""Leaves for which room is made, which is some 300 MB; a file may ask for any number."""

MOST_CODES = 32
"""Values of a set that goes left, at most; LightGBM's own bound."""


@dataclass(frozen=True)
class BoostedTrees(Trainer):
    """Grow trees one after the other, each on what those before it got wrong.

    Round t adds for each class the tree that best fits -dL/df of L = mean_i CE(f(x_i), y_i),
    times the learning rate. Two classes share one tree, f / 2 for the second and -f / 2 for the
    first. Trees are grown leaf by leaf by LightGBM, on one thread and from a seed, so the same data
    give the same bits. Prepared inputs count as numbers, those that a domain calls `categorical` as
    sets of codes. The network that is given says how many classes there are and nothing else; the
    trees that come back are tensors, so nothing of LightGBM is needed to load or to ask them. They
    have features (what each tree says and how rarely), logits and losses by round, and no
    derivative. A training that was stopped begins again. Needs LightGBM: pip install
    'mithridate[trees]'.

    Attributes:
        rounds: of boosting, r.
        leaves: of a tree, at most.
        learning_rate: by which every tree is shrunk.
        smallest_leaf: the least number of examples in a leaf.
        shrinkage: added to the denominator of a leaf's value, known as lambda or L2.
        columns: share of the columns that each tree may use.
        rows: share of the examples that each tree sees.

    Raises:
        MissingExtra: without LightGBM.
        MethodError: where a setting is out of range, or there are fewer than two examples.
    """

    paper = "Ke et al., LightGBM: A Highly Efficient Gradient Boosting Decision Tree, NeurIPS 2017"
    known_as = ("lightgbm", "gbdt")
    only = True
    space: ClassVar[dict[str, tuple[float, ...]]] = {"learning_rate": (0.05, 0.1, 0.2)}

    rounds: int = 100
    leaves: int = 31
    learning_rate: float = 0.1
    smallest_leaf: int = 20
    shrinkage: float = 0.0
    columns: float = 1.0
    rows: float = 1.0

    def form(self, model: nn.Module) -> nn.Module:
        """Give room for trees, for as many classes as the network has."""
        if isinstance(model, Forest):
            return model
        classes = last_linear(model).out_features
        self._check(classes)
        return Forest(classes, self.rounds, self.leaves, MOST_CODES)

    def train(
        self, model: nn.Module, data: Dataset, domain: Domain, rng: np.random.Generator,
        run: TrainingRun | None = None,
    ) -> Trained:  # fmt: skip
        """Grow the trees of `model`; the losses are those after each round, float32[n, r]."""
        run, n, began = self.checked(run), len(data), time.perf_counter()
        self._check(len(data.classes))
        if n < 2:
            raise MethodError(f"training needs at least 2 examples, found {n}")
        if not isinstance(model, Forest):
            raise MethodError(
                "the network has no room for trees; build it as trainer.form(network)"
            )
        seed = int(rng.integers(2**31 - 1))
        prepared = domain.prepare(data.inputs)
        if model.classes > 1:
            numbered = Numbered.of(prepared, getattr(domain, "categorical", ()))
            model.take(self.grown(numbered, data.labels, model.classes, seed, run))
        losses = _losses(model, prepared, data.labels, run.runtime)
        passes = float(n * self.rounds)
        cost = {"seconds": time.perf_counter() - began, "forward": passes, "backward": passes}
        return Trained(model.eval(), losses, cost)

    def _check(self, classes: int) -> None:
        fine = self.rounds > 0 and self.leaves > 1 and self.smallest_leaf > 0
        shares = all(0 < share <= 1 for share in (self.columns, self.rows))
        if not (fine and shares and self.learning_rate > 0 and self.shrinkage >= 0):
            raise MethodError(
                "need rounds, smallest_leaf and learning_rate > 0, leaves > 1, shrinkage >= 0 and "
                f"columns and rows in 0..1; found {self}"
            )
        if (cells := self.rounds * self.leaves * classes) > LARGEST:
            raise MethodError(
                f"need rounds x leaves x classes of at most {LARGEST:,}, found {cells:,}"
            )

    def grown(
        self, numbered: Numbered, labels: torch.Tensor, classes: int, seed: int, run: TrainingRun
    ) -> tuple[Tree, ...]:
        """Let LightGBM grow trees, and read them."""
        return numbered.back(read_lightgbm(self.file(numbered, labels, classes, seed, run), "it"))

    def file(
        self, numbered: Numbered, labels: torch.Tensor, classes: int, seed: int, run: TrainingRun
    ) -> str:
        """Let LightGBM grow trees, and give its file."""
        lightgbm = lightgbm_library()
        settings = self._settings(classes, seed)
        given = lightgbm.Dataset(
            numbered.values, labels.cpu().numpy(),
            categorical_feature=sorted(numbered.known), params=settings,
        )  # fmt: skip
        every = max(1, self.rounds // TOLD)

        def tell(environment: Any) -> None:
            done = environment.iteration + 1
            if run.progress and (done % every == 0 or done == self.rounds):
                run.progress(done, self.rounds)

        booster = lightgbm.train(settings, given, self.rounds, callbacks=[tell])
        return str(booster.model_to_string())

    def _settings(self, classes: int, seed: int) -> dict[str, Any]:
        """Say it in LightGBM's words."""
        kind: dict[str, Any] = {"objective": "binary"}
        if classes > 2:
            kind = {"objective": "multiclass", "num_class": classes}
        return {
            **kind, "num_leaves": self.leaves, "learning_rate": self.learning_rate,
            "min_data_in_leaf": self.smallest_leaf, "lambda_l2": self.shrinkage,
            "feature_fraction": self.columns, "bagging_fraction": self.rows,
            "bagging_freq": int(self.rows < 1), "max_cat_threshold": MOST_CODES, "seed": seed,
            "num_threads": 1, "deterministic": True, "force_row_wise": True, "verbosity": -1,
        }  # fmt: skip


@dataclass(frozen=True, eq=False)
class Numbered:
    """Prepared inputs as LightGBM takes them: the categories of a column are 0, 1, 2 and so on.

    Attributes:
        values: float32[n, d].
        known: by categorical column, the categories that occur, in their order.
    """

    values: NDArray[np.float32]
    known: Mapping[int, NDArray[np.float32]]

    @classmethod
    def of(cls, prepared: torch.Tensor, categorical: Sequence[int]) -> Numbered:
        """Number the categories of prepared inputs[n, ...]; what is NaN stays."""
        values = np.array(prepared.flatten(1).float().cpu().numpy())
        known = {}
        for place in map(int, categorical):
            column = values[:, place]
            there = ~np.isnan(column)
            known[place], column[there] = np.unique(column[there], return_inverse=True)
        return cls(values, known)

    def back(self, file: BoostedFile) -> tuple[Tree, ...]:
        """Let trees ask for categories as they are prepared; one that is new is in no set."""
        return tuple(
            replace(tree, codes=tuple(map(self._asked, tree.column, tree.codes)))
            for tree in file.trees
        )

    def _asked(self, column: int, codes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give the categories of a set as they are prepared; empty for a threshold."""
        if not len(codes):
            return codes
        return np.asarray(self.known[int(column)][codes.astype(int)], dtype=np.float64)


def lightgbm_library() -> Any:
    """Give LightGBM. Raises MissingExtra."""
    return import_extra(
        "lightgbm", "boosted trees need LightGBM; install it with: pip install 'mithridate[trees]'"
    )


def _losses(
    model: Forest, prepared: torch.Tensor, labels: torch.Tensor, runtime: Runtime
) -> torch.Tensor:
    """Give the loss of every example after every round, float32[n, r]."""
    rows, size = list[torch.Tensor](), runtime.batch_size
    model.eval().to(runtime.device)
    with runtime.active(), torch.inference_mode():
        for part, mine in zip(prepared.split(size), labels.split(size), strict=True):
            logits = model.by_rounds(part.to(runtime.device)).cpu()
            wanted = mine.cpu()[:, None].expand(logits.shape[:2])
            lost = F.cross_entropy(logits.flatten(0, 1), wanted.flatten(), reduction="none")
            rows.append(lost.view(logits.shape[:2]).float())
    return torch.cat(rows)
