"""Tables of numbers and categories: a structured array [n], one field for each column."""

from mithridate.core.lazily import classes_within

__getattr__, __dir__ = classes_within("mithridate.domains.table")
