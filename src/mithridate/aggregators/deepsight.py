"""DeepSight: clusters of clients by what their last layer learnt, judged by how narrow that was.

Axes: m clients, c classes, d inputs of the last layer, k inputs of noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from mithridate.aggregators.blocks import clipped_mean, norms
from mithridate.aggregators.clustering import clusters
from mithridate.aggregators.distances import cosines, squared_distances
from mithridate.core.errors import MethodError
from mithridate.core.federated import Aggregated, Aggregator, Round
from mithridate.core.method import State


@dataclass(frozen=True)
class DeepSight(Aggregator):
    """Leave out clusters of clients in which many trained on few classes only.

    1. Energy of class y: e_iy = |b_iy| + sum_h |W_iyh|, of the update of the last linear layer,
       and its share E_iy = e_iy^2 / sum_y e_iy^2.
    2. Client i is suspicious where #{y : E_iy > max(0.01, 1/c) max_y E_iy} is at most half of the
       median of that number: it learnt few classes.
    3. Three clusterings by HDBSCAN: by E, by the answers to noise divided by those of the global
       model (on three thirds of the noise, averaged), and by the cosines of b. A pair is as far
       apart as the share of clusterings that part it, and these distances are clustered again. Who
       is in no cluster is one alone.
    4. Clusters with a share of suspicious clients of `share` or more are left out.
    5. step = mean over the kept of u_i, shortened to the median norm of all.

    The paper leaves open how small a cluster may be; it is two clients here. Without a bias the
    whole last layer is compared. Where everybody is left out the step is 0.

    Attributes:
        share: tau, of suspicious clients in a cluster.
    """

    paper = (
        "Rieger et al., DeepSight: Mitigating Backdoor Attacks in Federated Learning Through Deep "
        "Model Inspection, NDSS 2022"
    )
    links = ("https://arxiv.org/abs/2201.00763",)
    spelled = "deepsight"
    needs: ClassVar[frozenset[str]] = frozenset({"head", "answers"})
    obeys: ClassVar[frozenset[str]] = frozenset()
    assumes = "attackers train on fewer classes than honest clients do, and are alike"

    share: float = 1 / 3

    def step(self, state: State, seen: Round) -> Aggregated:
        """Inspect, cluster, leave out and average."""
        if not 0 < self.share <= 1:
            raise MethodError(f"share={self.share}: expected a share above 0, of at most 1")
        energies = energy_shares(seen)
        narrow = learnt_few(energies)
        label = together(seen, energies)
        suspicion = torch.zeros(len(label), dtype=torch.float64)
        for number in label.unique().tolist():
            members = label == number
            suspicion[members] = narrow[members].double().mean()
        kept = suspicion < self.share
        mean, _ = clipped_mean(seen.updates, norms(seen.updates).quantile(0.5), kept)
        return Aggregated(mean, state, kept.float(), suspicion)


def energy_shares(seen: Round) -> torch.Tensor:
    """Give the share of each class in what the last layer learnt, float64[m, c]."""
    weight, bias = _layer(seen)
    energy = weight.double().abs().sum(2) + bias.double().abs()
    largest = energy.max(1, keepdim=True).values.clamp_min(1e-300)
    squares = (energy / largest).square()
    return squares / squares.sum(1, keepdim=True).clamp_min(1e-300)


def learnt_few(energies: torch.Tensor) -> torch.Tensor:
    """Say which clients learnt few classes, bool[m], by shares of energy, float64[m, c]."""
    threshold = max(0.01, 1 / energies.shape[1]) * energies.max(1, keepdim=True).values
    exceeding = (energies > threshold).sum(1).double()
    return exceeding <= exceeding.quantile(0.5) / 2


def together(seen: Round, energies: torch.Tensor) -> torch.Tensor:
    """Cluster clients by all that is known of them, int64[m]; who is in no cluster is one alone."""
    m, ids = len(seen.ids), seen.ids
    weight, bias = _layer(seen)
    compared = bias if bool(bias.any()) else weight.flatten(1)
    answered = _ratios(seen)
    by_answers = torch.stack(
        [_parted(_euclidean(part), ids) for part in answered.chunk(3, 1)]
    ).mean(0)
    parted = [_parted(1 - cosines(compared), ids), _parted(_euclidean(energies), ids), by_answers]
    label = clusters(torch.stack(parted).mean(0), ids, 2, single=True)
    return torch.where(label < 0, m + torch.arange(m), label)


def _ratios(seen: Round) -> torch.Tensor:
    """The answers of each moved model to noise, divided by the global ones, float64[m, k, c]."""
    if seen.answers is None:
        raise MethodError("deepsight needs answers of every round")
    start = seen.answers(torch.zeros_like(seen.updates[0])).double().clamp_min(1e-12)
    return torch.stack([seen.answers(update).double() / start for update in seen.updates])


def _euclidean(rows: torch.Tensor) -> torch.Tensor:
    """Distances of clients; of several inputs, the mean over them is compared."""
    flat = rows if rows.ndim == 2 else rows.mean(1)
    return squared_distances(flat).sqrt()


def _parted(distances: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """Whether a clustering parts each pair, float64[m, m]; who is in no cluster is parted."""
    label = clusters(distances, ids, 2, single=True)
    apart = (label[:, None] != label) | (label < 0)
    return apart.double().fill_diagonal_(0)


def _layer(seen: Round) -> tuple[torch.Tensor, torch.Tensor]:
    """The update of the last layer: weights float32[m, c, d] and biases float32[m, c]."""
    if seen.head is None:
        raise MethodError("deepsight needs the head of every round")
    (start, end), m = seen.head.weight, len(seen.ids)
    weight = seen.updates[:, start:end].reshape(m, seen.head.classes, -1)
    if seen.head.bias is None:
        return weight, weight.new_zeros(m, seen.head.classes)
    return weight, seen.updates[:, seen.head.bias[0] : seen.head.bias[1]]
