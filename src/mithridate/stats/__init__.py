"""Intervals, ranking metrics and tests, and the linear algebra that detectors share."""
