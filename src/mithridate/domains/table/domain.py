"""The domain of tables: numbers on a fixed scale, categories as hashes, networks that embed both.

Axes: n rows, b rows of a batch, d columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mithridate.core.data import Dataset, Inputs
from mithridate.core.domain import Surface
from mithridate.core.errors import CannotJudge, MethodError
from mithridate.core.features import Carried, Selected
from mithridate.core.streams import torch_generator
from mithridate.domains.table import damage, packing
from mithridate.domains.table.columns import (
    Column,
    arranged,
    column_of,
    columns_of,
    dtype_of,
    is_table,
    texts_of,
)
from mithridate.domains.table.networks import build
from mithridate.domains.table.scale import MISSING, scaled
from mithridate.domains.table.stealth import difference


class CategoryNumbers(dict[str, int]):
    """The number of each category of a column, computed on first use; 0 is a missing one."""

    def __init__(self, column: str, salt: int, buckets: int) -> None:
        super().__init__({"": 0})
        code = column.encode("utf-8", "surrogatepass")
        self.person = blake2b(code, digest_size=blake2b.PERSON_SIZE).digest()
        self.salt, self.buckets = salt.to_bytes(blake2b.SALT_SIZE, "little"), buckets

    def __missing__(self, category: str) -> int:
        """Hash a new category."""
        code = category.encode("utf-8", "surrogatepass")
        hashed = blake2b(code, digest_size=8, salt=self.salt, person=self.person).digest()
        self[category] = 1 + int.from_bytes(hashed, "little") % (self.buckets - 1)
        return self[category]


@dataclass(frozen=True)
class TableDomain:
    """Rows of a table: a structured array[n], one field for each column.

    Numbers x lie at sign(x) log(1 + |x|), so that bytes and rates are told apart on one scale, and
    a missing one at `MISSING`, below all others. On float32 whole numbers are told apart up to a
    million, and larger ones that are a millionth apart. Categories are numbers from 1 on, a
    hash of the name of the column and the text; 0 is a missing one. Nothing is fitted on suspect
    data, and numbers are the same in every process. Two given categories of a column share a
    number with a probability of 1 in `buckets`.

    Attributes:
        columns: What each column holds; () takes it from the fields of the inputs, and then what
            sees prepared inputs alone takes every column for one of numbers.
        buckets: CategoryNumbers for categories, 4..2^24 - 1: all of them are whole in float32.
        salt: Of the hash, 0..2^128-1; a defender who fears categories made to collide keeps an own
            one.
        dropout: Probability with which augmentation hides each value.
    """

    columns: tuple[Column, ...] = ()
    buckets: int = 2**20
    salt: int = 0
    dropout: float = 0.0
    name: str = "table"

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", tuple(column_of(each) for each in self.columns))
        names = [column.name for column in self.columns]
        if len(set(names)) < len(names):
            raise MethodError("expected columns of different names; rename those that share one")
        if not 4 <= self.buckets < 2**24:
            raise MethodError(f"buckets must lie in 4..{2**24 - 1}, found {self.buckets}")

    @property
    def unit(self) -> str:
        """Triggers are measured in columns."""
        return "columns"

    @property
    def categorical(self) -> tuple[int, ...]:
        """The positions of the columns of categories, none where no columns are given."""
        return tuple(i for i, column in enumerate(self.columns) if column.kind == "category")

    def columns_of(self, inputs: Inputs) -> tuple[Column, ...]:
        """Give the columns, or what the fields of raw inputs say where none are given."""
        return self.columns or columns_of(inputs)

    def accepts(self, inputs: Inputs) -> bool:
        """Whether these are rows of a table."""
        return is_table(inputs)

    def blank(self, count: int, form: Sequence[int]) -> Inputs:
        """Give rows of zeros and missing categories; of numbers where no columns are given."""
        columns = self.columns or tuple(Column(f"column {i}", "number") for i in range(form[0]))
        rows = np.zeros(count, dtype=dtype_of(columns))
        for i in self.categorical:
            rows[columns[i].name] = ""
        return rows

    def pack(self, inputs: Inputs) -> dict[str, torch.Tensor]:
        """Turn rows into tensors: numbers, integers, categories, and what each column holds."""
        return packing.pack(inputs)

    def unpack(self, tensors: dict[str, torch.Tensor]) -> Inputs:
        """Give the rows back."""
        return packing.unpack(tensors)

    def standardised(self, mean: Sequence[float], std: Sequence[float]) -> TableDomain:
        """Refuse: networks of tables bring their own scale."""
        raise MethodError("a mean and a standard deviation are for images, and these are tables")

    def prepare(self, inputs: Inputs) -> torch.Tensor:
        """Turn rows into float32[n, d], one column for each of theirs.

        Raises:
            DataError: where these are no rows of a table, or of one with other columns.
        """
        columns = self.columns_of(inputs)
        rows = arranged(inputs, columns)
        prepared = np.empty((len(rows), len(columns)), dtype=np.float32)
        for i, column in enumerate(columns):
            if column.kind == "category":
                known = CategoryNumbers(column.name, self.salt, self.buckets)
                prepared[:, i] = [known[text] for text in texts_of(rows, column.name)]
            else:
                prepared[:, i] = scaled(rows[column.name])
        return torch.from_numpy(prepared)

    def augment(
        self, batch: torch.Tensor, rng: torch.Generator, mirrored: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Hide each value of float32[b, d] with probability `dropout`."""
        if not self.dropout:
            return batch
        drawn = torch.rand(batch.shape, generator=rng, device=batch.device)
        return batch.masked_fill(drawn < self.dropout, MISSING)

    def shrink(self, batch: torch.Tensor, share: float) -> torch.Tensor:
        """Give the batch as it is: a row has no resolution."""
        return batch

    def distort(self, batch: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        """Hide three tenths of the values of each row, at least one of those that are there.

        Bahri et al., SCARF, ICLR 2022, put values of other rows in their place, which would be
        values of suspects.
        """
        return damage.hide_some(batch, rng)

    @property
    def corruptions(self) -> tuple[str, ...]:
        """The kinds of damage that `corrupt` knows; "strange" where columns hold categories."""
        return ("missing", "noise", *(("strange",) if self.categorical else ()))

    def corrupt(
        self, batch: torch.Tensor, kind: str, severity: int, rng: torch.Generator
    ) -> torch.Tensor:
        """Damage a tenth of the columns of float32[b, d] for each degree of severity.

        "missing" hides values, "noise" moves numbers by a tenth of their size, and "strange" puts a
        category that never occurs in the place of categories.
        """
        if kind not in self.corruptions or severity not in range(6):
            raise MethodError(
                f"expected one of {', '.join(self.corruptions)} and a severity from 0 to 5; found "
                f"{kind!r} and {severity}"
            )
        return damage.corrupt(batch, kind, severity / 10, self.categorical, self.buckets, rng)

    def mix(self, batch: torch.Tensor, others: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        """Take one half of the columns, drawn at random, from the others: values stay valid."""
        order = torch.randperm(batch.shape[1], generator=rng, device=rng.device).to(batch.device)
        mixed = batch.clone()
        taken = order[: batch.shape[1] // 2]
        mixed[:, taken] = others[:, taken]
        return mixed

    def surface(self, prepared: torch.Tensor) -> Surface:
        """Give the range of the prepared numbers, where all are numbers and none is missing.

        Raises:
            CannotJudge: where some hold categories, or may hold some, or values are missing.
        """
        missing = bool((prepared <= MISSING).any())
        if not self.columns or self.categorical or missing or not prepared.numel():
            why = "some values are missing" if missing else "some columns may hold categories"
            raise CannotJudge(
                f"{why}, which gradients cannot move by a little; use a scanner or a guard that "
                "only asks the model"
            )
        form = tuple(prepared.shape[1:])
        return Surface(float(prepared.min()), float(prepared.max()), form, form)

    @property
    def networks(self) -> tuple[str, ...]:
        """The names of our own networks of tables."""
        from mithridate.domains.table.networks import NETWORKS

        return tuple(NETWORKS)

    def network(self, data: Dataset, name: str, rng: np.random.Generator) -> nn.Module:
        """Build one of the networks of tables; "" is the perceptron.

        The scale of its numbers is fitted on the data; a network that is read from a file has kept
        its own.
        """
        columns, prepared = self.columns_of(data.inputs), self.prepare(data.inputs)
        categories = torch.tensor([column.kind == "category" for column in columns])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(torch_generator(rng).initial_seed())
            return build(name or "mlp", prepared, categories, self.buckets, len(data.classes))

    def difference(self, before: Inputs, after: Inputs) -> dict[str, torch.Tensor]:
        """Measure how far rows were changed: columns, distance and range, float64[n]."""
        return difference(before, after)

    def signature(self, inputs: Inputs) -> NDArray[np.float64]:
        """Give points that rows with equal values share; see `copies.py`."""
        from mithridate.domains.table.copies import signature

        return signature(inputs)

    def alike(self, first: Inputs, second: Inputs) -> torch.Tensor:
        """Say which pairs of rows have the same value in every column."""
        from mithridate.domains.table.copies import alike

        return alike(first, second)

    def simple_features(self, inputs: Inputs, selected: Selected) -> Iterator[Carried]:
        """List values, where they lie roughly, and pairs of values; see `features.py`."""
        from mithridate.domains.table.features import simple_features

        return simple_features(inputs, selected)

    def name_feature(self, inputs: Inputs, key: int) -> str:
        """Say which feature of rows has a key, by rows that carry it."""
        from mithridate.domains.table.features import name_feature

        return name_feature(inputs, key)

    def details(self, inputs: Inputs) -> torch.Tensor:
        """Raise CannotJudge: columns have no neighbours."""
        raise CannotJudge(
            "the columns of a table have no order, so a value has no neighbours; use a detector of "
            "simple features"
        )

    def properties(self, inputs: Inputs) -> dict[str, torch.Tensor]:
        """Measure how rows were written down; see `properties.py`."""
        from mithridate.domains.table.properties import properties

        return properties(inputs)


DOMAIN = TableDomain
"""What the registry of domains builds."""
