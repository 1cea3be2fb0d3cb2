#!/usr/bin/env bash
# Versions: scikit-learn 1.9.1, numpy 2.4.6.
#
# Expected: HDBSCAN draws no random numbers, so the same distances in another order of rows
#   give the same clusters in that order.
# What happens: where distances are tied, the order decides. Of four things two lie at a
#   distance of 1 and all other pairs at 2. In one order all four are noise, in another one
#   there are two clusters and no noise, the second of the two things that are nobody's
#   neighbours. Five things with two close pairs give three different answers.
# Why it matters: ties are usual where distances are counted, such as shares of classes that
#   two parties have in common. A server that clusters the updates of its clients, as FLAME and
#   DeepSight do, then keeps or drops a client by the place at which its answer was filed.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install scikit-learn==1.9.1 numpy==2.4.6 >pip.log 2>&1 || { cat pip.log; exit 1; }
venv/bin/python - <<'PY'
from itertools import permutations

import numpy as np
import sklearn
from sklearn.cluster import HDBSCAN

print("scikit-learn", sklearn.__version__)


def distances(count, *close):
    table = 2.0 * (1 - np.eye(count))
    for a, b in close:
        table[a, b] = table[b, a] = 1.0
    return table


def answers(table):
    """Every answer over the orders of the rows, by the names of the rows, with one order."""
    seen = {}
    for order in permutations(range(len(table))):
        given = table[np.ix_(order, order)]
        clusterer = HDBSCAN(min_cluster_size=2, min_samples=1, metric="precomputed", copy=True)
        labels = clusterer.fit(given).labels_
        groups = (
            tuple(sorted(order[i] for i in np.flatnonzero(labels == label)))
            for label in range(labels.max() + 1)
        )
        seen.setdefault(tuple(sorted(groups)), order)
    return seen


four = answers(distances(4, (0, 3)))
five = answers(distances(5, (0, 1), (2, 3)))
for name, seen in (("four", four), ("five", five)):
    for groups, order in seen.items():
        print(f"{name} things, rows {order}: clusters {groups or 'none, all noise'}")
assert set(four) == {(), ((0, 3), (1, 2))}
assert set(five) == {((0, 1), (2, 3)), ((0, 1, 4), (2, 3)), ((0, 1), (2, 3, 4))}
PY
