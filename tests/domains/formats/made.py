"""Small data sets of every format, made for the tests of the readers."""

from __future__ import annotations

import csv
import io
import json
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

TEXTS = ["good film", "bad film, truly", 'a "quoted" one', "Ünïcode ✓", "<b>html</b>", "last one"]
LABELS = [0, 1, 0, 1, 1, 0]


def pixels(seed: int, shape: tuple[int, ...] = (6, 5, 3)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def encoded(image: np.ndarray | Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    picture.save(file, kind, **options)
    return file.getvalue()


def make_tree(folder: Path, per_class: int = 2, classes: tuple[str, ...] = ("cat", "dog")) -> Path:
    for number, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for i in range(per_class):
            (folder / name / f"{i}.png").write_bytes(encoded(pixels(10 * number + i)))
    return folder


def metadata(features: dict[str, object]) -> dict[bytes, bytes]:
    return {b"huggingface": json.dumps({"info": {"features": features}}).encode()}


def image_table(n: int = 6, named: bool = True) -> pa.Table:
    cells = [{"bytes": encoded(pixels(i)), "path": f"{i}.png"} for i in range(n)]
    labels = pa.array([i % 2 for i in range(n)], pa.int64())
    table = pa.table({"image": cells, "label": labels, "track": [i // 2 for i in range(n)]})
    if not named:
        return table
    names = {"_type": "ClassLabel", "names": ["no", "yes"]}
    return table.replace_schema_metadata(metadata({"image": {"_type": "Image"}, "label": names}))


def text_table() -> pa.Table:
    return pa.table({"text": TEXTS, "label": LABELS, "id": list("abcdef")})


def make_parquet(path: Path, table: pa.Table | None = None, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(image_table() if table is None else table, path, **options)
    return path


def make_arrow(path: Path, table: pa.Table | None = None, stream: bool = False) -> Path:
    table = image_table() if table is None else table
    new = pa.ipc.new_stream if stream else pa.ipc.new_file
    with path.open("wb") as file, new(file, table.schema) as out:
        out.write_table(table)
    return path


def make_npz(path: Path, **arrays: object) -> Path:
    if not arrays:
        arrays = {"images": pixels(0, (6, 5, 4, 3)), "labels": np.array(LABELS)}
    np.savez_compressed(path, **arrays)
    return path


def make_delimited(path: Path, rows: list[list[object]] | None = None) -> Path:
    rows = rows or [["id", "text", "label"], *zip(range(6), TEXTS, LABELS, strict=True)]
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter="\t" if path.suffix == ".tsv" else ",").writerows(rows)
    return path


def make_jsonl(path: Path, rows: list[object] | None = None) -> Path:
    if rows is None:
        rows = [
            {"id": i, "text": t, "label": n}
            for i, t, n in zip(range(6), TEXTS, LABELS, strict=True)
        ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def tree_files(per_class: int = 2, classes: tuple[str, ...] = ("cat", "dog")) -> dict[str, bytes]:
    """The files of `make_tree`, by their names below the folder."""
    return {
        f"{name}/{i}.png": encoded(pixels(10 * number + i))
        for number, name in enumerate(classes)
        for i in range(per_class)
    }


def make_folder(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def make_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def make_tar(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w" if path.suffix == ".tar" else "w:gz") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def shard_files(n: int = 4, start: int = 0) -> dict[str, bytes]:
    """The files of a WebDataset shard."""
    files = {}
    for i in range(start, start + n):
        files[f"{i:04d}.png"] = encoded(pixels(i))
        files[f"{i:04d}.cls"] = str(i % 2).encode()
    return files
