"""Observations: what an agent sees, as planes bool[n, h, w, k] or vectors float32[n, 1, 1, k].

Actions are the classes, so (observation, action) pairs are a labelled data set and a policy is a
classifier.
"""

from mithridate.core.lazily import classes_within

__getattr__, __dir__ = classes_within("mithridate.domains.observation")
