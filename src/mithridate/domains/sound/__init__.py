"""Sounds: clips of one rate and length, mono, as 16-bit samples.

A network hears log-mel spectrograms, which it makes of them itself.
"""
