"""Reading images again by the URIs that the catalog keeps."""

from __future__ import annotations

from indexer.sources.interface import DEFAULT_LIMITS, Closing, Source, SourceItem, SourceLimits
from indexer.sources.opening import open_archive, read_uri
from indexer.sources.remote.opening import is_remote, store_of
from indexer.sources.remote.stores import Store
from indexer.sources.uris import split_member_uri
from likeness.errors import SourceError, UnreadableSource


class UriReader(Closing):
    """Reads any URI of the catalog; keeps the last archive and every store open."""

    def __init__(self, limits: SourceLimits = DEFAULT_LIMITS) -> None:
        self._limits = limits
        self._archive: str | None = None
        self._source: Source | None = None
        self._items: dict[str, SourceItem] = {}
        self._stores: dict[str, Store] = {}

    def read(self, uri: str) -> bytes:
        """The bytes behind a URI. Raises UnreadableSource or ImageTooLarge."""
        member = split_member_uri(uri)
        if member is None and not is_remote(uri):
            return read_uri(uri, limits=self._limits)
        if member is None:
            return self._read_remote(uri)
        _, archive, name = member
        source = self._open(archive)
        if uri not in self._items:
            raise UnreadableSource(f"{archive}!/{name}", "the archive has no such member any more")
        return source.read(self._items[uri])

    def _read_remote(self, uri: str) -> bytes:
        scheme = uri.partition("://")[0].lower()
        try:
            if scheme not in self._stores:
                self._stores[scheme] = store_of(uri, self._limits)
            return self._stores[scheme].read(uri, None)
        except SourceError as error:
            raise UnreadableSource(uri, error.reason, error.remedy) from error

    def close(self) -> None:
        self._close_archive()
        for store in self._stores.values():
            store.close()
        self._stores.clear()

    def _close_archive(self) -> None:
        if self._source is not None:
            self._source.close()
        self._archive, self._source, self._items = None, None, {}

    def _open(self, archive: str) -> Source:
        if self._source is not None and self._archive == archive:
            return self._source
        self._close_archive()
        try:
            source = open_archive(archive, limits=self._limits)
        except SourceError as error:
            raise UnreadableSource(archive, error.reason) from error
        self._items = {item.uri: item for item in source.scan() if isinstance(item, SourceItem)}
        self._archive, self._source = archive, source
        return source
