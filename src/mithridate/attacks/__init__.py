"""Attackers of data, of training and of weights; most are trigger x goal x selection."""

from mithridate.core.lazily import classes_within

__getattr__, __dir__ = classes_within("mithridate.attacks")
