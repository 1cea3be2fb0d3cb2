"""The service: routes, answers and refusals as an ASGI application.

Axes: n inputs.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

from mithridate.core.errors import MissingExtra
from mithridate.pipelines.guarded import Guarded
from mithridate.service.batching import Batcher, Closed, QueueFull
from mithridate.service.meters import Meters
from mithridate.service.reading import Question, Reader, Refused
from mithridate.service.settings import Settings

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOG = logging.getLogger(__name__)

PATHS = ("/v1/classify", "/healthz", "/readyz", "/metrics")
LARGE = 2**16
"""Bytes from which on a body is parsed beside the event loop, which others wait for."""

HEADERS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
ACTS = {ord("<"): "\\u003c", ord(">"): "\\u003e", ord("&"): "\\u0026"}
"""What a browser could take for markup if it took an answer for a page."""


class Service:
    """A guard, its queue and its counters."""

    def __init__(self, guard: Guarded, settings: Settings) -> None:
        self.guard, self.settings, self.meters = guard, settings, Meters()
        self.reader = Reader(guard.domain, guard.blank, settings.batch)
        self.batcher = Batcher(self.judge, settings, self.meters)
        self.arriving = 0
        self.meters.describe(guard)

    def judge(self, inputs: Sequence[Any]) -> list[dict[str, Any]]:
        """Decide about single raw inputs."""
        decided = self.guard.decide(self.reader.together(inputs))
        self.meters.count(decided)
        rows = zip(
            decided.predicted.tolist(), decided.p_values.tolist(), decided.action, decided.why,
            strict=True,
        )  # fmt: skip
        return [self._answer(*row) for row in rows]

    def _answer(self, predicted: int, p_value: float, action: str, why: str) -> dict[str, Any]:
        name = self.guard.classes[predicted] if predicted >= 0 else None
        return {
            "label": name if action == "accept" else None, "called": name, "action": action,
            "p_value": None if math.isnan(p_value) else p_value, "why": why,
        }  # fmt: skip

    def ends(self) -> list[tuple[str, Callable[[Request], Awaitable[Response]], str]]:
        """List the paths, what answers there, and the verb of HTTP."""
        return [
            (PATHS[0], self.classify, "POST"), (PATHS[1], self.alive, "GET"),
            (PATHS[2], self.ready, "GET"), (PATHS[3], self.metrics, "GET"),
        ]  # fmt: skip

    async def classify(self, request: Request) -> Response:
        """Answer a request about inputs."""
        began = time.perf_counter()
        try:
            decisions, single = await self._classified(request, began)
        except Refused as error:
            return _failed(error.status, error.sentence)
        except QueueFull:
            return _failed(429, "too many requests wait; try again", {"Retry-After": "1"})
        except Closed:
            return _failed(503, "shutting down", {"Retry-After": "5"})
        except TimeoutError:
            return _failed(504, f"no answer within {self.settings.timeout:g} seconds")
        except _hung_up():
            return _failed(400, "the connection was closed before the request was whole")
        except Exception:
            LOG.exception("a request failed")
            return _failed(500, "the guard failed, so nothing was accepted")
        finally:
            self.meters.latency.observe(time.perf_counter() - began)
        return json_response(200, decisions[0] if single else {"results": list(decisions)})

    async def _classified(self, request: Request, began: float) -> tuple[Sequence[Any], bool]:
        self.batcher.room()  # before anything is read
        if self.arriving >= self.settings.queue:
            raise QueueFull
        self.arriving += 1
        try:
            body = await asyncio.wait_for(self._body(request), self.settings.timeout)
            question = await self._read(request.headers.get("content-type", ""), body)
        except TimeoutError:
            raise Refused(408, "the request did not arrive in time") from None
        finally:
            self.arriving -= 1
        left = self.settings.timeout - (time.perf_counter() - began)
        return await self.batcher.submit(question.inputs, max(0.0, left)), question.single

    async def _body(self, request: Request) -> bytes:
        most = self.settings.body
        too_much = Refused(413, f"expected a body of at most {most} bytes")
        told = request.headers.get("content-length", "0")
        if not told.isdecimal() or int(told) > most:
            raise too_much
        parts, size = [], 0
        async for part in request.stream():
            size += len(part)
            if size > most:
                raise too_much
            parts.append(part)
        return b"".join(parts)

    async def _read(self, kind: str, body: bytes) -> Question:
        if len(body) < LARGE:
            return self.reader.read(kind, body)
        return await asyncio.to_thread(self.reader.read, kind, body)

    async def alive(self, _: Request) -> Response:
        """Say that the process runs."""
        return json_response(200, {"status": "alive"})

    async def ready(self, _: Request) -> Response:
        """Say whether requests are taken."""
        if self.batcher.ready:
            return json_response(200, {"status": "ready"})
        return json_response(503, {"status": "not ready"})

    async def metrics(self, _: Request) -> Response:
        """Give the counters."""
        from prometheus_client import CONTENT_TYPE_LATEST
        from starlette.responses import Response

        return Response(self.meters.text(), 200, HEADERS, CONTENT_TYPE_LATEST)

    @contextlib.asynccontextmanager
    async def life(self, _: Starlette) -> AsyncIterator[None]:
        """Work from the start of the application to its end, and answer what waits then."""
        self.batcher.start()
        try:
            yield
        finally:
            await self.batcher.close()


def _hung_up() -> type[Exception]:
    """What is raised where a client goes away; nobody reads the answer, and it is no fault."""
    from starlette.requests import ClientDisconnect

    return ClientDisconnect


def _failed(status: int, said: str, headers: dict[str, str] | None = None) -> Response:
    """Answer that there is no judgement, and why."""
    return json_response(status, {"error": said}, headers)


def json_response(status: int, content: Any, headers: dict[str, str] | None = None) -> Response:
    """An answer as JSON in ASCII, with nothing in it that a browser could act on."""
    from starlette.responses import Response

    text = json.dumps(content, allow_nan=False).translate(ACTS)
    return Response(text, status, {**HEADERS, **(headers or {})}, "application/json")


def app(guard: Guarded, settings: Settings | None = None) -> Starlette:
    """Build the application for a guard: POST /v1/classify, GET /healthz, /readyz and /metrics.

    Raises:
        MissingExtra: where the packages of the service are not installed.
    """
    try:
        from starlette.applications import Starlette
        from starlette.middleware import Middleware
        from starlette.routing import Route
    except ImportError:
        raise MissingExtra(
            "the service is built on starlette; pip install 'mithridate[serve]'"
        ) from None
    service = Service(guard, settings or Settings())
    ends = service.ends()
    routes = [Route(path, function, methods=[method]) for path, function, method in ends]
    made = Starlette(
        routes=routes,
        exception_handlers={404: elsewhere, 405: elsewhere},
        lifespan=service.life,
        middleware=[Middleware(Counted, meters=service.meters)],
    )
    made.state.service = service
    return made


async def elsewhere(request: Request, error: Exception) -> Response:
    """Say what is served to who asks for another path or by another verb."""
    status = int(getattr(error, "status_code", 404))
    said = f"expected POST {PATHS[0]} with an input, or GET {', '.join(PATHS[1:])}"
    return json_response(status, {"error": said}, getattr(error, "headers", None))


class Counted:
    """Counts every answer by path and status, whatever gave it."""

    def __init__(self, app: ASGIApp, meters: Meters) -> None:
        self.app, self.meters = app, meters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and count its answer."""

        async def counting(message: Message) -> None:
            if message["type"] == "http.response.start":
                path = scope["path"] if scope["path"] in PATHS else "other"
                self.meters.requests.labels(path, str(message["status"])).inc()
            await send(message)

        await self.app(scope, receive, counting)
