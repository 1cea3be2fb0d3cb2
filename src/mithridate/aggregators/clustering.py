"""Clusters of clients by their distances, as FLAME and DeepSight ask for them.

Axes: m clients.
"""

from __future__ import annotations

import numpy as np
import torch


def clusters(
    distances: torch.Tensor, ids: torch.Tensor, smallest: int, single: bool
) -> torch.Tensor:
    """Cluster by HDBSCAN, int64[m]: the number of each client's cluster, -1 where it is in none.

    The papers use the library hdbscan with min_samples=1. This is scikit-learn's, which comes with
    us already; it counts the point itself among its neighbours and the other does not, so that
    min_samples=2 here is 1 there: the distance within which a client counts as dense is that to its
    nearest other. Where distances are equal, HDBSCAN goes by the order of its rows; so they are
    rounded to 10 digits of the largest and put in the order of the clients' numbers.

    Args:
        distances: float64[m, m].
        ids: int64[m].
        smallest: clients of a cluster.
        single: whether all may be one cluster.
    """
    from sklearn.cluster import HDBSCAN

    m = len(distances)
    if m < 2:
        return torch.zeros(m, dtype=torch.int64)
    order = ids.argsort().cpu().numpy()
    table = distances.clamp_min(0).clone().fill_diagonal_(0).cpu().numpy()[order][:, order]
    digit = max(float(table.max()), 1e-300) * 1e-10
    label = HDBSCAN(
        min_cluster_size=max(smallest, 2), min_samples=2, metric="precomputed",
        allow_single_cluster=single, copy=True,
    ).fit_predict(np.round((table + table.T) / (2 * digit)))  # fmt: skip
    back = np.empty(m, dtype=np.int64)
    back[order] = label
    return torch.from_numpy(back)
