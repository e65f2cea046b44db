"""Images by URL, fetched so that a URL cannot reach what it should not or cost what it may not.

The host is resolved once, every address it has is checked, and the connection goes to the checked
address: a second answer of the name server cannot redirect it to this machine (DNS rebinding).
Each redirect is treated as a new URL.
"""

from __future__ import annotations

import ipaddress
import socket
import time
from collections.abc import Callable

import httpx

from indexer.sources.files import too_large
from indexer.sources.interface import SourceLimits
from likeness.errors import UnreadableSource

Resolve = Callable[[str, int], list[str]]
"""Host and port → IP addresses; raises OSError."""

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_CONNECT_S = 10.0
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


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


class WebReader:
    """Fetches http(s) URLs within `limits`. Thread-safe; close it when done."""

    def __init__(self, limits: SourceLimits, *, resolver: Resolve = resolve) -> None:
        self._limits, self._resolve = limits, resolver
        self._client = httpx.Client(
            follow_redirects=False,
            trust_env=False,  # a proxy would resolve the name itself, past the check
            timeout=httpx.Timeout(_CONNECT_S),
            headers={"User-Agent": "likeness", "Accept": "image/*,*/*;q=0.5"},
        )

    def read(self, url: str) -> bytes:
        """The body behind `url`. Raises UnreadableSource or ImageTooLarge, naming `url`."""
        deadline = time.monotonic() + self._limits.url_timeout_s
        target = self._parse(url, url)
        try:
            for _ in range(self._limits.max_redirects + 1):
                found = self._get(target, url, deadline)
                if isinstance(found, bytes):
                    return found
                target = found
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            reason = str(error) or type(error).__name__
            raise UnreadableSource(url, f"it cannot be fetched: {reason}") from error
        raise UnreadableSource(url, f"more than {self._limits.max_redirects} redirects")

    def close(self) -> None:
        self._client.close()

    def _get(self, target: httpx.URL, url: str, deadline: float) -> bytes | httpx.URL:
        """The body of `target`, or where it redirects to."""
        address = self._checked_address(target, url)
        request = self._client.build_request(
            "GET",
            target.copy_with(host=address),
            headers={"Host": target.netloc.decode("ascii"), "Accept-Encoding": "identity"},
            extensions={"sni_hostname": target.raw_host.decode("ascii")},
        )
        response = self._client.send(request, stream=True)
        try:
            if response.status_code in _REDIRECTS and "location" in response.headers:
                return self._parse(str(target.join(response.headers["location"])), url)
            if response.status_code != 200:
                raise UnreadableSource(url, f"the server answered {response.status_code}")
            if response.headers.get("content-encoding", "identity").lower() != "identity":
                raise UnreadableSource(url, "the server compresses images, which is not read")
            return self._body(response, url, deadline)
        finally:
            response.close()

    def _body(self, response: httpx.Response, url: str, deadline: float) -> bytes:
        declared = response.headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > self._limits.max_bytes:
            raise too_large(url, int(declared), self._limits)
        body = bytearray()
        for part in response.iter_raw(1 << 16):
            body += part
            if len(body) > self._limits.max_bytes:
                raise too_large(url, len(body), self._limits)
            if time.monotonic() > deadline:
                limit = self._limits.url_timeout_s
                raise UnreadableSource(url, f"fetching it took longer than {limit:g} s")
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
        if not self._limits.allow_private:
            for address in addresses:
                if not is_public(address):
                    raise UnreadableSource(
                        url,
                        f"{target.host} is an address of this machine or its network ({address})",
                        "set LIKENESS_ALLOW_PRIVATE_URLS to allow it",
                    )
        return addresses[0]
