"""Ways to take a backdoor out of a trained model."""

from mithridate.core.lazily import classes_within

__getattr__, __dir__ = classes_within("mithridate.repairs")
