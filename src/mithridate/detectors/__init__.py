"""Judges of samples and inputs."""
