"""What the name of a network says of where it is defined."""

from __future__ import annotations

LIBRARIES = ("timm", "huggingface", "python")
"""Where else a network may be defined: what stands before the colon of its name."""


def is_elsewhere(name: str) -> bool:
    """Whether a name says where else a network is defined."""
    return name.partition(":")[0] in LIBRARIES
