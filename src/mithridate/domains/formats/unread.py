"""What is recognised and not read, and the way out of each."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mithridate.core.errors import DataError, UnsafeData
from mithridate.domains.formats.containers import ArchiveEntry
from mithridate.domains.formats.decoding import SUFFIXES
from mithridate.domains.formats.source import Reading
from mithridate.domains.formats.walk import Entry, name_path, no_data

SAVEZ = "numpy.savez('data.npz', images=images, labels=labels)"

WAYS_OUT = {
    ".npy": f"one array; images and labels together are read from one file: {SAVEZ}",
    ".mat": "a MATLAB file; save its arrays with scipy.io.loadmat and " + SAVEZ,
    ".h5": "an HDF5 file; save its arrays with " + SAVEZ,
    ".hdf5": "an HDF5 file; save its arrays with " + SAVEZ,
    ".pt": "a torch file, which is not read as data; save its arrays with " + SAVEZ,
    ".pth": "a torch file, which is not read as data; save its arrays with " + SAVEZ,
    ".tfrecord": "TensorFlow records; write the images into a folder for each class",
    ".rar": "an archive that is not looked into; unpack it, or pack it as zip",
    ".7z": "an archive that is not looked into; unpack it, or pack it as zip",
    ".xz": "a compressed file that is not looked into; unpack it",
    ".bz2": "a compressed file that is not looked into; unpack it",
    ".zst": "a compressed file that is not looked into; unpack it",
    ".gz": "a compressed file that is not looked into; unpack it (.tar.gz is read)",
    ".xlsx": "a spreadsheet; save it as CSV",
    ".xls": "a spreadsheet; save it as CSV",
}
"""What files of a suffix are, and what to do."""

PICKLED = (
    "a pickle, which can run code when it is opened and is never loaded; where it is CIFAR-10, "
    "the named set cifar10 reads the binary version (cifar-10-binary.tar.gz); else save its "
    "arrays, where you trust it, with " + SAVEZ
)
BATCH = re.compile(r"(data_batch_\d+|test_batch|batches\.meta|.*\.(pkl|pickle))", re.IGNORECASE)
"""Names of pickles: those of the Python version of CIFAR, and whatever says so."""

DETECTION = (
    "detection sets, which have boxes in place of a class for each picture, are not read; cut out "
    "the objects and put them into a folder for each class"
)


def way_out(entry: Entry) -> tuple[str, type[DataError]]:
    """Say what a file is that is known and not read, and what to do; "" where it is not known."""
    if BATCH.fullmatch(entry.name) or _is_pickle(entry):
        return f"found {PICKLED}", UnsafeData
    known = WAYS_OUT.get(entry.suffix.lower())
    return (f"found {known}" if known else ""), DataError


def refuse(entry: Entry, reading: Reading) -> None:
    """Refuse a file that is known and not read, and say what to do with it.

    Raises:
        DataError: where it is one.
        UnsafeData: where it is a pickle.

    """
    why, kind = way_out(entry)
    if why:
        raise kind(f"{name_path(entry, reading.root)!r}: {why}")


def _is_pickle(entry: Entry) -> bool:
    """Whether a file without a suffix begins as pickles do."""
    if isinstance(entry, ArchiveEntry) or entry.suffix:
        return False
    try:
        with entry.open("rb") as file:
            start = file.read(2)
    except OSError:
        return False
    return len(start) == 2 and start[0] == 0x80 and 2 <= start[1] <= 5


def refuse_all(folders: Sequence[Entry], files: Sequence[Entry], reading: Reading) -> None:
    """Refuse a folder whose files are known and not read.

    Raises:
        DataError: where they are.

    """
    for entry in files:
        if BATCH.fullmatch(entry.name) or entry.suffix.lower() == ".npy" or not folders:
            refuse(entry, reading)


def refuse_detection(
    name: str, folders: Sequence[Entry], files: Sequence[Entry], reading: Reading
) -> None:
    """Refuse a folder that is laid out as YOLO, COCO or Pascal VOC have it.

    Raises:
        DataError: where it is.

    """
    kind = _detection(folders, files, reading)
    if kind:
        raise DataError(f"{name!r}: expected a class for each picture, found {kind}; {DETECTION}")


def _detection(folders: Sequence[Entry], files: Sequence[Entry], reading: Reading) -> str:
    by_name = {folder.name.lower(): folder for folder in folders}
    names = {file.name.lower() for file in files}
    if names & {"data.yaml", "data.yml"} or "darknet.labels" in names:
        return "a data set in the layout of YOLO (data.yaml)"
    if "labels" in by_name and _holds(by_name["labels"], (".txt",)):
        return "a data set in the layout of YOLO (labels/)"
    if any(n.endswith(".coco.json") or re.fullmatch(r"instances_.*\.json", n) for n in names):
        return "a data set in the layout of COCO"
    if "annotations" in by_name and _holds(by_name["annotations"], (".json",)):
        return "a data set in the layout of COCO (annotations/)"
    if "annotations" in by_name and _holds(by_name["annotations"], (".xml", ".txt")):
        return "a data set in the layout of Pascal VOC (annotations/)"
    pictures = {file.stem for file in files if file.suffix.lower() in SUFFIXES}
    texts = {file.stem for file in files if file.suffix.lower() == ".txt"}
    if 2 * len(pictures & texts) > len(pictures):
        return "a text beside each picture, as YOLO has its boxes"
    return ""


def _holds(folder: Entry, suffixes: tuple[str, ...], depth: int = 0) -> bool:
    """Whether the first files in a folder, or in the first folder in it, end so."""
    if isinstance(folder, ArchiveEntry):
        inside: list[Entry] = [folder.inside[name] for name in sorted(folder.inside)]
    else:
        try:
            inside = [*sorted(folder.iterdir())]
        except OSError:
            return False
    real = [entry for entry in inside if not no_data(entry.name)]
    files = [entry for entry in real if entry.suffix]
    if not files and real and depth == 0:
        return _holds_folder(real[0], suffixes)
    return bool(files) and all(file.suffix.lower() in suffixes for file in files[:20])


def _holds_folder(folder: Entry, suffixes: tuple[str, ...]) -> bool:
    is_folder = folder.fetch is None if isinstance(folder, ArchiveEntry) else folder.is_dir()
    return is_folder and _holds(folder, suffixes, depth=1)
