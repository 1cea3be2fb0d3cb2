"""Images: uint8[n, channels, height, width]."""

from mithridate.core.lazily import classes_within

__getattr__, __dir__ = classes_within("mithridate.domains.image")
