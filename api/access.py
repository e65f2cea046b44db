"""Who may ask: API keys, their scopes, and requests in the name of other sites.

The middleware decides before a byte of the body is read. Without any key in the catalog everything
is allowed (such a service listens on loopback only, or was told `--insecure`).
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from fastapi import Depends, Request
from fastapi.params import Depends as Dependency
from fastapi.security import HTTPBearer
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Receive, Scope, Send

from api.errors import PROBLEMS_PATH, ApiError, ForeignOrigin, KeyNeeded, ScopeNeeded, problem_of
from likeness.catalog.serving import keys as key_rows
from likeness.catalog.serving.keys import ApiKey, ApiKeys

COOKIE = "likeness_key"
"""Holds the key of a person who uses the page: pictures cannot be asked for with a header."""

SESSION_PATH = "/v1/session"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_REMEMBERED_S = 5.0
_REMEMBERED = 1000


class Doorkeeper:
    """Remembers for a few seconds which keys are good. Belongs to the app's event loop."""

    def __init__(self, keys: ApiKeys, *, open_to_all: bool) -> None:
        """open_to_all: keys are not asked for, whether there are any or not."""
        self._keys, self._open = keys, open_to_all
        self._seen: dict[bytes, tuple[float, ApiKey | None]] = {}
        self._needed: tuple[float, bool] = (0.0, True)

    async def scope_of(self, presented: str | None) -> key_rows.Scope | None:
        """What may be done with this key, or without one; None: nothing.

        The catalog is asked in a thread, and only for what is not remembered.
        """
        if self._open or not await self._keys_needed():
            return key_rows.Scope.ADMIN
        if not presented:
            return None
        key = await self._verified(presented)
        return None if key is None else key.scope

    async def _keys_needed(self) -> bool:
        until, needed = self._needed
        if time.monotonic() < until:
            return needed
        needed = await run_in_threadpool(self._keys.any)
        self._needed = (time.monotonic() + _REMEMBERED_S, needed)
        return needed

    async def _verified(self, presented: str) -> ApiKey | None:
        digest = hashlib.sha256(presented.encode("utf-8", "replace")).digest()
        now = time.monotonic()
        until, key = self._seen.get(digest, (0.0, None))
        if now < until:
            return key
        key = await run_in_threadpool(self._keys.verify, presented)
        if len(self._seen) >= _REMEMBERED:
            self._seen.clear()
        self._seen[digest] = (now + _REMEMBERED_S, key)
        return key


def needs_key(path: str) -> bool:
    """Whether nothing at this address may be seen without a key. The page itself may: it asks."""
    if path.startswith((PROBLEMS_PATH, SESSION_PATH)):
        return False
    return path.startswith("/v1/") or path == "/metrics"


class Door:
    """ASGI middleware: `scope["state"]["scope"]` says what the asker may do.

    doorkeeper: of the running app, known once it has started. hosts: names that this server
    answers to, None for all; it keeps web pages elsewhere from reaching a server on loopback by a
    name that they control (DNS rebinding).
    """

    def __init__(
        self, app: ASGIApp, doorkeeper: Callable[[], Doorkeeper], hosts: frozenset[str] | None
    ) -> None:
        self._app, self._doorkeeper, self._hosts = app, doorkeeper, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        try:
            self._check_origin(scope["method"], headers)
            if needs_key(scope["path"]):
                allowed = await self._doorkeeper().scope_of(presented_key(headers))
                if allowed is None:
                    raise KeyNeeded(
                        "send a key as `Authorization: Bearer lk_…` (`likeness keys create` makes "
                        "one); this one is missing, wrong or revoked",
                        headers={"WWW-Authenticate": "Bearer"},
                    )
                scope.setdefault("state", {})["scope"] = allowed
        except ApiError as error:
            await problem_of(error)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _check_origin(self, method: str, headers: Headers) -> None:
        host = headers.get("host", "")
        name = _host_name(host)
        if self._hosts is not None and name not in self._hosts:
            raise ForeignOrigin(
                f"this server does not answer to the name {name[:100]!r}; use 127.0.0.1 or "
                "localhost, or serve with --host"
            )
        origin = headers.get("origin")
        if origin and method not in _SAFE and urlsplit_netloc(origin) != host.lower():
            raise ForeignOrigin(f"a page of {origin[:100]} may not change anything here")


def urlsplit_netloc(origin: str) -> str:
    """Host and port of an Origin header; empty for `null` and nonsense."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _host_name(host: str) -> str:
    """`[::1]:8000` → `[::1]`, `localhost:8000` → `localhost`."""
    if host.startswith("["):
        return host.partition("]")[0].lower() + "]"
    return host.partition(":")[0].lower()


def presented_key(headers: Headers) -> str | None:
    """The key that a request carries: in a header, or in the page's cookie."""
    kind, _, value = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer" and value.strip():
        return value.strip()
    direct = headers.get("x-api-key")
    if direct:
        return direct
    return cookie_parser(headers.get("cookie", "")).get(COOKIE)


_bearer = HTTPBearer(auto_error=False, description="An API key, `lk_…`; `likeness keys` makes it.")


def needs(needed: key_rows.Scope) -> Dependency:
    """A dependency: the asker's key has this scope, or a wider one."""

    async def check(request: Request, _documented: object = Depends(_bearer)) -> None:
        allowed = getattr(request.state, "scope", None)
        if allowed is None or not allowed.covers(needed):
            raise ScopeNeeded(
                f"this takes a key of scope {needed.value}; yours is of scope "
                f"{'none' if allowed is None else allowed.value}",
                extra={"needed": needed.value},
            )

    return Dependency(check)


MAY_READ = needs(key_rows.Scope.READ)
MAY_WRITE = needs(key_rows.Scope.WRITE)
MAY_ADMIN = needs(key_rows.Scope.ADMIN)
