"""NumPy archives: an array of images and an array of labels, never a pickle.

Axes: n images, k channels, h rows, w columns.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from mithridate.core.data import Dataset
from mithridate.core.errors import DataError
from mithridate.core.spelling import option, raised
from mithridate.domains.formats.archive import Array, load, members
from mithridate.domains.formats.columns import IMAGES, LABELS, name_columns
from mithridate.domains.formats.decoding import resize
from mithridate.domains.formats.images import seen
from mithridate.domains.formats.labels import Labels, resolve
from mithridate.domains.formats.source import UNLABELLED, Layout, Reading, Source
from mithridate.domains.formats.walk import name_path as path_shown
from mithridate.domains.formats.walk import unreadable

CLASSES = ("classes", "class_names", "label_names")
GROUPS = ("groups", "group", "track")
"""Numbers of examples that belong together, such as frames of one track: a copy keeps them."""
SPLITS = {"train": ("train",), "test": ("test",), "validation": ("validation", "valid", "val")}
CHUNK = 1024


@dataclass(frozen=True)
class Details:
    """What an archive needs besides the two arrays to be written again.

    Attributes:
        axes: "NHW", "NHWC" or "NCHW".
        named: whether it holds the class names, and under which name.
    """

    axes: str
    named: str = ""


def read(files: Sequence[Path], reading: Reading) -> Source:
    """Read one archive: images or x or data, labels or y, perhaps classes.

    Images are uint8, or whole numbers in 0..255, or floats in 0..1 (times 255, rounded), with the
    axes NHW, NHWC or NCHW. Arrays named like x_train or train_images are found by their split.
    """
    reading.expect("image", "npz")
    if len(files) != 1:
        raise DataError(
            f"{str(reading.root)!r}: expected one .npz file, found {len(files)}; "
            "give the path of one"
        )
    name = path_shown(files[0], reading.root)
    try:
        with zipfile.ZipFile(files[0]) as archive:
            return _read(archive, name, reading)
    except DataError:
        raise
    except PermissionError as error:
        raise unreadable(name, error) from None
    except MemoryError:
        raise DataError(
            f"{name!r}: expected arrays that fit in memory, found larger ones"
        ) from None
    except Exception as error:  # zip files and headers of hostile bytes raise anything
        raise DataError(
            f"{name!r}: expected an archive of numpy.savez, found a broken one ({error}); "
            "save it again"
        ) from None


def _read(archive: zipfile.ZipFile, name: str, reading: Reading) -> Source:
    arrays = members(archive, name, reading)
    split = _split(list(arrays), reading)
    content = _choose("content", reading.content, arrays, IMAGES, split, name)
    label = _label(arrays, split, name, reading)
    images, axes = _axes(load(archive, arrays[content], name), f"{name} {content}")
    reading.count(len(images), name)
    raw = np.full(len(images), UNLABELLED)
    if label:
        raw = _column(load(archive, arrays[label], name), len(images), f"{name} {label}")
    known = next((key for key in CLASSES if key in arrays), "")
    named = known and label
    classes = _class_names(load(archive, arrays[known], name), name) if named else None
    names = [f"{name} row {row}" for row in range(len(images))]
    labels = resolve(raw.tolist(), names, reading, classes)
    pixels, kept = _pixels(images, labels, names, reading)
    group = next((key for key in GROUPS if key in arrays), "")
    groups = load(archive, arrays[group], name) if group else None
    if groups is not None and (groups.shape != raw.shape or groups.dtype.kind not in "iu"):
        groups = None
    unused = set(arrays) - {content, label, known, group}
    if unused:
        reading.notes.append(f"Arrays that were not used: {name_columns(sorted(unused))}.")
    layout = Layout(
        file=Path(name).name, content=content, label=label, spelling=labels.spelling,
        rest=None if groups is None else {group: groups[kept]}, details=Details(axes, known),
    )  # fmt: skip
    return reading.finish(
        "npz", pixels, labels.index[kept], labels.classes, [names[row] for row in kept], layout
    )


def _split(arrays: list[str], reading: Reading) -> str:
    """Say which split to take where arrays are named like x_train; "" where they are not."""
    there = {s for s, words in SPLITS.items() for a in arrays for w in words
             if a.lower().startswith(f"{w}_") or a.lower().endswith(f"_{w}")}  # fmt: skip
    wanted = reading.split or ("train" if "train" in there else min(there, default=""))
    if there and wanted not in there:
        raise DataError(
            f"{str(reading.root)!r}: expected arrays of split {wanted!r}, found "
            f"{name_columns(sorted(there))}; choose one with {option('split')}"
        )
    if there:
        reading.notes.append(f"Split {wanted!r} was read, of {name_columns(sorted(there))}.")
    return wanted if there else ""


def _choose(
    role: str, asked: str | None, arrays: dict[str, zipfile.ZipInfo], usual: Sequence[str],
    split: str, name: str,
) -> str:  # fmt: skip
    words = SPLITS.get(split, ())
    wanted = [asked] if asked else [f"{u}_{w}" for w in words for u in usual]
    wanted += [] if asked else [f"{w}_{u}" for w in words for u in usual]
    wanted += [] if asked else usual
    for each in wanted:
        for array in arrays:
            if array == each or (not asked and array.lower() == each):
                return array
    what = repr(asked) if asked else f"for the {role} ({', '.join(usual[:5])}, ...)"
    raise DataError(
        f"{name!r}: expected an array {what}, found {name_columns(list(arrays))}; "
        f"name it with {option(role)}"
    )


def _label(arrays: dict[str, zipfile.ZipInfo], split: str, name: str, reading: Reading) -> str:
    """Choose the array of labels; "" where there is none and none is needed."""
    try:
        return _choose("label", reading.label, arrays, LABELS, split, name)
    except DataError:
        if reading.unlabelled:
            return ""
        raise


def _axes(images: Array, name: str) -> tuple[Array, str]:
    """Bring images to [n, h, w, k], as a view, and say which axes they had."""
    shape = images.shape
    if images.dtype.kind not in "uif":
        raise DataError(f"{name!r}: expected numbers, found {images.dtype}")
    if images.ndim == 3 and min(shape[1:]) > 0:
        return images[:, :, :, None], "NHW"
    last = images.ndim == 4 and shape[3] in (1, 3) and min(shape) > 0
    first = images.ndim == 4 and shape[1] in (1, 3) and min(shape) > 0
    if last != first:
        return (images, "NHWC") if last else (images.transpose(0, 2, 3, 1), "NCHW")
    problem = "an ambiguous shape" if last and first else "shape"
    raise DataError(
        f"{name!r}: expected images [n, h, w], [n, h, w, k] or [n, k, h, w] with k = 1 or 3, found "
        f"{problem} {list(shape)}; reshape the array"
    )


def _column(labels: Array, rows: int, name: str) -> Array:
    """Check that there is one label for each image."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.shape != (rows,):
        hint = "; one-hot labels become numbers by .argmax(1)" if labels.ndim == 2 else ""
        raise DataError(f"{name!r}: expected {rows} labels, found shape {list(labels.shape)}{hint}")
    if labels.dtype.kind not in "uifSUb":
        raise DataError(f"{name!r}: expected numbers or names as labels, found {labels.dtype}")
    return labels.astype(str) if labels.dtype.kind == "S" else labels


def _class_names(names: Array, name: str) -> list[str]:
    if names.ndim != 1 or names.dtype.kind not in "US":
        raise DataError(f"{name!r}: expected class names as a list of strings, found {names.dtype}")
    return [str(each) for each in names.astype(str)]


def _check_room(shape: Sequence[int], reading: Reading) -> None:
    """Raise DataError where images uint8 of a shape need more memory than is allowed."""
    if int(np.prod(shape, dtype=object)) > reading.limits.total:
        raise DataError(
            f"{str(reading.root)!r}: images {list(shape)} need more than "
            f"{reading.limits.total} bytes; {raised('total')}"
        )


def _pixels(
    images: Array, labels: Labels, names: Sequence[str], reading: Reading
) -> tuple[torch.Tensor, Array]:
    """Turn images [n, h, w, k] into uint8[m, k, h, w]; gives the kept rows int64[m] too.

    Where examples are drawn ahead, the images are those of the drawn ones alone.
    """
    good = labels.index >= 0
    if images.dtype.kind == "f":
        for row in np.flatnonzero(good & ~_finite(images)).tolist():
            reading.reject(names[row], "expected finite numbers, found NaN or infinity; correct it")
            good[row] = False
    kept = np.flatnonzero(good)
    scale = _scale(images, kept, reading)
    drawn = np.flatnonzero(reading.wanted(labels.index)) if reading.draws_ahead else kept
    size = reading.size or 0
    height, width = (size, size) if size else images.shape[1:3]
    shape = (len(drawn), images.shape[3], height, width)
    _check_room(shape, reading)
    out = np.empty(shape, dtype=np.uint8)
    for start in range(0, len(drawn), CHUNK):
        rows = images[drawn[start : start + CHUNK]]
        pixels = (np.rint(rows * scale) if scale != 1 else rows).astype(np.uint8)
        if pixels.shape[1:3] != (height, width):
            pixels = np.stack([resize(each, size) for each in pixels])
        out[start : start + CHUNK] = pixels.transpose(0, 3, 1, 2)
    shown, left = seen(torch.from_numpy(out), drawn, labels.index, names, reading)
    return shown, kept if reading.draws_ahead else left


def _finite(images: Array) -> Array:
    parts = [
        np.isfinite(images[start : start + CHUNK]).all((1, 2, 3))
        for start in range(0, len(images), CHUNK)
    ]
    return np.concatenate(parts) if parts else np.zeros(0, bool)


def _scale(images: Array, kept: Array, reading: Reading) -> int:
    """Find out whether values are 0..255 (1) or 0..1 (255)."""
    if not len(kept) or images.dtype == np.uint8:
        return 1
    low, high, whole = np.inf, -np.inf, True
    for start in range(0, len(kept), CHUNK):
        rows = images[kept[start : start + CHUNK]]
        low, high = min(low, rows.min()), max(high, rows.max())
        whole = whole and bool((rows == np.rint(rows)).all())
    if low >= 0 and high <= 255 and whole and (high > 1 or images.dtype.kind != "f"):
        return 1
    if low >= 0 and high <= 1:
        reading.notes.append("Images in 0..1 were multiplied by 255 and rounded.")
        return 255
    raise DataError(
        f"{str(reading.root)!r}: expected whole numbers in 0..255 or values in 0..1, found values "
        f"from {low:g} to {high:g}; give the images as they were before normalisation"
    )


def write(data: Dataset, layout: Layout, path: Path) -> tuple[str, ...]:
    """Write images and labels with the array names and the axes of the source."""
    details = layout.details or Details("NHW" if data.inputs.shape[1] == 1 else "NHWC")
    images = data.inputs.numpy()
    if details.axes != "NCHW":
        images = images.transpose(0, 2, 3, 1)
    if details.axes == "NHW" and images.shape[3] == 1:
        images = images[:, :, :, 0]
    spelling = layout.spelling or tuple(range(len(data.classes)))
    arrays = {
        layout.content or "images": images,
        layout.label or "labels": np.array([spelling[label] for label in data.labels.tolist()]),
    }
    if details.named:
        arrays[details.named] = np.array(data.classes)
    for group, rows in (layout.rest or {}).items():
        arrays[group] = rows[data.ids.numpy()]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                whole = np.ascontiguousarray(array)
                np.lib.format.write_array(file, whole, allow_pickle=False)
    return tuple(f"{path.name} row {row}" for row in range(len(data)))
