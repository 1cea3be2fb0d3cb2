"""Files that are written whole or not at all, whatever stops the writer."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file


@contextlib.contextmanager
def replacement(path: Path) -> Iterator[Path]:
    """Give a new name beside `path` to write to; what is written there takes its place at the end.

    The name differs for each writer, so several may write one file at once and the last one wins.
    Where the block raises, nothing is left and an older file stays as it was.
    """
    unfinished = path.with_name(f".{path.name}-{uuid4().hex}.writing")
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def write_text(path: Path, content: str) -> None:
    """Write UTF-8 text as it is: ends of lines are not changed."""
    with replacement(path) as unfinished:
        unfinished.write_bytes(content.encode("utf-8"))


def write_json(path: Path, value: Any, indent: int | None = None) -> None:
    """Write a value as JSON; see `core.plain` for values that JSON cannot hold."""
    write_text(path, json.dumps(value, indent=indent))


def write_tensors(
    path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors by name as safetensors, those that share memory as copies."""
    apart = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    with replacement(path) as unfinished:
        save_file(apart, unfinished, metadata=dict(metadata) if metadata else None)


def read_tensors(
    path: Path | None, note: str = ""
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read what `write_tensors` kept of work that was stopped, and the JSON note of a name.

    Both are empty where there is no file or a damaged one: the work begins again then.
    """
    if path is None or not path.exists():
        return {}, {}
    try:
        with safe_open(path, "pt") as opened:
            said: Any = json.loads((opened.metadata() or {}).get(note, "{}"))
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except (SafetensorError, ValueError, RecursionError):
        return {}, {}
    return (tensors, said) if isinstance(said, dict) else ({}, {})
