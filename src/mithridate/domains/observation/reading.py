"""How observations come out of files of trajectories and out of requests.

Axes: n steps, h rows, w columns, k planes or values.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from mithridate.core.errors import DataError
from mithridate.domains.formats.archive import load, members
from mithridate.domains.formats.columns import name_columns
from mithridate.domains.formats.source import Layout, Reading, Source
from mithridate.domains.observation.form import formed
from mithridate.domains.observation.recordings import (
    is_recording,
    minari_folder,
    read_arrays,
    read_minari,
)
from mithridate.domains.observation.trajectories import Trajectories
from mithridate.domains.registry import Table

UNITS = (
    "Steps of an episode are nearly equal, so {0:,} of {1:,} steps were read: for each of {2:,} "
    "episodes one of every action, which can be exchanged with those of other episodes."
)


def own_layout(reading: Reading) -> Source | None:
    """Read trajectories; None where the files are none.

    One step for each action of each episode is kept, since p-values are about rows that can be
    exchanged; `Trajectories.data` has all of them, for cloning a behaviour.
    """
    if reading.domain not in ("auto", "observation"):
        return None
    folder = minari_folder(reading.root)
    if folder is not None:
        return _finished(read_minari(folder, reading.limits.total), reading, "minari")
    alone = reading.root.is_file() and reading.root.suffix.lower() == ".npz"
    return _of_archive(reading) if alone else None


def _of_archive(reading: Reading) -> Source | None:
    """Read an archive of NumPy, where its arrays are observations and actions."""
    name = reading.root.name
    try:
        with zipfile.ZipFile(reading.root) as archive:
            names = [info.filename.removesuffix(".npy") for info in archive.infolist()]
            if not is_recording(dict.fromkeys(names)):
                return None
            there = members(archive, name, reading)
            arrays = {key: load(archive, info, name) for key, info in there.items()}
    except zipfile.BadZipFile:
        return None  # who reads it next says so
    except (ValueError, OSError, MemoryError) as error:
        raise DataError(f"{name!r}: expected arrays that can be read ({error})") from None
    try:
        trajectories, unused = read_arrays(arrays)
    except DataError as error:
        raise DataError(f"{name!r}: {error}") from None
    if unused:
        reading.notes.append(f"Arrays that were not used: {name_columns(list(unused))}.")
    return _finished(trajectories, reading, "npz")


def _finished(trajectories: Trajectories, reading: Reading, format: str) -> Source:
    reading.count(len(trajectories), reading.root.name)
    rows = trajectories.units()
    episodes = int(trajectories.episodes.max()) + 1
    reading.notes.append(UNITS.format(len(rows), len(trajectories), episodes))
    data = trajectories.data.subset(rows)
    where = zip(trajectories.episodes[rows], trajectories.steps[rows], strict=True)
    names = [f"episode {int(episode)} step {int(step)}" for episode, step in where]
    layout = Layout(file=reading.root.name, content="observations", label="actions")
    return reading.finish(format, data.inputs, data.labels.numpy(), data.classes, names, layout)


def choose_columns(table: Table, reading: Reading) -> tuple[str, ...]:
    """Choose none: a table does not say where episodes end."""
    return ()


def gather(
    cells: Iterable[Any], labels: Any, names: Sequence[str], reading: Reading
) -> tuple[Any, Any]:
    """Refuse: no table is read as observations.

    Raises:
        DataError: always.
    """
    raise DataError(
        "observations are read from trajectories (Minari's layout, or .npz with observations, "
        "actions and where episodes end), and not from columns"
    )


def requests(form: tuple[int, ...]) -> ObservationRequests:
    """Read observations of one form (h, w, k)."""
    return ObservationRequests(form)


@dataclass(frozen=True)
class ObservationRequests:
    """Reads observations as lists of numbers."""

    form: tuple[int, ...]
    media: tuple[str, ...] = ()

    def from_body(self, body: bytes) -> torch.Tensor:
        """Refuse: no content type is one observation."""
        raise DataError("expected an observation as lists of numbers in JSON")

    def from_json(self, value: Any) -> torch.Tensor:
        """Read lists of numbers, as the environment gives them."""
        vector = tuple(self.form[:2]) == (1, 1)
        shape = self.form[2:] if vector else self.form
        expected = f"expected an observation as lists of numbers of the shape {list(shape)}"
        try:
            numbers = np.array(value)
        except (ValueError, OverflowError):
            raise DataError(f"{expected}, found lists of several lengths") from None
        if numbers.dtype.kind not in "biuf" or numbers.shape != tuple(shape):
            raise DataError(f"{expected}, found something else")
        if not np.isfinite(numbers).all():
            raise DataError(f"{expected}, found NaN or infinity")
        if not vector and not np.isin(numbers, (0, 1)).all():
            raise DataError(f"{expected}, 0 or 1 each, found others")
        made: torch.Tensor = formed(numbers[None] if vector else numbers[None].astype(bool))[0]
        return made

    def stack(self, inputs: Sequence[torch.Tensor]) -> torch.Tensor:
        """Put observations into one tensor."""
        return torch.stack(list(inputs))
