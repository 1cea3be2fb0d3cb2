"""Ways to train a network; each gives its objective to the one loop of `core/fit.py`."""

from mithridate.core.lazily import classes_within

__getattr__, __dir__ = classes_within("mithridate.trainers")
