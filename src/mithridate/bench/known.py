"""Answers that the store has already under another key: early cutoff, as build systems have it.

A key holds the code of all that a step depends on, so an edit far up gives new keys to everything
below. Once the parents have ended, what they gave is known, and with it the step's *question*:
settings, code, and what its parents show, by their outputs and not by the code that made them. A
store remembers which key first answered a question; whoever asks it again under another key is
given that answer instead of a computation.
"""

from __future__ import annotations

from mithridate.bench.step import Step
from mithridate.bench.store import Store
from mithridate.core.errors import DataError, MithridateError


class Questions:
    """Spells the questions of steps by the outputs in a store, each output read once."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._shown: dict[str, str] = {}

    def __call__(self, step: Step) -> str:
        """Give the question of a step, or nothing where a parent is not done.

        A step that answers whatever became of its parents also tells what they cost, which is
        measured and not given: it has no question and is computed anew under every key.
        """
        if step.answers_always:
            return ""
        try:
            return step.name_by(self._name) if step.named_now() == step.key else ""
        except (_NotDone, MithridateError, OSError, SyntaxError):  # the latter: code half saved
            return ""

    def _name(self, step: Step) -> str:
        """What later steps see of a step that is done."""
        if step.key not in self._shown:
            self._shown[step.key] = self._seen(step)
        return self._shown[step.key]

    def _seen(self, step: Step) -> str:
        if not step.stored:
            return step.name_by(self._name)
        try:
            entry = self.store.entry(step.key)
        except DataError:
            raise _NotDone from None
        if entry.status != "done" or not entry.gave:
            raise _NotDone
        return step.name_shown(entry.gave, self._name)


class _NotDone(Exception):
    """An earlier step has no output, so nothing can be asked yet."""


def adopt(step: Step, question: str, store: Store) -> bool:
    """Give a step the answer that the store has to its question; False where it has none."""
    other = store.find_answer(question) if question else ""
    return bool(other) and store.adopt(step, other)


def adopt_all(missing: list[Step], store: Store) -> list[Step]:
    """Give missing steps the answers that are known already, and list those that stay missing.

    What waits for a step that must be computed stays missing: its question is not known yet.
    """
    ask, left = Questions(store), []
    lacking: set[str] = set()
    for step in missing:  # parents stand first
        waits = any(parent.key in lacking for parent in stored_parents(step))
        if waits or not adopt(step, ask(step), store):
            lacking.add(step.key)
            left.append(step)
    return left


def stored_parents(step: Step) -> list[Step]:
    """The steps that a step waits for; those that are not stored stand for theirs."""
    stored: list[Step] = []
    for parent in step.parents:
        stored += [parent] if parent.stored else stored_parents(parent)
    return stored
