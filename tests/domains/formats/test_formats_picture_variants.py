"""Pictures are read the same in whatever container, layout and format they come."""

import csv
import io
import itertools
import json
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from domains.formats.made import encoded, make_folder, make_tar, make_zip
from mithridate.domains.formats import read

CLASSES = ("cat", "dog")
CONTAINERS = ("folder", ".zip", ".tar", ".tar.gz", "folder in .zip", "folder in .tgz")
LAYOUTS = ("class folders", "metadata.csv", "metadata.jsonl", "metadata of class folders",
           "labels of class folders", "ids and images/", "semicolons", "zeros and ones", "split",
           "split folders", "cls", "json")  # fmt: skip
FORMATS = {
    "png": ("PNG", {}), "bmp": ("BMP", {}), "tif": ("TIFF", {}), "ppm": ("PPM", {}),
    "webp": ("WEBP", {"lossless": True}), "gif": ("GIF", {}), "jpg": ("JPEG", {"quality": 90}),
    "jfif": ("JPEG", {"quality": 90}),
}  # fmt: skip


def drawn(count, seed):
    """Grey pictures by name, which GIF can hold as well; their classes take turns."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, 6, 5), dtype=np.uint8)
    return {f"p{i}": (image, CLASSES[i % 2]) for i, image in enumerate(images)}


def rows_as(kind, header, rows):
    if kind == "jsonl":
        return "".join(json.dumps(dict(zip(header, row, strict=True))) + "\n" for row in rows)
    out = io.StringIO()
    writer = csv.writer(out, delimiter=";" if kind == "semicolons" else ",")
    writer.writerows([header, *rows])
    return out.getvalue()


def laid_out(layout, files, classes, end):
    """Lay pictures (bytes by name) out as a data set: bytes by name below the folder."""
    by_class = {f"{classes[n]}/{n}.{end}": data for n, data in files.items()}
    flat = {f"{n}.{end}": data for n, data in files.items()}
    pairs = [[f"{n}.{end}", classes[n]] for n in files]
    below = [[f"{classes[n]}/{n}.{end}", classes[n]] for n in files]
    hot = [[n, *(int(classes[n] == c) for c in CLASSES)] for n in files]
    if layout == "class folders":
        return by_class
    if layout == "split folders":
        return {f"train/{name}": data for name, data in by_class.items()} | {
            f"test/{name}": data for name, data in list(by_class.items())[:2]
        }
    if layout in ("cls", "json"):
        labels = {n: c if layout == "cls" else json.dumps({"label": c}) for n, c in classes.items()}
        return flat | {f"{n}.{layout}": label.encode() for n, label in labels.items()}
    pictures, name, kind, header, rows = {
        "metadata.csv": (flat, "metadata.csv", "csv", ["file_name", "label"], pairs),
        "metadata.jsonl": (flat, "metadata.jsonl", "jsonl", ["file_name", "label"], pairs),
        "metadata of class folders": (
            by_class, "metadata.csv", "csv", ["file_name", "note"],
            [[a, f"this is {a}"] for a, _ in below],
        ),
        "labels of class folders": (by_class, "metadata.csv", "csv", ["file_name", "label"], below),
        "ids and images/": (
            {f"images/{a}": b for a, b in flat.items()}, "train.csv", "csv", ["id", "diagnosis"],
            [[n, classes[n]] for n in files],
        ),
        "semicolons": (flat, "list.csv", "semicolons", ["image", "class"], pairs),
        "zeros and ones": (flat, "train.csv", "csv", ["image_id", *CLASSES], hot),
        "split": (
            flat, "all.csv", "csv", ["path", "label", "split"], [[*p, "train"] for p in pairs],
        ),
    }[layout]  # fmt: skip
    return pictures | {name: rows_as(kind, header, rows).encode()}


def contained(container, files, folder):
    if container == "folder":
        return make_folder(folder / "data", files)
    before = "data/" if container.startswith("folder in") else ""
    path = folder / f"data{container.rpartition(' ')[2]}"
    make = make_zip if path.suffix == ".zip" else make_tar
    return make(path, {before + name: data for name, data in files.items()})


def seen(source):
    """The class and the pixels of every picture, by its name without folder and suffix."""
    images = source.data.inputs.expand(-1, 3, -1, -1).numpy()
    labels = [source.data.classes[label] for label in source.data.labels.tolist()]
    return {
        Path(name).stem: (label, image.tobytes())
        for name, label, image in zip(source.names, labels, images, strict=True)
    }


VARIANTS = [
    each for each in itertools.product(CONTAINERS, LAYOUTS, FORMATS)
    if each[1] not in ("cls", "json") or each[0] in (".tar", ".tar.gz")
]  # fmt: skip


def test_there_are_many_variants():
    assert len(VARIANTS) > 400


@settings(max_examples=60, deadline=None, database=None)
@given(variant=st.sampled_from(VARIANTS), count=st.integers(4, 7), seed=st.integers(0, 99))
def test_every_variant_is_read_as_its_plain_form(variant, count, seed):
    container, layout, end = variant
    kind, options = FORMATS[end]
    pictures = drawn(count, seed)
    files = {name: encoded(image, kind, **options) for name, (image, _) in pictures.items()}
    classes = {name: label for name, (_, label) in pictures.items()}
    with tempfile.TemporaryDirectory() as place:
        path = contained(container, laid_out(layout, files, classes, end), Path(place))
        source = read(path)
        plain = {
            name: (classes[name], np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))
            for name, data in files.items()
        }
        assert seen(source) == {
            name: (label, image.transpose(2, 0, 1).tobytes())
            for name, (label, image) in plain.items()
        }
        assert source.data.classes == CLASSES
