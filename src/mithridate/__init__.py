"""Mithridate: backdoor attacks and defences whose numbers can be believed."""

__version__ = "0.1.0"
