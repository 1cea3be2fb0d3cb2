"""FLAME: the large cluster of like-minded updates, shortened to the median and blurred.

Axes: m clients, p parameters.
"""

from __future__ import annotations

from dataclasses import dataclass

from mithridate.aggregators.blocks import clipped_mean, norms
from mithridate.aggregators.clustering import clusters
from mithridate.aggregators.distances import cosines
from mithridate.aggregators.norm_clipping import blurred
from mithridate.core.errors import MethodError
from mithridate.core.federated import Aggregated, Aggregator, Round
from mithridate.core.method import State


@dataclass(frozen=True)
class Flame(Aggregator):
    """Keep the one large cluster by cosine distance, shorten to the median norm, and add noise.

    1. HDBSCAN on 1 - cos(u_i, u_j) with clusters of at least m / 2 + 1 clients: the one there can
       be is kept. Where there is none, all are.
    2. bound = the median norm of all updates, those left out included.
    3. step = mean over the kept of min(1, bound / |u_i|) u_i + N(0, (noise * bound)^2).

    Whole updates are compared. Which library clusters, and how it counts the point itself, stands
    at `clustering.clusters`. Published code: BackFed (ab3bcbd) clusters the last two tensors of the
    weights and multiplies the noise by the spread of each parameter, which the paper does not;
    others take the median over the kept updates only, which raises the bound for attackers who get
    through.

    Attributes:
        noise: lambda, standard deviation of each number of the noise as a share of the bound; the
            paper's 0.001 for images.
    """

    paper = "Nguyen et al., FLAME: Taming Backdoors in Federated Learning, USENIX Security 2022"
    links = ("https://arxiv.org/abs/2101.02281",)
    obeys = frozenset({"scale"})
    assumes = (
        "fewer than half of the clients attack, and attackers point elsewhere than honest ones"
    )

    noise: float = 1e-3

    def least(self) -> int:
        """Give 3: of two clients neither is the odd one out."""
        return 3

    def step(self, state: State, seen: Round) -> Aggregated:
        """Cluster, clip, average and blur."""
        if self.noise < 0:
            raise MethodError(f"noise={self.noise}: expected 0 or more")
        apart = 1 - cosines(seen.updates)
        label = clusters(apart, seen.ids, len(seen.ids) // 2 + 1, single=True)
        kept = label == 0 if bool((label == 0).any()) else label < 0
        bound = norms(seen.updates).quantile(0.5)
        mean, _ = clipped_mean(seen.updates, bound, kept)
        suspicion = apart.fill_diagonal_(0).quantile(0.5, 1)
        step = blurred(mean, self.noise * bound, seen)
        return Aggregated(step, state, kept.float(), suspicion)
