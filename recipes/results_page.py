"""Put the tables of the records into the pages under docs, between their markers.

python recipes/results_page.py            # write
python recipes/results_page.py --check    # fail where a page is not what the records say
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGES = ROOT / "docs" / "results"
MARKED = re.compile(r"(<!-- table: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)


def filled(page: str) -> str:
    """Give the page with every marked table as it is in results/NAME/table.md or NAME.md."""

    def table(found: re.Match[str]) -> str:
        home = ROOT / "results" / found[2]
        text = (home / "table.md" if home.is_dir() else home.with_suffix(".md")).read_text()
        return f"{found[1]}\n{text}\n{found[3]}"

    return MARKED.sub(table, page)


def main() -> int:
    """Write the pages, or name those that are not up to date."""
    stale = 0
    for path in sorted([*PAGES.glob("*.md"), *PAGES.parent.glob("*.md")]):
        page = path.read_text()
        if filled(page) == page:
            continue
        if "--check" in sys.argv:
            print(f"{path.relative_to(ROOT)} is out of date: make docs")
            stale = 1
        else:
            path.write_text(filled(page))
    return stale


if __name__ == "__main__":
    sys.exit(main())
