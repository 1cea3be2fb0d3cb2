"""The examples of an experiment as later steps see them; where they come from is `data.py`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from mithridate.bench.step import Step
from mithridate.core.data import Dataset, concatenate
from mithridate.core.domain import Domain


class Split(NamedTuple):
    """Disjoint suspects and trusted examples of the training split, and test examples."""

    suspects: Dataset
    trusted: Dataset
    test: Dataset
    domain: Domain


@dataclass(frozen=True, eq=False)
class Examples(Step):
    """A step whose value is a `Split`."""


def join_trusted(suspects: Dataset, split: Split) -> Dataset:
    """Put the trusted examples behind the suspects: a defender trains on everything there is."""
    return concatenate(suspects, split.trusted) if len(split.trusted) else suspects


def copy_for_defence(data: Dataset) -> Dataset:
    """Copy a data set for a defence, since the next one gets the same whatever this one does."""
    return data.subset(range(len(data)))
