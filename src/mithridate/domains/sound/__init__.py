"""Sounds: int16[n, samples], mono and of one rate; log-mel spectrograms in the network."""

from mithridate.core.lazily import classes_within

__getattr__, __dir__ = classes_within("mithridate.domains.sound")
