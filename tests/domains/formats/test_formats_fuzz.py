"""Five hundred damaged, mislabelled and hostile inputs: each ends in a source or a clear error."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from domains.formats.made import (
    encoded,
    image_table,
    make_arrow,
    make_delimited,
    make_jsonl,
    make_npz,
    make_parquet,
    make_tar,
    make_tree,
    make_zip,
    pixels,
    shard_files,
    text_table,
    tree_files,
)
from mithridate.core.errors import MithridateError
from mithridate.core.streams import stream
from mithridate.domains.formats import Limits, Source, read

CASES, GROUPS = 500, 10
LIMITS = Limits(pixels=10**6, file=10**6, text=1000, rows=1000, total=10**8)
SUFFIXES = (
    ".parquet",
    ".arrow",
    ".feather",
    ".npz",
    ".csv",
    ".tsv",
    ".jsonl",
    ".png",
    ".txt",
    ".zip",
    ".tar",
    "",
)
NAMES = ("a\nb", "<img src=x onerror=alert(1)>", "ü✓", "\u202eevil", "-rf", "a" * 200, " ",
         "%00", "'\"", "train", "test", "data", ".hidden", "CON", "$(id)",
         os.fsdecode(b"\xff\xfe"))  # fmt: skip
MAKERS = {
    "a.parquet": lambda p: make_parquet(p),
    "b.parquet": lambda p: make_parquet(p, text_table(), compression="none"),
    "c.parquet": lambda p: make_parquet(p, image_table(named=False), row_group_size=2),
    "a.arrow": lambda p: make_arrow(p, stream=True),
    "b.arrow": lambda p: make_arrow(p, text_table()),
    "c.feather": lambda p: make_arrow(p, text_table().slice(1)),
    "a.npz": lambda p: make_npz(p),
    "b.npz": lambda p: make_npz(p, x=pixels(1, (6, 4, 4)) / 255, y=[0, 1, 1, 0, 1, 0]),
    "a.csv": lambda p: make_delimited(p),
    "a.tsv": lambda p: make_delimited(p),
    "a.jsonl": lambda p: make_jsonl(p),
    "a.zip": lambda p: make_zip(p, tree_files()),
    "a.tar": lambda p: make_tar(p, tree_files()),
    "b.tar": lambda p: make_tar(p, shard_files()),
    "a.tgz": lambda p: make_tar(p, tree_files()),
}
KINDS = ("PNG", "JPEG", "WEBP", "BMP", "GIF")


def damage(data: bytes, rng: np.random.Generator) -> bytes:
    """Damage some bytes in one of eight ways."""
    size = max(1, len(data))
    at, length = int(rng.integers(size)), int(rng.integers(1, 40))
    ways = [
        lambda: data[:at],
        lambda: data[at:],
        lambda: flipped(data, rng),
        lambda: data[:at] + rng.bytes(length) + data[at + length :],
        lambda: data[:at] + bytes(length) + data[at + length :],
        lambda: data[:at] + b"\xff" * length + data[at:],
        lambda: data + data,
        lambda: rng.bytes(length * 10),
        lambda: b"",
    ]
    return ways[int(rng.integers(len(ways)))]()


def flipped(data: bytes, rng: np.random.Generator) -> bytes:
    """Flip up to eight bits."""
    changed = bytearray(data)
    for at in rng.integers(len(changed), size=int(rng.integers(1, 9))) if changed else ():
        changed[at] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def file_case(folder: Path, rng: np.random.Generator) -> Path:
    """A damaged file, sometimes under another suffix, sometimes in a folder with others."""
    name = str(rng.choice(list(MAKERS)))
    path = MAKERS[name](folder / name)
    if rng.random() < 0.85:
        path.write_bytes(damage(path.read_bytes(), rng))
    if rng.random() < 0.2:
        path = path.rename(path.with_suffix(str(rng.choice(SUFFIXES))))
    if rng.random() < 0.3:
        path = path.rename(folder / (NAMES[int(rng.integers(len(NAMES)))] + path.suffix))
    if rng.random() < 0.3:
        other = str(rng.choice(list(MAKERS)))
        MAKERS[other](folder / other)
        return folder
    return path


def tree_case(folder: Path, rng: np.random.Generator) -> Path:
    """A tree with up to five things wrong."""
    root = make_tree(folder / "tree")
    for _ in range(int(rng.integers(6))):
        inside = [path for path in root.rglob("*") if path.is_file() and not path.is_symlink()]
        path = inside[int(rng.integers(len(inside)))]
        odd = path.with_name(NAMES[int(rng.integers(len(NAMES)))] + path.suffix)
        image = pixels(int(rng.integers(99)), (6, 5, 3))
        data = encoded(image, str(rng.choice(KINDS)))
        wrongs = [
            lambda path=path: path.write_bytes(damage(path.read_bytes(), rng)),
            lambda path=path, data=data: path.write_bytes(damage(data, rng)),
            lambda path=path, data=data: path.write_bytes(data),
            lambda path=path, odd=odd: path.rename(odd),
            lambda odd=odd: (root / odd.stem).mkdir(exist_ok=True),
            lambda odd=odd: (root / "deep" / "er" / odd.stem / "down").mkdir(parents=True),
            lambda path=path: path.with_suffix(".link.png").symlink_to(
                rng.choice(["/etc/passwd", "0.png", "gone", ".", "../..", "x.link.png"])
            ),
            lambda path=path: os.mkfifo(path.with_suffix(".pipe.png")),
            lambda odd=odd: (root / odd.name).write_bytes(rng.bytes(20)),
            lambda odd=odd, image=image: odd.write_bytes(encoded(image[:4])),
            lambda: (root / "metadata.csv").write_bytes(
                damage(b"file_name,label\ncat/0.png,1\ndog/0.png,0\n", rng)
            ),
        ]
        try:
            wrongs[int(rng.integers(len(wrongs)))]()
        except FileExistsError:
            continue  # the same thing is wrong twice
    return root


def value_case(folder: Path, rng: np.random.Generator) -> Path:
    """Whole files with strange values in them."""
    values = [None, True, -1, 0, 1, 2.5, 1e300, 2**70, "", " ", "0", "1e5", "nan", "-inf", "a\0b",
              "\ud800", "x" * 2000, [], [[]], {}, {"a": 1}, "\u0661", "\uff11", "0x1", "1_000",
              "\u2028"]  # fmt: skip
    rows = []
    for row in range(int(rng.integers(6))):
        pick = [values[int(i)] for i in rng.integers(len(values), size=2)]
        keys = ["text", "label"] if rng.random() < 0.9 else ["text", "other"]
        rows.append(dict(zip(keys, pick, strict=True)) if rng.random() < 0.7 else
                    {"text": f"fine {row}", "label": row % 2})  # fmt: skip
    if rng.random() < 0.5:
        return make_jsonl(
            folder / "a.jsonl", [*rows, pick] if rows and rng.random() < 0.1 else rows
        )
    cells = [[str(row.get(key, "")) for key in ("text", "label")] for row in rows]
    path = folder / f"a.{rng.choice(['csv', 'tsv'])}"
    text = "\n".join(
        "\t,"[path.suffix == ".csv"].join(each) for each in [["text", "label"], *cells]
    )
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    return path


@pytest.mark.parametrize("group", range(GROUPS))
def test_whatever_is_read_ends_in_a_source_or_a_clear_error(tmp_path, group):
    ends = {Source: 0, MithridateError: 0}
    for case in range(group, CASES, GROUPS):
        rng = stream(case, "fuzz")
        folder = tmp_path / str(case)
        folder.mkdir()
        path = (file_case, tree_case, value_case, file_case)[case % 4](folder, rng)
        options = {
            "keep_going": bool(rng.random() < 0.5),
            "size": int(rng.integers(4, 9)) if rng.random() < 0.3 else None,
            "domain": str(rng.choice(["auto", "auto", "image", "text"])),
        }
        try:
            source = read(path, limits=LIMITS, **options)
        except MithridateError as error:
            str(error).encode()
            assert "found" in str(error) or "cannot be read" in str(error), str(error)
            ends[MithridateError] += 1
        else:
            assert len(source.names) == len(source.data) > 1
            json.dumps([source.names, source.data.classes, source.notes, source.skipped]).encode()
            ends[Source] += 1
    assert min(ends.values()) > 0, "a fuzz test must see both ends"
