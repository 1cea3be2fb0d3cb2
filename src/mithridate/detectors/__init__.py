"""Judges of samples and inputs; a file whose name begins with _ serves several and is no method."""
