"""Texts: object[n] of str."""

from mithridate.core.lazily import classes_within

__getattr__, __dir__ = classes_within("mithridate.domains.text")
