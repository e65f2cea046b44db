"""Images by URL, fetched so that a URL cannot reach what it should not or cost what it may not.

The host is resolved once, every address it has is checked, and the connection goes to the checked
address: a second answer of the name server cannot redirect it to this machine (DNS rebinding).
Each redirect is treated as a new URL.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

import httpx

from indexer.sources.files import too_large
from indexer.sources.interface import SourceLimits
from indexer.sources.patience import PassingTrouble
from likeness.errors import UnreadableSource

Resolve = Callable[[str, int], list[str]]
"""Host and port → IP addresses; raises OSError."""

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})
_GONE = frozenset({404, 410})
NO_HEADERS: Mapping[str, str] = {}
_STEP_S = 10.0
"""To connect, and for each part of an answer; the whole has its own limit."""

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class Gone(UnreadableSource):
    """The server says that there is no such thing."""


def is_url(text: str) -> bool:
    return text.lower().startswith(("http://", "https://"))


def resolve(host: str, port: int) -> list[str]:
    """Every address of `host`, as the system's resolver orders them."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[4][0]) for address in found))


def is_public(address: str) -> bool:
    """Whether an IP address lies in the public internet, whatever it is wrapped in."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is None and ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


@dataclass(frozen=True, slots=True)
class Answer:
    """url: after redirects."""

    url: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def size(self) -> int | None:
        """As declared, in bytes."""
        declared = self.headers.get("content-length", "")
        return int(declared) if declared.isdecimal() else None


class WebReader:
    """Fetches http(s) URLs within `limits`. Thread-safe; close it when done."""

    def __init__(self, limits: SourceLimits, *, resolver: Resolve = resolve) -> None:
        self._limits, self._resolve = limits, resolver
        self._too_slow = f"fetching it took longer than {limits.url_timeout_s:g} s"
        self._client = httpx.Client(
            follow_redirects=False,
            trust_env=False,  # a proxy would resolve the name itself, past the check
            timeout=httpx.Timeout(_STEP_S),
            limits=httpx.Limits(max_keepalive_connections=0),  # `_Cut` follows new ones only
            headers={"User-Agent": "likeness", "Accept": "image/*,*/*;q=0.5"},
        )

    def read(self, url: str) -> bytes:
        """The body behind `url`. Raises UnreadableSource or ImageTooLarge, naming `url`.

        What may pass by itself (a busy server, a broken connection) is a PassingTrouble.
        """
        return self.ask(url).body

    def head(self, url: str) -> Answer:
        """What the server says of `url` without sending it; as `read`."""
        return self.ask(url, method="HEAD")

    def read_range(self, url: str, start: int, stop: int) -> bytes:
        """The bytes start..stop (excluded), fewer at the end; as `read`."""
        answer = self.ask(url, headers={"Range": f"bytes={start}-{stop - 1}"}, expected=206)
        return answer.body[: stop - start]

    def ask(
        self,
        url: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] = NO_HEADERS,
        expected: int = 200,
    ) -> Answer:
        """The server's answer, whose status is the expected one; as `read`."""
        target = self._parse(url, url)
        with _Cut(self._limits.url_timeout_s) as cut:
            try:
                for _ in range(self._limits.max_redirects + 1):
                    found = self._ask(target, url, cut, method, headers, expected)
                    if cut.done:  # without a declared length a cut looks like the end
                        raise PassingTrouble(url, self._too_slow)
                    if isinstance(found, Answer):
                        return found
                    target = found
            except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
                reason = f"it cannot be fetched: {str(error) or type(error).__name__}"
                raise PassingTrouble(url, self._too_slow if cut.done else reason) from error
        raise UnreadableSource(url, f"more than {self._limits.max_redirects} redirects")

    def close(self) -> None:
        self._client.close()

    def _ask(
        self,
        target: httpx.URL,
        url: str,
        cut: _Cut,
        method: str,
        headers: Mapping[str, str],
        expected: int,
    ) -> Answer | httpx.URL:
        """The answer of `target`, or where it redirects to."""
        address = self._checked_address(target, url)
        request = self._client.build_request(
            method,
            target.copy_with(host=address),
            headers={
                **headers,
                "Host": target.netloc.decode("ascii"),
                "Accept-Encoding": "identity",
            },
            extensions={"sni_hostname": target.raw_host.decode("ascii"), "trace": cut.follow},
        )
        response = self._client.send(request, stream=True)
        try:
            if response.status_code in _REDIRECTS and "location" in response.headers:
                return self._parse(str(target.join(response.headers["location"])), url)
            if response.status_code != expected:
                raise _refusal(url, response, expected)
            if response.headers.get("content-encoding", "identity").lower() != "identity":
                raise UnreadableSource(url, "the server compresses images, which is not read")
            body = b"" if method == "HEAD" else self._body(response, url)
            return Answer(str(target), response.headers, body)
        finally:
            response.close()

    def _body(self, response: httpx.Response, url: str) -> bytes:
        declared = response.headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > self._limits.max_bytes:
            raise too_large(url, int(declared), self._limits)
        body = bytearray()
        for part in response.iter_raw():
            body += part
            if len(body) > self._limits.max_bytes:
                raise too_large(url, len(body), self._limits)
        return bytes(body)

    def _parse(self, text: str, url: str) -> httpx.URL:
        try:
            parsed = httpx.URL(text)
        except httpx.InvalidURL as error:
            raise UnreadableSource(url, f"it is not a URL: {error}") from error
        if parsed.scheme not in {"http", "https"} or not parsed.host:
            raise UnreadableSource(url, f"it leads to {text[:200]}, and only http(s) is fetched")
        if parsed.userinfo:
            raise UnreadableSource(url, "it holds a user name or password", "leave them out")
        return parsed

    def _checked_address(self, target: httpx.URL, url: str) -> str:
        port = target.port or (443 if target.scheme == "https" else 80)
        try:
            addresses = self._resolve(target.host, port)
        except (OSError, UnicodeError) as error:
            raise UnreadableSource(url, f"{target.host} cannot be resolved") from error
        if not addresses:
            raise UnreadableSource(url, f"{target.host} has no address")
        if not self._limits.allow_private and target.host not in self._limits.trusted_hosts:
            for address in addresses:
                if not is_public(address):
                    raise UnreadableSource(
                        url,
                        f"{target.host} is an address of this machine or its network ({address})",
                        "set LIKENESS_ALLOW_PRIVATE_URLS to allow it",
                    )
        return addresses[0]


class _Cut:
    """Cuts a download's connections when its time is up, whatever it waits for.

    Timeouts of sockets start anew with every byte: a server that drips its headers would never
    meet one.
    """

    def __init__(self, seconds: float) -> None:
        self.done = False
        self._lock = threading.Lock()
        self._twins: list[socket.socket] = []
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True

    def follow(self, event: str, info: dict[str, Any]) -> None:
        """httpcore's trace: take note of each new connection."""
        if event != "connection.connect_tcp.complete":
            return
        # A second descriptor of the same connection: TLS takes the first one for itself.
        twin = info["return_value"].get_extra_info("socket").dup()
        with self._lock:
            self._twins.append(twin)
            if self.done:
                _shut(twin)

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._timer.cancel()
        with self._lock:
            for twin in self._twins:
                twin.close()
            self._twins.clear()

    def _cut(self) -> None:
        with self._lock:
            self.done = True
            for twin in self._twins:
                _shut(twin)


def _refusal(url: str, response: httpx.Response, expected: int) -> UnreadableSource:
    status = response.status_code
    if expected == 206 and status == 200:
        return UnreadableSource(url, "the server does not give parts of files (Range)")
    if status in _BUSY:
        wait = response.headers.get("retry-after", "")
        after_s = float(wait) if wait.isdecimal() else None
        return PassingTrouble(url, f"the server answered {status}", after_s=after_s)
    if status in _GONE:
        return Gone(url, f"the server answered {status}")
    return UnreadableSource(url, f"the server answered {status}")


def _shut(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
