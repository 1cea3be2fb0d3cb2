"""The page about data files: every layout that it shows is read."""

import re
from pathlib import Path

import pytest

from domains.formats.made import encoded, make_folder, make_tar, make_zip, pixels
from mithridate.domains.formats import read

PAGE = Path(__file__).parents[3] / "docs/data_files.md"
NOT_SHOWN = (".parquet", ".npz", ".hdf5")
"""Files of which the page shows the name only."""


def examples():
    """The examples of the page: a path to read, and the files that it holds, by name."""
    table = PAGE.read_text("utf-8").partition("## Layouts")[2].partition("\n## ")[0]
    rows = [line.strip("|").split(" | ") for line in table.splitlines() if line.startswith("| ")]
    for cells in rows[1:]:
        archive, _, inside = cells[-1].rpartition(" holds ")
        files = {}
        for piece in re.findall(r"`([^`]+)`", inside):
            if re.fullmatch(r"[^ ,]+\.\w+", piece):
                files[piece] = ""
            else:  # a line of the file before
                name = list(files)[-1]
                files[name] = f"{files[name]}\n{piece}".lstrip()
        first = archive.strip(" `") or next(iter(files))
        yield pytest.param(first, files if not first.endswith(NOT_SHOWN) else {}, id=first)


def made(files):
    """Fill files: with the lines that the page shows, or with a picture."""
    return {
        name: lines.encode() if lines else encoded(pixels(number))
        for number, (name, lines) in enumerate(files.items())
    }


@pytest.mark.parametrize(("first", "files"), list(examples()))
def test_every_layout_of_the_page_is_read(tmp_path, first, files):
    if not files:
        pytest.skip("the page shows its name only")
    files = made(files)
    if first.endswith((".zip", ".tar")):
        (tmp_path / first).parent.mkdir(exist_ok=True)
        path = (make_zip if first.endswith(".zip") else make_tar)(tmp_path / first, files)
    else:
        make_folder(tmp_path, files)
        path = tmp_path / first.partition("/")[0]
    source = read(path)
    assert len(source.data) == 2 and len(source.data.classes) == 2


def test_the_page_shows_all_of_them():
    assert len(list(examples())) >= 11
