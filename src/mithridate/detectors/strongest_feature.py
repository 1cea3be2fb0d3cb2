"""The strongest feature of the data, proposed by one network and verified by few trainings.

Axes: n examples, m trainings, c proposed classes, d directions and e = 2 d ends of each, r factors,
s sizes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from mithridate.core.data import Dataset
from mithridate.core.errors import CannotJudge, MethodError
from mithridate.core.fingerprint import digests
from mithridate.core.method import Detector, State
from mithridate.core.streams import stream
from mithridate.core.view import View
from mithridate.detectors._cells import ClassEnds, cells_of, drawn, split
from mithridate.detectors._slopes import choose, measured
from mithridate.detectors._subset_trainings import SubsetTrainings, Told, by_content
from mithridate.stats.strongest import Attributions, search


@dataclass(frozen=True)
class StrongestFeature(Detector):
    """Score examples by how much they belong to the feature that the data teach most strongly.

    The strength of a feature is by how much the margin of a carrier that was left out of training
    rises with one more carrier in it. Where a backdoor is the strongest feature of the data, its
    carriers maximise v' W h(v). The paper estimates W by 100,000 trainings on random halves and
    searches it. Here the derivatives of a single network propose the ends of each class along few
    directions (`_cells.py`). Then few trainings on subsets, in which each end and each size within
    it comes at a rate of its own, measure the strengths of these sets as they are defined
    (`_slopes.py`). Of each class the end and the size are taken that stand out most from sets of
    the same size in other classes. The score is that excess, times a smooth step along the class's
    direction at the border of the set.

    Attributes:
        trainings: on subsets, m.
        epochs: of each of them; trainings too short to learn a rare trigger from a part of its
            carriers do not measure it.
        directions: of each class, d; the ends of the first need not be the backdoor's where a
            class is small or varied.
        network: that is trained, "" for the default of the domain.
        route: "cells" as above; "subsets" is the paper's own way, uniform random halves, a matrix
            by difference of means and a search in it, which needs thousands of trainings.
        seed: of the subsets and of the trainings.

    Raises:
        CannotJudge: by the route "subsets", for examples that it was not fitted on.
        MethodError: where a number is out of range.
    """

    paper = "Khaddaj et al., Rethinking Backdoor Attacks, ICML 2023"
    links = ("https://arxiv.org/abs/2307.10163",)
    known_as = ("rethinking-backdoor-attacks",)
    assumes = (
        "nothing that the data teach depends as much on its own carriers as the backdoor does; "
        "if a natural feature does, that feature is found"
    )

    trainings: int = 40
    epochs: int = 10
    directions: int = 2
    network: str = ""
    route: Literal["cells", "subsets"] = "cells"
    seed: int = 0

    def fit(self, view: View) -> State:
        """Propose, verify and orient; see `fitted`."""
        return self.fitted(view)

    def fitted(self, view: View, home: Path | None = None, told: Told | None = None) -> State:
        """Propose, verify and orient.

        State by the route "cells": labels [c], means [c, r], directions [c, d, r], spreads [c, d],
        sizes [s]; values, errors [c, e, s], counts, held_out [c, e, s, m], as `Slopes` has them, 0
        with an infinite error where nothing was measured; ends, chosen, borders, excess [c]. By the
        route "subsets": keys [n] of contents and their scores [n].

        Args:
            view: What is known of the data and of a network that was trained on them.
            home: The folder in which trainings are kept, None for nowhere.
            told: Is told of every training.
        """
        if min(self.trainings, self.epochs, self.directions) < 1:
            raise MethodError(
                "expected at least 1 training of at least 1 epoch and 1 direction, found trainings "
                f"{self.trainings}, epochs {self.epochs}, directions {self.directions}"
            )
        train = SubsetTrainings(self.network, self.epochs, self.seed, home, told)
        return (
            self._by_cells(view, train) if self.route == "cells" else self._by_halves(view, train)
        )

    def score(self, state: State, view: View) -> torch.Tensor:
        """Score every example, float64[n]; 0 in classes that were too small to split."""
        return _looked_up(state, view) if "keys" in state else _along(state, view)

    def _by_cells(self, view: View, train: SubsetTrainings) -> State:
        state = split(view, self.directions)
        cells = cells_of(state, view, _rank(view))
        chosen = drawn(cells, self.trainings, stream(self.seed, "subsets"))
        slopes = measured(cells, chosen, train.margins(view, chosen))
        best = choose(slopes)
        borders = [
            _border(cells, number, int(end), int(size))
            for number, (end, size) in enumerate(zip(best.ends, best.sizes, strict=True))
        ]
        return {
            **state, "sizes": torch.tensor(cells.sizes), "values": slopes.values.nan_to_num(0.0),
            "errors": slopes.errors.nan_to_num(torch.inf), "counts": slopes.counts.nan_to_num(0.0),
            "held_out": slopes.held_out.nan_to_num(0.0),
            "ends": best.ends, "chosen": best.sizes, "excess": best.excess,
            "borders": torch.tensor(borders, dtype=torch.float64),
        }  # fmt: skip

    def _by_halves(self, view: View, train: SubsetTrainings) -> State:
        """Search the matrix that uniform random halves give by difference of means."""
        n, rank = len(view.labels), _rank(view)
        drawn_at = stream(self.seed, "halves").random((self.trainings, n))
        chosen = torch.from_numpy(drawn_at)[:, rank] < 0.5
        order = rank.argsort()
        w = difference_of_means(chosen[:, order], train.margins(view, chosen)[:, order])
        scores = torch.zeros(n, dtype=torch.float64)
        sizes = [k for k in (10 * 2**j for j in range(10)) if k <= n // 2]
        sets = search(w, tuple(sizes)) if sizes else []
        for k, best in zip(sizes, sets, strict=True):
            scores[order] += best.members.double() / k
        return {"keys": _keys(view), "scores": scores}


def difference_of_means(chosen: torch.Tensor, margins: torch.Tensor) -> Attributions:
    """Estimate W from subsets of half the data: with each example, less without it.

    Column j of V says in which trainings j took part; row i of U holds the margins of i where it
    did not take part, less their mean, so that W has rank m and is never formed.

    Args:
        chosen: Who took part, bool[m, n].
        margins: What was said, float[m, n].
    """
    unseen = (~chosen).float()
    often = unseen.sum(0).clamp_min(1)
    rest = (margins - (margins * unseen).sum(0) / often) * unseen
    return Attributions((4 * rest / often).T, (chosen.float() - 0.5).T)


def _rank(view: View) -> torch.Tensor:
    """Number the examples by their contents, int64[n], so that their order decides nothing."""
    labels = view.labels
    names = tuple(map(str, range(int(labels.max()) + 1 if len(labels) else 0)))
    order = by_content(Dataset(view.inputs, labels, torch.arange(len(labels)), names))
    return order.argsort()


def _border(cells: ClassEnds, number: int, end: int, size: int) -> float:
    """Give the position at which a set ends, 0 where there is none."""
    members = cells.ends(number)[end] if cells.sizes else torch.zeros(0)
    if not len(members):
        return 0.0
    return float(cells.position[members[min(cells.sizes[size], len(members)) - 1], end // 2])


def _along(state: State, view: View) -> torch.Tensor:
    """Score by the smooth step along each class's direction."""
    cells = cells_of(state, view, torch.arange(len(view.labels)))
    scores = torch.zeros(len(cells.place), dtype=torch.float64)
    for number in range(len(state["labels"])):
        rows, end = cells.place == number, int(state["ends"][number])
        beyond = cells.position[rows, end // 2] - state["borders"][number]
        step = torch.sigmoid(4 * beyond * (1 if end % 2 else -1))
        scores[rows] = state["excess"][number].clamp_min(1e-3) * step
    return scores


def _keys(view: View) -> torch.Tensor:
    """Give a number for each content and its label, int64[n]."""
    first = [int.from_bytes(d[:7], "big") for d in digests(view.inputs)]
    return torch.tensor(first, dtype=torch.int64) * 64 + view.labels % 64


def _looked_up(state: State, view: View) -> torch.Tensor:
    known = dict(zip(state["keys"].tolist(), state["scores"].tolist(), strict=True))
    keys = _keys(view).tolist()
    if missing := sum(key not in known for key in keys):
        raise CannotJudge(
            f"the route 'subsets' scores the examples that it was fitted on, and {missing} of "
            f"{len(keys)} are others; fit on all of them, or take the route 'cells'"
        )
    return torch.tensor([known[key] for key in keys], dtype=torch.float64)
