"""Rules by which a server makes one step of what clients send."""

from mithridate.core.lazily import classes_within

__getattr__, __dir__ = classes_within("mithridate.aggregators")
