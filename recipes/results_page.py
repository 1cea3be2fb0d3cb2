"""Put the tables of the records into docs/results.md, between its markers.

python recipes/results_page.py            # write
python recipes/results_page.py --check    # fail where the page is not what the records say
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "results.md"
MARKED = re.compile(r"(<!-- table: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)


def filled(page: str) -> str:
    """Give the page with every marked table as it is in results/NAME/table.md."""

    def table(found: re.Match[str]) -> str:
        text = (ROOT / "results" / found[2] / "table.md").read_text()
        return f"{found[1]}\n{text}\n{found[3]}"

    return MARKED.sub(table, page)


def main() -> int:
    """Write the page, or say whether it is up to date."""
    page = PAGE.read_text()
    if "--check" in sys.argv:
        return int(filled(page) != page)
    PAGE.write_text(filled(page))
    return 0


if __name__ == "__main__":
    sys.exit(main())
