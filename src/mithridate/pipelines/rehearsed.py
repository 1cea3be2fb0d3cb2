"""How long a scan takes once its network is trained, from the same steps on few examples.

Axes: N suspect and trusted examples together.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import nn

from mithridate.core.data import Dataset, concatenate
from mithridate.core.domain import Domain
from mithridate.core.errors import MithridateError
from mithridate.core.runtime import Runtime
from mithridate.detectors.early_loss import EarlyLoss
from mithridate.pipelines.compared import Compared
from mithridate.pipelines.features_found import without_subsets
from mithridate.pipelines.quick_look import Look
from mithridate.pipelines.scan import DataScanner

FEW = 800
"""Examples of the rehearsal."""

GROWTH = 0.5
"""Power of the number of examples that detectors and the test are taken to grow with.

A compromise: spectre takes hardly longer for more examples where the network has learnt much, and
longer in proportion where it has learnt little, which a rehearsal cannot know.
"""


def in_proportion(data: Dataset, share: float) -> Dataset:
    """Take a share of the examples, the first ones of each class in proportion."""
    order = torch.argsort(data.labels, stable=True)
    sizes = torch.bincount(data.labels, minlength=len(data.classes))
    starts = sizes.cumsum(0) - sizes
    rank = torch.empty(len(data))
    labels = data.labels[order]
    rank[order] = (torch.arange(len(data)) - starts[labels] + 0.5) / sizes[labels]
    return data.subset(torch.sort(torch.argsort(rank)[: max(1, round(share * len(data)))]).values)


def seconds_after_training(
    scanner: DataScanner, seen: Look, domain: Domain, model: nn.Module, runtime: Runtime
) -> float:
    """Estimate how long features, detectors and the test take; 0 where few cannot be judged.

    Features grow in proportion, the rest by `GROWTH`.

    Args:
        scanner: How to scan.
        seen: What was asked already, which costs nothing any more.
        domain: Of all examples.
        model: A network like that which will be trained, in evaluation mode.
        runtime: Where to compute.

    """
    who = seen.who
    asked = tuple(each for each in seen.able if seen.said(each) is None)
    asked = without_subsets(asked)  # whose trainings are counted by themselves
    detectors = tuple(each for each in asked if not isinstance(each, EarlyLoss))  # takes no time
    if not detectors:
        return 0.0
    alone = replace(scanner, detectors=detectors, thorough=False)

    share = min(1.0, FEW / len(who.union))
    suspects = in_proportion(who.suspects, share)
    known = None if who.known is None else in_proportion(who.known, share)
    union = suspects if known is None else concatenate(suspects, known)
    few = Look(Compared(union, suspects, known), (), detectors, {}, (), 0.0)
    try:
        cost = alone.scan(
            suspects, known, domain, runtime=runtime, model=model, saw="neither", seen=few
        ).cost
    except MithridateError:
        return 0.0
    features = cost["features_seconds"]
    return features / share + (cost["seconds"] - features) * math.pow(share, -GROWTH)
