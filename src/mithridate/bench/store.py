"""Outputs of steps in a folder: no pickle, safe against crashes and for several writers.

    STORE/store.json                 schema of the store
    STORE/steps/KEY/step.json        kind, settings, status, parents, cost, origin, sizes of files
    STORE/steps/KEY/facts.json       what JSON can hold
    STORE/steps/KEY/tensors.safetensors
    STORE/failures/KEY.json          why a step failed, until it is run again
    STORE/claims/KEY                 locked while some process computes the step

A step is written into a folder of its own and then renamed, so that presence means completeness. A
lock belongs to a process and goes with it, so that a killed writer leaves nothing to clean up.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

from mithridate.bench.step import SCHEMA, Output, Step
from mithridate.core.errors import DataError
from mithridate.core.files import write_json


@dataclass(frozen=True)
class Entry:
    """What the store knows of one step, its output aside."""

    key: str
    kind: str
    status: str
    why: str
    settings: dict[str, Any]
    parents: tuple[str, ...]
    cost: dict[str, float]
    origin: dict[str, str]
    files: dict[str, int]


class Store:
    """A folder of outputs, made when it is first used.

    Raises:
        DataError: where the folder was written by another schema of stores.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.steps, self.failures = folder / "steps", folder / "failures"
        self.claims, self.unfinished = folder / "claims", folder / "unfinished"
        for home in (self.steps, self.failures, self.claims, self.unfinished):
            home.mkdir(parents=True, exist_ok=True)
        self._check_schema(folder / "store.json")

    def _check_schema(self, note: Path) -> None:
        if not note.exists():
            write_json(note, {"schema": SCHEMA})
        schema = json.loads(note.read_text()).get("schema")
        if not isinstance(schema, int) or schema > SCHEMA:
            raise DataError(
                f"{note.parent} is a store of schema {schema}, and this version knows {SCHEMA}; "
                "use the version that wrote it, or another --store"
            )
        if schema < SCHEMA:  # records of old schemas are read through migrations; see record.py
            write_json(note, {"schema": SCHEMA})

    def has(self, step: Step) -> bool:
        """Whether a step ended: done, skipped or void."""
        return (self.steps / step.key).is_dir()

    def keys(self) -> list[str]:
        """The keys of all steps that ended."""
        return sorted(entry.name for entry in os.scandir(self.steps))

    def entry(self, key: str) -> Entry:
        """Read what is known of a step; raises DataError where its files are not whole."""
        home = self.steps / key
        try:
            known = json.loads((home / "step.json").read_text())
            entry = Entry(**{**known, "key": key, "parents": tuple(known["parents"])})
            sizes = {name: (home / name).stat().st_size for name in entry.files}
        except (FileNotFoundError, ValueError, TypeError, KeyError) as error:
            raise DataError(f"{home} cannot be read ({error}); remove it and run again") from None
        if sizes != entry.files:
            raise DataError(
                f"{home} is not whole: expected sizes {entry.files}, found {sizes}; remove it and "
                "run again"
            )
        return entry

    def output(self, key: str) -> Output:
        """Read the output of a step that is done."""
        tensors = self.steps / key / "tensors.safetensors"
        return Output(load_file(tensors) if tensors.exists() else {}, self.facts(key))

    def facts(self, key: str) -> dict[str, Any]:
        """Read the facts of a step alone; raises DataError where they are not whole."""
        home = self.steps / key
        try:
            facts: dict[str, Any] = json.loads((home / "facts.json").read_text())
        except ValueError as error:
            raise DataError(f"{home} is damaged ({error}); remove it and run again") from None
        return facts

    def save(
        self, step: Step, output: Output, cost: dict[str, float], origin: dict[str, str],
        status: str = "done", why: str = "",
    ) -> None:  # fmt: skip
        """Write an output, whole or not at all; whoever comes second to a key is dropped."""
        home = Path(tempfile.mkdtemp(prefix=f"{step.key}-", dir=self.unfinished))
        if output.tensors:
            # a file holds every tensor by itself, so none may share memory with another
            whole = {name: t.detach().cpu().clone() for name, t in output.tensors.items()}
            save_file({n: t.contiguous() for n, t in whole.items()}, home / "tensors.safetensors")
        (home / "facts.json").write_text(json.dumps(output.facts, allow_nan=True))
        note = {
            "kind": step.kind(), "status": status, "why": why, "settings": step.settings,
            "parents": [p.key for p in step.parents], "cost": cost, "origin": origin,
            "files": {f.name: f.stat().st_size for f in home.iterdir()},
        }  # fmt: skip
        (home / "step.json").write_text(json.dumps(note))
        try:
            home.rename(self.steps / step.key)
        except OSError:  # another writer was first
            shutil.rmtree(home, ignore_errors=True)
        (self.failures / f"{step.key}.json").unlink(missing_ok=True)

    def fail(self, step: Step, why: str, trace: str, status: str = "failed") -> None:
        """Note why a step has no answer; it will be run again when it is next asked for."""
        note = {
            "kind": step.kind(), "settings": step.settings, "status": status, "why": why,
            "trace": trace,
        }  # fmt: skip
        write_json(self.failures / f"{step.key}.json", note)

    def failure(self, key: str) -> dict[str, Any] | None:
        """Read why a step failed, or None where it did not."""
        try:
            note: dict[str, Any] = json.loads((self.failures / f"{key}.json").read_text())
        except OSError:
            return None
        return note

    @contextlib.contextmanager
    def claim(self, key: str) -> Iterator[bool]:
        """Hold the right to compute a step; gives False where another process holds it.

        Raises:
            DataError: where the file system has no locks.
        """
        path = self.claims / key
        with path.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                mine = path.stat().st_ino == os.fstat(file.fileno()).st_ino
            except (BlockingIOError, FileNotFoundError):
                mine = False  # held, or given back and unlinked between opening and locking it
            except OSError as error:
                raise DataError(
                    f"{self.folder} lies on a file system without locks ({error}); put the store "
                    "where flock works"
                ) from None
            yield mine
            if mine:
                path.unlink(missing_ok=True)

    def remove(self, key: str) -> int:
        """Remove a step, and give the bytes that this frees."""
        home = self.steps / key
        freed = sum(f.stat().st_size for f in home.iterdir())
        grave = Path(tempfile.mkdtemp(prefix="removed-", dir=self.unfinished))
        home.rename(grave / key)  # gone at once for every reader
        shutil.rmtree(grave, ignore_errors=True)
        return freed

    def sweep_unfinished(self, older_than: float = 86_400.0) -> int:
        """Remove what killed writers left behind, and give the number of folders."""
        left = [
            f for f in self.unfinished.iterdir() if time.time() - f.stat().st_mtime > older_than
        ]
        for folder in left:
            shutil.rmtree(folder, ignore_errors=True)
        return len(left)
