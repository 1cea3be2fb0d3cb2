"""What the exit status says."""

CLEAN = 0
FLAGGED = 1
ERROR = 2
CANNOT_JUDGE = 3
STOPPED = 130
"""By Ctrl-C, as shells count."""

OF = {"clean": CLEAN, "flagged": FLAGGED, "cannot judge": CANNOT_JUDGE}
"""By the answer of a verdict."""
