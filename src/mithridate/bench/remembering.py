"""What data turned out to be, kept in the store, so that planning need not read them again."""

from __future__ import annotations

import hashlib
import json
import sys
from typing import Any

from mithridate.bench.digest import code_digest
from mithridate.bench.step import Step, plain
from mithridate.bench.steps.data import Data, DataSeen
from mithridate.bench.store import Store


def remember(data: Data, store: Store) -> None:
    """Tell a data step what it is: from the store, or by reading it where anything has changed.

    A note holds as long as the readers' code and the files are the same. Where there are no files
    on this machine, as beside a store that was copied from another, the note is believed: whoever
    computes on the data compares them with it.
    """
    now = {"code": code_digest(type(data), whole=True), "files": data.outside()}
    note = store.note(note_name(data))
    seen = _read_note(note) if note and (not now["files"] or now.items() <= note.items()) else None
    if seen is None:
        seen = data.look()
        if seen.domain is not None:
            domain = f"{seen.domain.__module__}:{seen.domain.__qualname__}"
            store.keep_note(note_name(data), {**now, "gave": seen.gave, "domain": domain})
    data.__dict__["seen"] = seen


def forget(step: Step, store: Store) -> None:
    """Drop the note about some data, which turned out to be wrong."""
    if isinstance(step, Data):
        store.drop_note(note_name(step))


def note_name(data: Data) -> str:
    """The name of the note about some data: the digest of their settings."""
    spelt = json.dumps(plain(data.settings), sort_keys=True)
    return hashlib.blake2b(spelt.encode(), digest_size=16).hexdigest()


def _read_note(note: dict[str, Any]) -> DataSeen | None:
    """What a note says, or None where its domain is not one that was imported here."""
    module, _, name = str(note.get("domain", "")).partition(":")
    domain = getattr(sys.modules.get(module), name, None)
    gave = note.get("gave")
    return DataSeen(gave, domain) if isinstance(domain, type) and isinstance(gave, str) else None
