"""Object stores through fsspec: s3fs for `s3://`, gcsfs for `gs://`, its own `memory://`.

Listings come a page at a time, so that a bucket of any size costs little memory. Credentials are
the libraries' own: environment, profile, instance role.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, TypeVar

from indexer.sources.files import too_large
from indexer.sources.interface import SourceLimits
from indexer.sources.patience import HostRates, PassingTrouble, patiently
from indexer.sources.remote.stores import Entry, host_of, version_of
from indexer.sources.uris import object_uri, split_object_uri
from indexer.sources.web import Gone
from likeness.errors import SourceError, UnreadableSource

T = TypeVar("T")

_INSTALL = "pip install 'likeness[remote]'"
_PACKAGES = {"s3": "s3fs", "gs": "gcsfs", "memory": "fsspec"}
_CREDENTIALS = {
    "s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or give this machine a "
    "role; for a public bucket set FSSPEC_S3_ANON=true",
    "gs": "run `gcloud auth application-default login` or set GOOGLE_APPLICATION_CREDENTIALS; for "
    "a public bucket set FSSPEC_GS_TOKEN=anon",
    "memory": "",
}


class ObjectStore:
    """The objects of one scheme. Thread-safe."""

    def __init__(self, scheme: str, limits: SourceLimits, rates: HostRates) -> None:
        """Raises SourceError when the package for the scheme is not installed."""
        self._scheme, self._limits, self._rates = scheme, limits, rates
        self._files = _file_system(scheme)

    def info(self, uri: str) -> Entry | None:
        try:
            facts = self._ask(uri, lambda: self._files.info(self._path(uri)))
        except Gone:
            return None
        return None if facts.get("type") == "directory" else self._entry(facts)

    def entries(self, prefix: str) -> Iterator[Entry]:
        listed = self._pages_of_s3(prefix) if self._scheme == "s3" else self._walk(prefix)
        for facts in listed:
            name = str(facts["name"])
            if facts.get("type") != "directory" and not name.endswith("/"):
                yield self._entry(facts)

    def glob(self, pattern: str) -> list[Entry]:
        """The objects that a URI with `*` means, sorted. Raises UnreadableSource."""
        parts = split_object_uri(pattern)
        assert parts is not None
        path = f"{parts[1]}/{parts[2]}"
        found = self._ask(pattern, lambda: self._files.glob(path, detail=True))
        return [self._entry(found[name]) for name in sorted(found)]

    def read(self, uri: str, size: int | None) -> bytes:
        if size is None:
            known = self.info(uri)
            if known is None:
                raise Gone(uri, "there is no such object")
            size = known.size or 0
        if size > self._limits.max_bytes:
            raise too_large(uri, size, self._limits)
        if not size:
            return b""
        data = self.read_range(uri, 0, size + 1)  # one more: tells that it has grown
        if len(data) != size:
            raise UnreadableSource(uri, "it changed while being read", "index it again later")
        return data

    def read_range(self, uri: str, start: int, stop: int) -> bytes:
        path = self._path(uri)

        def read() -> bytes:
            if getattr(self._files, "async_impl", False):
                from fsspec.asyn import sync  # the timeout is for the whole download

                data: bytes = sync(
                    self._files.loop,
                    self._files._cat_file,
                    path,
                    start=start,
                    end=stop,
                    timeout=self._limits.url_timeout_s,
                )
            else:
                data = self._files.cat_file(path, start=start, end=stop)
            return data

        return self._ask(uri, read)

    def close(self) -> None:
        """fsspec keeps its sessions for whoever comes next."""

    def _walk(self, prefix: str) -> Iterator[dict[str, Any]]:
        """Folder by folder, sorted; objects of a folder before what is in its folders."""
        stack = [self._path(prefix).rstrip("/")]
        while stack:
            folder = stack.pop()
            try:
                listed = self._list(prefix, folder)
            except Gone:
                if folder == self._path(prefix).rstrip("/"):
                    return
                continue
            listed = sorted(listed, key=lambda facts: str(facts["name"]))
            yield from (facts for facts in listed if facts.get("type") != "directory")
            below = [str(facts["name"]) for facts in listed if facts.get("type") == "directory"]
            stack.extend(name for name in reversed(below) if name.rstrip("/") != folder)

    def _list(self, prefix: str, folder: str) -> list[dict[str, Any]]:
        return list(self._ask(prefix, lambda: self._files.ls(folder, detail=True)))

    def _pages_of_s3(self, prefix: str) -> Iterator[dict[str, Any]]:
        parts = split_object_uri(prefix)
        assert parts is not None
        _, bucket, key = parts
        options: dict[str, Any] = {"Bucket": bucket, "Prefix": key}
        while True:
            page = self._ask(prefix, lambda: self._files.call_s3("list_objects_v2", **options))
            for found in page.get("Contents", ()):
                yield {**found, "name": f"{bucket}/{found['Key']}", "size": found["Size"]}
            if not page.get("IsTruncated"):
                return
            options["ContinuationToken"] = page["NextContinuationToken"]

    def _entry(self, facts: dict[str, Any]) -> Entry:
        bucket, _, key = str(facts["name"]).lstrip("/").partition("/")
        modified = _moment(next((facts[name] for name in _TIMES if facts.get(name)), None))
        etag = facts.get("ETag") or facts.get("etag") or facts.get("md5Hash")
        shown = f"{self._scheme}://{bucket}/{key}".encode("utf-8", "replace").decode()
        return Entry(
            object_uri(self._scheme, bucket, key),
            shown,
            int(facts["size"]),
            version_of(modified, etag),
        )

    def _path(self, uri: str) -> str:
        parts = split_object_uri(uri)
        if parts is None:
            raise UnreadableSource(uri, "it is not the URI of an object")
        return f"{parts[1]}/{parts[2]}"

    def _ask(self, uri: str, ask: Callable[[], T]) -> T:
        def once() -> T:
            self._rates.take(host_of(uri))
            try:
                return ask()
            except UnreadableSource:
                raise
            except Exception as error:  # whatever the library of a store raises
                raise self._meaning(uri, error) from error

        return patiently(once, retries=self._limits.retries)

    def _meaning(self, uri: str, error: Exception) -> Exception:
        kind = type(error).__name__
        if isinstance(error, FileNotFoundError):
            return Gone(uri, "there is no such object")
        if kind in _NO_CREDENTIALS:
            return SourceError(uri, "there are no credentials for it", _CREDENTIALS[self._scheme])
        if isinstance(error, PermissionError) or str(error).startswith(_FORBIDDEN):
            said = str(error) or "access denied"
            return SourceError(uri, f"it may not be read ({said})", _CREDENTIALS[self._scheme])
        if isinstance(error, asyncio.TimeoutError):
            reason = f"fetching it took longer than {self._limits.url_timeout_s:g} s"
            return PassingTrouble(uri, reason)
        return PassingTrouble(uri, f"it cannot be fetched: {str(error) or kind}")


_FORBIDDEN = ("Forbidden", "Anonymous caller", "Invalid Credentials")
"""How gcsfs begins what it says of a bucket that may not be read; an OSError like any other."""
_TIMES = ("LastModified", "updated", "mtime", "created")
_NO_CREDENTIALS = frozenset(
    {
        "NoCredentialsError",
        "PartialCredentialsError",
        "DefaultCredentialsError",
        "TokenRetrievalError",
    }
)


def _moment(value: object) -> datetime | None:
    """Stores tell times as datetimes, as text, or as seconds since 1970."""
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    if isinstance(value, str):
        return datetime.fromisoformat(value).astimezone(UTC)
    return datetime.fromtimestamp(value, UTC) if isinstance(value, int | float) else None


def _file_system(scheme: str) -> Any:
    package = _PACKAGES[scheme]
    try:
        import fsspec  # slow to import, and few runs need it

        # No cache of listings: a scan must see what is there now.
        return fsspec.filesystem(scheme, use_listings_cache=False)
    except ImportError as error:
        raise SourceError(f"{scheme}://", f"{package} is not installed", _INSTALL) from error
    except Exception as error:  # gcsfs looks for credentials when it is made
        if type(error).__name__ in _NO_CREDENTIALS:
            remedy = _CREDENTIALS[scheme]
            raise SourceError(f"{scheme}://", "there are no credentials", remedy) from error
        raise SourceError(f"{scheme}://", f"the store cannot be opened: {error}") from error
