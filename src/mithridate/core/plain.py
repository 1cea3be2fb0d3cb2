"""Values as strict JSON holds them."""

from __future__ import annotations

import math
from typing import Any


def finite(value: Any) -> Any:
    """Put None for numbers that are not finite, in whatever holds them; the rest stays as it is."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {name: finite(inside) for name, inside in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inside) for inside in value]
    return value


def plain(value: Any) -> Any:
    """Turn a configuration into what strict JSON can hold; what it cannot, into its repr."""
    if isinstance(value, dict):
        return {str(name): plain(inside) for name, inside in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inside) for inside in value]
    held = value is None or isinstance(value, str | int | float)
    return finite(value) if held else repr(value)
