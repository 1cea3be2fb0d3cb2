"""Files of trajectories: Minari's layout in HDF5, and NumPy archives. No pickle is ever loaded.

An HDF5 file may point to other files; whatever is no plain array inside of it is refused.
Axes: n steps.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mithridate.core.errors import DataError, UnsafeData
from mithridate.core.extras import import_extra
from mithridate.domains.observation.trajectories import (
    Array,
    Flags,
    Trajectories,
    as_given,
    divided,
    gathered,
)

MAIN, NOTE = "main_data.hdf5", "metadata.json"
"""What lies in the folder `data` of a data set of Minari."""

NEEDS = "trajectories in HDF5 need h5py; pip install 'mithridate[keras]'"
NOTE_BYTES = 2**24

OBSERVED = ("observations", "obs")
ENDED = ("terminations", "terminals", "terminated", "dones", "done")
CUT = ("truncations", "timeouts", "truncated")
RESET = "autoreset_mode"


def minari_folder(root: Path) -> Path | None:
    """Give the folder that holds a data set of Minari: this one, or `data` in it; None for none."""
    if root.is_file():
        return root.parent if root.name == MAIN else None
    for folder in (root, root / "data"):
        with contextlib.suppress(OSError):  # whoever reads the folder next says why it cannot be
            if (folder / MAIN).is_file() and not (folder / MAIN).is_symlink():
                return folder
    return None


def read_minari(folder: Path, most: int) -> Trajectories:
    """Read a data set of Minari; most: bytes of all arrays.

    Each episode holds an observation more than actions, the one after its last step, which is left
    out. Episodes that never ended are read like the others.

    Raises:
        DataError: where it is broken or holds what is not read.
        UnsafeData: where it points elsewhere or unpacks to too much.
    """
    h5py = import_extra("h5py", NEEDS)
    path = folder / MAIN
    try:
        with h5py.File(path, "r") as file:
            episodes = list(_episodes(h5py, file, str(path), most))
    except (OSError, KeyError, RuntimeError, ValueError, TypeError) as error:
        raise DataError(
            f"{str(path)!r}: expected HDF5 as Minari writes it, found a broken file ({error}); "
            "get it again"
        ) from None
    return gathered(episodes, _choices(folder / NOTE))


def _episodes(h5py: Any, file: Any, name: str, most: int) -> Iterator[tuple[Array, Array]]:
    numbered = sorted(
        (int(key.removeprefix("episode_")), key)
        for key in file
        if key.startswith("episode_") and key.removeprefix("episode_").isdecimal()
    )
    if not numbered:
        raise DataError(f"{name!r}: expected groups episode_0, episode_1, ..., found none")
    room = most
    for _, key in numbered:
        group = _inside(h5py, file, key, name)
        parts = []
        for member in ("observations", "actions"):
            array = _array(h5py, group, member, f"{name} {key}", room)
            room -= array.nbytes
            parts.append(array)
        yield parts[0], parts[1]


def _inside(h5py: Any, group: Any, key: str, name: str) -> Any:
    """Give a member that lies in the file itself; raises UnsafeData where it lies elsewhere."""
    link = group.get(key, getlink=True)
    if not isinstance(link, h5py.HardLink):
        raise UnsafeData(
            f"{name!r}: expected {key!r} in the file, found "
            + ("nothing" if link is None else "a link; links are not followed")
        )
    return group[key]


def _array(h5py: Any, group: Any, key: str, name: str, room: int) -> Array:
    held = _inside(h5py, group, key, name)
    if not isinstance(held, h5py.Dataset):
        raise DataError(
            f"{name!r}: expected one array as {key!r}, found a group: observations and actions "
            "that are dictionaries or tuples are not read"
        )
    if held.external is not None or held.is_virtual:
        raise UnsafeData(f"{name!r}: {key!r} lies in another file, which is not opened")
    if held.dtype.kind not in "biuf":
        raise DataError(f"{name!r}: expected numbers as {key!r}, found {held.dtype}")
    if held.size * held.dtype.itemsize > room:
        raise UnsafeData(f"{name!r}: {key!r} unpacks to more than is allowed in all")
    array: Array = held[()]
    return array


def _choices(note: Path) -> int | None:
    """Read how many actions there are from the note beside the data; None where it says nothing."""
    if not note.is_file() or note.is_symlink() or note.stat().st_size > NOTE_BYTES:
        return None
    try:
        told = json.loads(note.read_text())
        space = told.get("action_space")
        space = json.loads(space) if isinstance(space, str) else space
        sound = space["type"] == "Discrete" and type(space["n"]) is int
        if sound and space.get("start", 0) not in (0, None):
            raise DataError(
                f"{str(note)!r}: expected actions from 0 on, found a start at {space['start']!r}"
            )
        return int(space["n"]) if sound and 1 <= space["n"] <= 1000 else None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OSError):
        return None


def is_recording(names: Mapping[str, Any]) -> bool:
    """Whether arrays by these names are observations and actions."""
    return "actions" in names and any(key in names for key in OBSERVED)


def read_arrays(arrays: Mapping[str, Array]) -> tuple[Trajectories, tuple[str, ...]]:
    """Read a recording as arrays by name, and name those that were not used.

    Args:
        arrays: observations (or obs) and actions; where episodes end: terminations (or terminals,
            dones) and truncations (or timeouts), bool[n], or episodes, int64[n]; autoreset_mode
            "NextStep" where the step after each end is a reset; choices, how many actions there
            are.

    Raises:
        DataError: where they do not fit, or nothing says where episodes end.
    """
    observed = next(key for key in OBSERVED if key in arrays)
    actions = arrays["actions"]
    ends, used = _ends(arrays, len(actions))
    mode = str(arrays[RESET]) if RESET in arrays else ""
    ignored = mode.replace("_", "").rpartition(".")[2].casefold() == "nextstep"
    choices = int(arrays["choices"]) if "choices" in arrays else None
    episodes = divided(arrays[observed], actions, ends, ignored=ignored)
    used |= {observed, "actions", RESET, "choices"}
    return gathered(episodes, choices), tuple(sorted(set(arrays) - used))


def _ends(arrays: Mapping[str, Array], n: int) -> tuple[Flags, set[str]]:
    """Say after which of n steps an episode ended, and which arrays say so."""
    if "episodes" in arrays:
        number = arrays["episodes"]
        if number.shape != (n,):
            raise DataError(f"expected the episode of each of {n} steps, found {number.shape}")
        return np.append(number[1:] != number[:-1], True)[:n], {"episodes"}
    there = [next((key for key in keys if key in arrays), "") for keys in (ENDED, CUT)]
    used = {key for key in there if key}
    if not used:
        raise DataError(
            "expected arrays that say where episodes end (terminations and truncations, or "
            "episodes): steps of one episode are no independent examples; found none of them"
        )
    ends = np.zeros(n, dtype=bool)
    for key in used:
        if arrays[key].shape[:1] != (n,) or arrays[key].size != n:
            raise DataError(f"expected {key!r} for each of {n} steps, found {arrays[key].shape}")
        ends |= arrays[key].reshape(n).astype(bool)
    return ends, used


def write_minari(data: Trajectories, folder: Path, environment: str = "") -> None:
    """Write trajectories in Minari's layout, `folder/data/main_data.hdf5` and a note beside it.

    The observation after the last step is not known any more, so the last one stands twice.
    """
    h5py = import_extra("h5py", NEEDS)
    inside = folder / "data"
    inside.mkdir(parents=True, exist_ok=True)
    episodes = as_given(data)
    with h5py.File(inside / MAIN, "w") as file:
        for number, (seen, actions) in enumerate(episodes):
            group = file.create_group(f"episode_{number}")
            group.attrs.update({"id": number, "total_steps": len(actions)})
            both = np.concatenate([seen, seen[-1:]])
            group.create_dataset("observations", data=both, compression="gzip")
            group.create_dataset("actions", data=actions)
    space = {"type": "Discrete", "dtype": "int64", "start": 0, "n": data.choices}
    note = {
        "data_format": "hdf5",
        "total_episodes": len(episodes),
        "total_steps": len(data),
        "action_space": json.dumps(space),
        "env_spec": json.dumps({"id": environment}) if environment else None,
    }
    (inside / NOTE).write_text(json.dumps(note, indent=2) + "\n")
