"""Configurations as plain values."""

from __future__ import annotations

import math
from typing import Any


def plain(value: Any) -> Any:
    """Turn a configuration into what strict JSON can hold; what it cannot, into its repr."""
    if isinstance(value, dict):
        return {str(key): plain(inside) for key, inside in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inside) for inside in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, str | int) else repr(value)
