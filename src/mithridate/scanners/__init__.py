"""Judges of models and of their classes."""

from mithridate.core.lazily import classes_within

__getattr__, __dir__ = classes_within("mithridate.scanners")
