"""`s3://`, `gs://`, `https://` as the user named them → the sources that read them."""

from __future__ import annotations

import re
from dataclasses import replace
from urllib.parse import urlsplit

from indexer.sources.interface import Source, SourceLimits
from indexer.sources.patience import rates_of
from indexer.sources.patterns import Selection
from indexer.sources.remote.archives import RemoteArchive, RemoteTarSource
from indexer.sources.remote.objects import ObjectStore
from indexer.sources.remote.sources import ListingSource, ObjectSource, PrefixSource
from indexer.sources.remote.stores import Store, WebStore
from indexer.sources.uris import OBJECT_SCHEMES, object_uri
from indexer.sources.web import is_url
from indexer.sources.zipped import ZipSource
from likeness.errors import SourceError, UnreadableSource

_TAR = re.compile(r"\.(tar|tgz|tbz2|txz|tzst|tar\.(gz|bz2|xz|zst))$", re.IGNORECASE)
_ZIP = re.compile(r"\.zip$", re.IGNORECASE)


def is_remote(spec: str) -> bool:
    """Whether a source that the user named is elsewhere."""
    return is_url(spec) or spec.partition("://")[0].lower() in OBJECT_SCHEMES


def store_of(uri: str, limits: SourceLimits) -> Store:
    """The store that a URI lies in. Raises SourceError when its package is not installed."""
    if is_url(uri):
        return WebStore(limits, rates_of("web", limits.web_rate))
    return _object_store(uri.partition("://")[0].lower(), limits)


def open_remote(spec: str, selection: Selection, limits: SourceLimits) -> Source:
    """The objects below a prefix, one object, an archive, or the listing of a web server.

    The host of a URL that the operator named may be a private one. Raises SourceError when there
    is nothing there that can be read.
    """
    if is_url(spec):
        host = urlsplit(spec).hostname or ""
        limits = replace(limits, trusted_hosts=limits.trusted_hosts | {host})
        path = urlsplit(spec).path
        if path.endswith("/") or not path:
            base = spec if path else spec + "/"
            return ListingSource(
                base, WebStore(limits, rates_of("web", limits.web_rate)), selection
            )
        store = store_of(spec, limits)
        if not (_TAR.search(path) or _ZIP.search(path)):
            return ObjectSource(spec, store)
        return _open_archive(spec, store, selection, limits)
    scheme, bucket, key = _parts(spec)
    store = _object_store(scheme, limits)
    uri = object_uri(scheme, bucket, key)
    if _TAR.search(key) or _ZIP.search(key):
        return _open_archive(uri, store, selection, limits)
    try:
        entry = None if not key or key.endswith("/") else store.info(uri)
    except UnreadableSource as error:
        raise SourceError(spec, error.reason) from error
    if entry is not None:
        return ObjectSource(uri, store, entry)
    prefix = uri if uri.endswith("/") else uri + "/"
    return PrefixSource(prefix, store, selection)


def expand(spec: str, limits: SourceLimits) -> list[str]:
    """The sources that one word stands for: `{000..127}`, `{train,val}` and, in stores, `*`.

    As shells do it for local names, which is why those are left as they are.
    Raises SourceError when a pattern matches nothing.
    """
    if not is_remote(spec):
        return [spec]
    specs = _braces(spec)
    if is_url(spec):
        return specs
    found: list[str] = []
    for one in specs:
        if not re.search(r"[*?\[]", one):
            found.append(one)
            continue
        scheme, bucket, key = _parts(one)
        store = _object_store(scheme, limits)
        try:
            entries = store.glob(object_uri(scheme, bucket, key))
        except UnreadableSource as error:
            raise SourceError(one, error.reason) from error
        if not entries:
            raise SourceError(one, "nothing matches it", "check its name")
        found += [entry.path for entry in entries]
    return found


def _object_store(scheme: str, limits: SourceLimits) -> ObjectStore:
    return ObjectStore(scheme, limits, rates_of("store", limits.store_rate))


def _open_archive(uri: str, store: Store, selection: Selection, limits: SourceLimits) -> Source:
    try:
        entry = store.info(uri)
        if entry is None:
            raise SourceError(uri, "there is no such archive", "check its name")
        archive = RemoteArchive(entry, store)
        if _ZIP.search(urlsplit(uri).path):
            return ZipSource(archive, selection, limits)
        return RemoteTarSource(archive, selection, limits)
    except UnreadableSource as error:
        raise SourceError(uri, error.reason) from error


def _parts(spec: str) -> tuple[str, str, str]:
    """(scheme, bucket, key) of what a person typed: nothing in it is escaped."""
    scheme, _, rest = spec.partition("://")
    bucket, _, key = rest.partition("/")
    if not bucket:
        raise SourceError(spec, "it names no bucket", f"write {scheme}://bucket/folder/")
    return scheme.lower(), bucket, key


_BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}|\{([^{}]*,[^{}]*)\}")


def _braces(spec: str) -> list[str]:
    match = _BRACES.search(spec)
    if match is None:
        return [spec]
    if match[3] is not None:
        words = match[3].split(",")
    else:
        first, last = int(match[1]), int(match[2])
        width = len(match[1]) if match[1].startswith("0") else 0
        words = [f"{number:0{width}d}" for number in range(first, last + 1)]
    head, tail = spec[: match.start()], spec[match.end() :]
    return [expanded for word in words for expanded in _braces(f"{head}{word}{tail}")]
