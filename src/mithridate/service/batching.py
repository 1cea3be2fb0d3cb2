"""Many small requests into few large batches, by a queue that is bounded and loses nothing.

Axes: n inputs of a request.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from mithridate.service.meters import Meters
from mithridate.service.settings import Settings

LOG = logging.getLogger(__name__)

Judge = Callable[[Sequence[Any]], Sequence[Any]]
"""From single inputs to as many answers, in their order."""


class QueueFull(Exception):
    """There is no room for another request now."""


class Closed(Exception):
    """The service is shutting down."""


@dataclass(eq=False)
class Waiting:
    """A request in the queue."""

    inputs: Sequence[Any]
    answer: asyncio.Future[Sequence[Any]]


class Batcher:
    """Collects requests and judges them together, in one thread beside the event loop.

    Whoever is taken into the queue gets an answer or an exception, also at the end.
    """

    def __init__(self, judge: Judge, settings: Settings, meters: Meters) -> None:
        self.judge, self.settings, self.meters = judge, settings, meters
        self.waiting = 0
        self.closed = False
        self._queue: asyncio.Queue[Waiting | None] = asyncio.Queue()
        self._thread = ThreadPoolExecutor(1, "mithridate-guard")
        self._task: asyncio.Task[None] | None = None

    @property
    def ready(self) -> bool:
        """Whether requests are taken."""
        return not self.closed and self._task is not None and not self._task.done()

    def start(self) -> None:
        """Begin to work; needs a running event loop."""
        self._task = asyncio.get_running_loop().create_task(self._work())

    def room(self, n: int = 1) -> None:
        """Raise QueueFull or Closed where n more inputs cannot be taken."""
        if not self.ready:
            raise Closed
        if self.waiting + n > self.settings.queue:
            raise QueueFull

    async def submit(self, inputs: Sequence[Any], seconds: float) -> Sequence[Any]:
        """Wait for the answers to the inputs of a request.

        Raises QueueFull or Closed at once, TimeoutError after so many seconds, and RuntimeError
        where judging failed.
        """
        self.room(len(inputs))
        each = Waiting(inputs, asyncio.get_running_loop().create_future())
        self._count(len(inputs))
        self._queue.put_nowait(each)
        self.meters.accepted.inc()
        how = "gone"  # of a client that hung up
        try:
            answers = await asyncio.wait_for(each.answer, seconds)
            how = "judged"
            return answers
        except TimeoutError:
            how = "timed out"
            raise
        except RuntimeError:
            how = "failed"
            raise
        finally:
            self.meters.answered.labels(how).inc()

    async def close(self) -> None:
        """Take nothing more, answer everything that waits, and end."""
        if self.closed:
            return
        self.closed = True
        self._queue.put_nowait(None)
        if self._task is not None:
            await self._task
        self._thread.shutdown()

    def _count(self, change: int) -> None:
        self.waiting += change
        self.meters.waiting.set(self.waiting)

    async def _work(self) -> None:
        going_on = True
        while going_on:
            batch, going_on = await self._collect()
            self._count(-sum(len(each.inputs) for each in batch))
            # whoever was told that it took too long needs no answer any more
            batch = [each for each in batch if not each.answer.done()]
            if batch:
                await self._answer(batch)

    async def _collect(self) -> tuple[list[Waiting], bool]:
        """Wait for a first request, then for others until the batch is full or its time is over.

        Also says whether more may come.
        """
        loop, batch, size = asyncio.get_running_loop(), list[Waiting](), 0
        ends = None
        while size < self.settings.batch:
            if self._queue.empty() and ends is not None:
                try:
                    each = await asyncio.wait_for(self._queue.get(), max(0.0, ends - loop.time()))
                except TimeoutError:
                    break
            else:
                each = await self._queue.get()
            if each is None:
                return batch, False
            batch.append(each)
            size += len(each.inputs)
            ends = ends or loop.time() + self.settings.wait_ms / 1000
        return batch, True

    async def _answer(self, batch: list[Waiting]) -> None:
        try:
            answers = await self._judged([each for part in batch for each in part.inputs])
        except Exception:
            if len(batch) > 1:  # one bad input must not cost the others their answers
                for part in batch:
                    await self._answer([part])
                return
            LOG.exception("judging failed")
            if not batch[0].answer.done():
                batch[0].answer.set_exception(RuntimeError("judging failed"))
            return
        first = 0
        for part in batch:
            last = first + len(part.inputs)
            if not part.answer.done():
                part.answer.set_result(answers[first:last])
            first = last

    async def _judged(self, inputs: list[Any]) -> Sequence[Any]:
        self.meters.sizes.observe(len(inputs))
        loop = asyncio.get_running_loop()
        answers = await loop.run_in_executor(self._thread, self.judge, inputs)
        if len(answers) != len(inputs):
            raise RuntimeError(f"expected {len(inputs)} answers, found {len(answers)}")
        return answers
