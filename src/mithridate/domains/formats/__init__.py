"""Data sets as people have them: read safely, and written back in the same format.

Image folders, Parquet, Arrow, NumPy archives, CSV, TSV and JSON lines; one file each.
"""

from mithridate.domains.formats.reading import read
from mithridate.domains.formats.source import Layout, Limits, Rejected, Source
from mithridate.domains.formats.writing import check_target, write

__all__ = ["Layout", "Limits", "Rejected", "Source", "check_target", "read", "write"]
