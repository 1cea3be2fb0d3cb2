"""Attackers among the clients of a federation."""

from mithridate.core.lazily import classes_within

__getattr__, __dir__ = classes_within("mithridate.clients")
