"""What every request passes through: bounds on its body, and the counters."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import BadRequest, BodyTooLarge, BodyTooSlow, problem_of
from api.metrics import Metrics


class BodyGuard:
    """ASGI middleware: bodies larger than `max_bytes`, or slower than `timeout_s`, are cut off."""

    def __init__(self, app: ASGIApp, *, max_bytes: int, timeout_s: float) -> None:
        self._app, self._max_bytes, self._timeout_s = app, max_bytes, timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "0")
        if not (declared.isascii() and declared.isdecimal()):
            error = BadRequest(f"Content-Length is {declared[:40]!r}; it is a number of bytes")
            await problem_of(error)(scope, receive, send)
            return
        if int(declared[:20]) > self._max_bytes:
            await problem_of(self._too_large())(scope, receive, send)
            return
        await self._app(scope, self._bounded(receive), send)

    def _too_large(self) -> BodyTooLarge:
        return BodyTooLarge(
            f"the body is larger than the limit of {self._max_bytes:,} bytes; send less at once, "
            "or raise LIKENESS_MAX_BODY",
            extra={"limit": self._max_bytes},
        )

    def _bounded(self, receive: Receive) -> Receive:
        seen, complete = 0, False
        deadline = asyncio.get_running_loop().time() + self._timeout_s

        async def bounded() -> Message:
            nonlocal seen, complete
            if complete:
                return await receive()
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                # Starlette's own, because body parsers hand that on and turn others into a 400.
                raise HTTPException(408, _too_slow(self._timeout_s)) from None
            if message["type"] == "http.request":
                seen += len(message.get("body", b""))
                complete = not message.get("more_body", False)
                if seen > self._max_bytes:
                    raise HTTPException(413, str(self._too_large()))
            return message

        return bounded


def _too_slow(timeout_s: float) -> str:
    return str(BodyTooSlow(f"the body did not arrive within {timeout_s:g} s"))


class Counting:
    """ASGI middleware: every request is counted and timed under its route, not its address."""

    def __init__(self, app: ASGIApp, metrics: Callable[[], Metrics]) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun, status = time.perf_counter(), 500

        async def counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, counted)
        finally:
            route = getattr(scope.get("route"), "path", "none")
            metrics = self._metrics()
            metrics.requests.labels(scope["method"], route, status).inc()
            seconds = time.perf_counter() - begun
            metrics.request_seconds.labels(scope["method"], route).observe(seconds)
