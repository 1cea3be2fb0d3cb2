"""How a pipeline says what it does while it runs."""

from __future__ import annotations

from collections.abc import Callable

Announce = Callable[[str], None]
"""Is told what begins, in plain words."""
