"""Files of boosted trees, LightGBM's and XGBoost's: opened as data, and fitted to a user's columns.

Both libraries read arrays and Arrow tables by position without a word, whatever their columns are
called, and answer a category that they do not know as another one or as missing. Here a file says
what its columns are called and which categories it knows, the columns of the data are found by
name, and every difference is said or refused before anything is asked.
Axes: n examples, d columns, u thresholds or categories of a column.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mithridate.core.boosted import IN_SET, BoostedFile, Tree
from mithridate.core.data import Inputs
from mithridate.core.domain import Domain
from mithridate.core.errors import DataError
from mithridate.core.forest import Forest
from mithridate.core.spelling import option


def fitted(
    file: BoostedFile, domain: Domain, like: Inputs, classes: int, columns: Sequence[str] = ()
) -> Forest:
    """Let the trees of a file read prepared inputs: columns by name, thresholds as they arrive.

    A domain prepares a column on its own and without changing an order, so x <= t says the same of
    what x and t become. What differs and does no harm is said in `doubts` of the trees.

    Args:
        file: Its trees.
        domain: Prepares inputs.
        like: Some raw inputs, a structured array with a field for each column.
        classes: How many classes the data have.
        columns: The names of the columns of the file in its order, where a user says them; "data"
            alone says that they are those of the data in their order.

    Raises:
        DataError: where columns, their kinds, or classes are not those of the data.
    """
    there = names_of(like, domain)
    if file.classes != classes:
        raise DataError(f"the trees tell {file.classes} classes apart, and the data {classes}")
    names = _names(file, there, tuple(columns))
    kinds = {column: _check_kind(file, column, names[column], like) for column in _asked(file)}
    scales = {
        column: Scale.of(file, column, names[column], domain, like, is_set)
        for column, is_set in kinds.items()
    }
    trees = tuple(_moved(tree, scales) for tree in file.trees)
    model = Forest.of(replace(file, trees=trees))
    edges = _edges(domain, like)
    model.zero, model.missing = edges["zero"], edges["missing"]
    extra = [name for name in there if name not in names]
    doubts = [each.doubt for each in scales.values() if each.doubt]
    if extra:
        doubts.append(f"the trees were not given {len(extra)} columns of the data: {_few(extra)}")
    model.doubts = tuple(doubts)
    return model


def names_of(inputs: Inputs, domain: Domain) -> tuple[str, ...]:
    """Give the names of columns in the order in which they are prepared.

    Raises:
        DataError: where they have none.
    """
    told = tuple(each.name for each in getattr(domain, "columns", ()))
    names = told or getattr(getattr(inputs, "dtype", None), "names", None)
    if not names:
        raise DataError("boosted trees read rows with named columns; these inputs have none")
    return tuple(names)


def _names(file: BoostedFile, there: tuple[str, ...], given: tuple[str, ...]) -> tuple[str, ...]:
    """Settle what the columns of the file are called: as it says, or else as the user does."""
    flag = option("tree_columns", "NAME,NAME")
    count = len(file.columns) or 1 + max(_asked(file), default=0)
    if file.columns and given and given != file.columns:
        told = _few(file.columns)
        raise DataError(f"the file names its columns {told}; leave {option('tree_columns')} out")
    names = there if given == ("data",) else file.columns or given
    if not names:
        raise DataError(
            f"the file does not say what its columns are called, and {file.writer} reads them by "
            f"position; name them in their order with {flag}, or say "
            f"{option('tree_columns', 'data')} if they are those of the data in their order: "
            f"{_few(there)}"
        )
    lacking = [names[c] for c in _asked(file) if c < len(names) and names[c] not in there]
    if len(names) < count or lacking:
        what = f"lack {_few(lacking)}" if lacking else f"are {len(names)}"
        raise DataError(f"the trees read {count} columns, and those of the data {what}")
    return names


def _asked(file: BoostedFile) -> list[int]:
    """The numbers of the columns that some split reads."""
    return sorted({int(column) for tree in file.trees for column in tree.column})


def _check_kind(file: BoostedFile, column: int, name: str, like: Inputs) -> bool:
    """Say whether a column is categorical to the trees, and refuse another kind in the data."""
    strings = like.dtype[name] == np.dtype(object)
    if column not in file.sets:
        if strings:
            raise DataError(
                f"the column {name!r} is of numbers to the trees, and of categories in the data"
            )
        return False
    categories = file.sets[column]
    if categories is None and strings:
        raise DataError(
            f"the file knows the categories of {name!r} by number and does not say which is which"
        )
    told = all(isinstance(each, str) for each in categories or ())
    if categories is not None and told != strings:
        kinds = ("strings", "numbers") if told else ("numbers", "strings")
        raise DataError(
            f"the categories of {name!r} are {kinds[0]} to the trees, such as {categories[0]!r}, "
            f"and {kinds[1]} in the data: {file.writer} would take every one for missing"
        )
    return True


@dataclass(frozen=True, eq=False)
class Scale:
    """A column as the trees count it and as it is prepared.

    Attributes:
        place: of the column among those of the data.
        known: float64[u], thresholds or codes of the file, in their order.
        arrive: float64[u], as what they are prepared.
        doubt: What is to be said of the column, "" for nothing.
    """

    place: int
    known: NDArray[np.float64]
    arrive: NDArray[np.float64]
    doubt: str = ""

    @classmethod
    def of(
        cls, file: BoostedFile, column: int, name: str, domain: Domain, like: Inputs, is_set: bool
    ) -> Scale:
        """Ask a domain as what the thresholds, or the categories, of a column arrive."""
        place = names_of(like, domain).index(name)
        pairs = [(tree.column == column, tree) for tree in file.trees]
        if not is_set:
            known = np.unique(np.concatenate([tree.threshold[here] for here, tree in pairs]))
            return cls(place, known, _thresholds(known, name, place, domain, like))
        codes = [tree.codes[s] for here, tree in pairs for s in np.flatnonzero(here)]
        known = np.unique(np.concatenate([*codes, np.zeros(0)]))
        categories = file.sets[column]
        if categories is None:
            return cls(place, known, prepared(list(known), name, place, domain, like))
        if len(known) and known[-1] >= len(categories):
            raise DataError(f"the trees ask for categories of {name!r} that the file does not name")
        arrive = prepared([categories[int(c)] for c in known], name, place, domain, like)
        every = prepared(list(categories), name, place, domain, like)
        alike = len(categories) - len(np.unique(every))
        doubt = f"{alike} of {len(categories)} categories of {name!r} are prepared as another one"
        return cls(place, known, arrive, doubt if alike else "")

    def moved(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give what thresholds or codes of the file are prepared as."""
        return self.arrive[np.searchsorted(self.known, values)]


def _thresholds(
    known: NDArray[np.float64], name: str, place: int, domain: Domain, like: Inputs
) -> NDArray[np.float64]:
    """Give as what thresholds arrive; endless ones stay."""
    finite = np.isfinite(known)
    arrive = known.copy()
    arrive[finite] = prepared(list(known[finite]), name, place, domain, like)
    if (np.diff(arrive) < 0).any():
        raise DataError(f"the domain changes the order of numbers in {name!r}, so no tree fits")
    return arrive


def prepared(
    values: Sequence[Any], name: str, place: int, domain: Domain, like: Inputs
) -> NDArray[np.float64]:
    """Prepare rows that differ in one column only, and give that column, float64[u].

    Whole numbers that a threshold lies between are cut down to the lower one.
    """
    if not len(values):
        return np.zeros(0)
    rows = np.repeat(like[:1], len(values))
    kind = like.dtype[name]
    if np.issubdtype(kind, np.integer):
        bounds = np.iinfo(kind)
        cut = np.floor(np.asarray(values, np.float64))
        rows[name] = [int(min(max(v, bounds.min), bounds.max)) for v in cut.tolist()]
    else:
        rows[name] = values
    return domain.prepare(rows)[:, place].double().numpy()


def _moved(tree: Tree, scales: Mapping[int, Scale]) -> Tree:
    """Let one tree read prepared inputs."""
    threshold, column = tree.threshold.copy(), tree.column.copy()
    codes = list(tree.codes)
    for split, asked in enumerate(tree.column):
        scale = scales[int(asked)]
        column[split] = scale.place
        if tree.kind[split] == IN_SET:
            codes[split] = np.unique(scale.moved(codes[split]))
        else:
            threshold[split] = scale.moved(threshold[split : split + 1])[0]
    return replace(tree, column=column, threshold=threshold, codes=tuple(codes))


def _edges(domain: Domain, like: Inputs) -> dict[str, torch.Tensor]:
    """Give as what zeros and missing values arrive in each column, float32[d]; NaN as itself."""
    rows, names = np.repeat(like[:1], 2), names_of(like, domain)
    whole = [like.dtype[name].kind in "iu" for name in names]
    for name, never in zip(names, whole, strict=True):
        strings = like.dtype[name] == np.dtype(object)
        rows[name] = ["", ""] if strings else [0, 0 if never else np.nan]
    made = domain.prepare(rows).float()
    missing = made[1].masked_fill(torch.tensor(whole), torch.nan)
    return {"zero": made[0], "missing": missing}


def _few(names: Sequence[str], most: int = 5) -> str:
    told = ", ".join(repr(str(name)[:60]) for name in names[:most])
    return f"{told} and {len(names) - most} more" if len(names) > most else told
