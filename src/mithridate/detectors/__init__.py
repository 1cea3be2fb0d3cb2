"""Judges of samples and inputs; a file whose name begins with _ serves several and is no method."""

from mithridate.core.lazily import classes_within

__getattr__, __dir__ = classes_within("mithridate.detectors")
