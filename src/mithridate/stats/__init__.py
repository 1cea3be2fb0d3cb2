"""Intervals, ranking metrics, tests and robust estimators."""
