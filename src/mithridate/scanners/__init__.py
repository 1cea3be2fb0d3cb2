"""Judges of models and of their classes."""
