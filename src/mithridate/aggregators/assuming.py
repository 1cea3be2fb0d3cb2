"""How many attackers a defender assumes where nobody knows the number."""

from __future__ import annotations

from mithridate.core.errors import MethodError


def assumed_among(assumed: int | None, default: int, most: int) -> int:
    """Give the number of attackers assumed in a round, bounded by what the round can bear.

    Args:
        assumed: the setting; None: the default.
        default: by the number of clients.
        most: what the round can bear at most.

    Raises:
        MethodError: where the setting is below 0.
    """
    return min(default if assumed is None else checked(assumed), max(most, 0))


def checked(assumed: int | None) -> int:
    """Give a setting as a number, 0 for None; raises MethodError where it is below 0."""
    if assumed is not None and assumed < 0:
        raise MethodError(f"assumed={assumed}: expected 0 attackers or more, or None")
    return assumed or 0
