"""Outputs of steps in a folder: no pickle, safe against crashes and for several writers.

    STORE/store.json                 schema of the store
    STORE/steps/KEY/step.json        kind, settings, status, parents, cost, origin, sizes of files
    STORE/steps/KEY/facts.json       what JSON can hold
    STORE/steps/KEY/tensors.safetensors
    STORE/answers/QUESTION.json      key of a step that answered it, see `known.py`
    STORE/data/NAME.json             what data turned out to be, see `remembering.py`
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

from mithridate.bench.contents import output_digest
from mithridate.bench.likeness import likenesses
from mithridate.bench.step import SCHEMA, Output, Step
from mithridate.core.errors import DataError
from mithridate.core.files import write_json


@dataclass(frozen=True)
class Entry:
    """What the store knows of one step, its output aside.

    Attributes:
        gave: digest of the output.
        question: what the step was asked, see `known.py`.
        like: what it costs as much as, see `likeness.py`.
    """

    key: str
    kind: str
    status: str
    why: str
    settings: dict[str, Any]
    parents: tuple[str, ...]
    cost: dict[str, float]
    origin: dict[str, str]
    files: dict[str, int]
    gave: str = ""
    question: str = ""
    like: tuple[str, ...] = ()


class Store:
    """A folder of outputs, made when it is first used.

    Raises:
        DataError: where the folder was written by another schema of stores.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.steps, self.failures = folder / "steps", folder / "failures"
        self.claims, self.unfinished = folder / "claims", folder / "unfinished"
        self.answers, self.data = folder / "answers", folder / "data"
        homes = (self.steps, self.failures, self.claims, self.unfinished, self.answers, self.data)
        for home in homes:
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
            tuples = {name: tuple(known[name]) for name in ("parents", "like")}
            entry = Entry(**{**known, **tuples, "key": key})
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
        status: str = "done", why: str = "", question: str = "",
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
            "gave": output_digest(output.tensors, output.facts), "question": question,
            "like": likenesses(step),
        }  # fmt: skip
        self._place(step, home, note)

    def _place(self, step: Step, home: Path, note: dict[str, Any]) -> None:
        """Put a folder of files in its place, where nobody else was first."""
        (home / "step.json").write_text(json.dumps(note))
        try:
            home.rename(self.steps / step.key)
        except OSError:  # another writer was first
            shutil.rmtree(home, ignore_errors=True)
        (self.failures / f"{step.key}.json").unlink(missing_ok=True)
        if note["question"]:
            write_json(self.answers / f"{note['question']}.json", {"key": step.key})

    def find_answer(self, question: str) -> str:
        """Give the key of a step that answered a question, or nothing."""
        try:
            key: str = json.loads((self.answers / f"{question}.json").read_text())["key"]
            return key if self.entry(key).question == question else ""
        except (OSError, ValueError, TypeError, KeyError, DataError):
            return ""

    def adopt(self, step: Step, key: str) -> bool:
        """Give a step the output of another one; False where that is gone meanwhile.

        The files are shared where the file system can, so that removing either leaves the other.
        """
        home = Path(tempfile.mkdtemp(prefix=f"{step.key}-", dir=self.unfinished))
        try:
            note = json.loads((self.steps / key / "step.json").read_text())
            for name in note["files"]:
                _share(self.steps / key / name, home / name)
        except (OSError, ValueError):
            shutil.rmtree(home, ignore_errors=True)
            return False
        parents = [parent.key for parent in step.parents]
        own = {"settings": step.settings, "parents": parents, "like": likenesses(step)}
        self._place(step, home, {**note, **own, "kind": step.kind()})
        return True

    def note(self, name: str) -> dict[str, Any] | None:
        """Read what was kept about some data, or None where nothing was."""
        try:
            kept = json.loads((self.data / f"{name}.json").read_text())
        except (OSError, ValueError):
            return None
        return kept if isinstance(kept, dict) else None

    def keep_note(self, name: str, note: dict[str, Any]) -> None:
        """Keep what was found out about some data."""
        write_json(self.data / f"{name}.json", note)

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

    def drop_note(self, name: str) -> None:
        """Forget what was found out about some data."""
        (self.data / f"{name}.json").unlink(missing_ok=True)

    def remove(self, key: str) -> int:
        """Remove a step, and give the bytes that this frees."""
        home = self.steps / key
        freed = sum(f.stat().st_size for f in home.iterdir())
        grave = Path(tempfile.mkdtemp(prefix="removed-", dir=self.unfinished))
        home.rename(grave / key)  # gone at once for every reader
        shutil.rmtree(grave, ignore_errors=True)
        return freed

    def forget_answers(self) -> None:
        """Forget the questions whose answers were removed."""
        for file in self.answers.glob("*.json"):
            if not self.find_answer(file.stem):
                file.unlink(missing_ok=True)

    def sweep_unfinished(self, older_than: float = 86_400.0) -> int:
        """Remove what killed writers left behind, and give the number of folders."""
        left = [
            f for f in self.unfinished.iterdir() if time.time() - f.stat().st_mtime > older_than
        ]
        for folder in left:
            shutil.rmtree(folder, ignore_errors=True)
        return len(left)


def _share(file: Path, place: Path) -> None:
    """Let a file be found at another place too, by a link where the file system has them."""
    try:
        os.link(file, place)
    except OSError:
        shutil.copyfile(file, place)
