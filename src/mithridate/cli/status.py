"""What the exit status says."""

CLEAN = 0
FLAGGED = 1
NOT_REPAIRED = 1
"""The backdoor may be there as before, since a repair cost too much or did too little."""
ERROR = 2
CANNOT_JUDGE = 3
STOPPED = 130
"""By Ctrl-C, as shells count."""

OF = {"clean": CLEAN, "flagged": FLAGGED, "cannot judge": CANNOT_JUDGE}
"""By the answer of a verdict."""
