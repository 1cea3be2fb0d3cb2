"""Compositions of methods."""
