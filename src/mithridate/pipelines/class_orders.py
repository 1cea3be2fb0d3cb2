"""The orders in which programs put the names of classes, any of which a network may have learnt.

Folders and tables name classes; a network only numbers them. Who trained it put them in some order,
and who reads them here may put them in another. Axes: n examples, c classes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from mithridate.core.errors import MethodError
from mithridate.core.spelling import option
from mithridate.stats.confusion import Counts

DIGITS = re.compile(r"(\d+)", re.ASCII)
LONGEST = 400
"""Characters of a list of names in a sentence."""


def usual_orders(classes: Sequence[str], labels: Counts) -> dict[str, Counts]:
    """Give the orders of classes that are usual, apart from the given one, each with its name.

    Args:
        classes: The c names, in the given order.
        labels: int64[n], the labels of examples in the order in which they were read.

    Returns:
        int64[c] for each, the place in `classes` of the class that each output stands for.
    """
    places = range(len(classes))
    first = np.unique(labels, return_index=True)
    seen = first[0][np.argsort(first[1])].tolist()
    orders = {
        "by the numbers in their names": sorted(places, key=lambda k: natural(classes[k])),
        "in alphabetical order": sorted(places, key=lambda k: classes[k]),
        "in alphabetical order whatever their capitals": sorted(
            places, key=lambda k: (classes[k].casefold(), classes[k])
        ),
        "in reverse": list(reversed(places)),
        "as they first come up in the examples": seen + [k for k in places if k not in set(seen)],
    }
    distinct = _distinct(orders, list(places))
    return {name: np.array(order, dtype=np.int64) for name, order in distinct.items()}


def _distinct(orders: dict[str, list[int]], given: list[int]) -> dict[str, list[int]]:
    """Leave out the given order, and any that came before under another name."""
    distinct: dict[str, list[int]] = {}
    for name, order in orders.items():
        if order != given and order not in distinct.values():
            distinct[name] = order
    return distinct


def natural(name: str) -> tuple[tuple[int, int, str], ...]:
    """Give a key that sorts names with their numbers as numbers: "2" and "c2" before "10", "c10".

    A minus before a number that begins the name belongs to it.
    """
    if re.fullmatch(r"\s*-\d{1,18}\s*", name, re.ASCII):
        return ((0, int(name), ""),)
    parts = [part for part in DIGITS.split(name.strip().casefold()) if part]
    return tuple(
        (0, int(part), "") if DIGITS.fullmatch(part) and len(part) <= 18 else (1, 0, part)
        for part in parts
    )


def listed(classes: Sequence[str], order: Counts) -> str:
    """Write out an order of classes with commas, or "" where that cannot be read back or is long.

    Args:
        classes: The c names.
        order: int64[c], the place in `classes` of the class of each output.

    """
    names = [classes[k] for k in order.tolist()]
    told = ",".join(names)
    plain = all(re.fullmatch(r"[\w.+-]+", name) for name in names)
    return told if plain and len(told) <= LONGEST else ""


def classes_in_order(given: Sequence[str], there: Sequence[str]) -> tuple[str, ...]:
    """Check an order of classes that somebody gives against the classes of the examples.

    Args:
        given: Names in the order of the network's outputs; there may be more than the examples
            have, since not every class need have one.
        there: The names of the classes of the examples.

    Raises:
        MethodError: Where a name is missing, empty or named twice.

    """
    names = tuple(given)
    twice = sorted({name for name in names if names.count(name) > 1})
    missing = [name for name in there if name not in set(names)]
    if twice or missing or "" in names:
        wrong = f"{twice[:5]} twice" if twice else f"{missing[:5]} missing"
        raise MethodError(
            f"{option('classes')} gives every class once, in the order of the network's outputs; "
            f"found {len(names)} names, {wrong if twice or missing else 'one of them empty'}; the "
            f"examples have the classes {list(there)[:10]}"
        )
    return names
