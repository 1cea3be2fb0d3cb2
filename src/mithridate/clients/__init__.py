"""Clients of a federation: attackers among them, and what all are asked to do."""

from mithridate.core.lazily import classes_within

__getattr__, __dir__ = classes_within("mithridate.clients")
