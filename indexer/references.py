"""Images by reference, as queued work carries them: what a scan found, as JSON values and back."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from indexer.items import Unchanged, Wanted
from indexer.plan import SeenUris
from indexer.sources import Source, SourceItem, SourceLimits, SourceProblem, UriReader
from indexer.sources.uris import path_from_uri, split_member_uri
from likeness.catalog.records import SourceFacts

Packed = list[Any]
"""[uri, path, size, mtime_ns, fields], and [image id, sha256] where the image is stored already."""


def pack_reference(item: Wanted | Unchanged) -> Packed:
    """JSON values."""
    if isinstance(item, Unchanged):
        facts = item.source
        known = [item.image_id, facts.sha256]
        return [facts.uri, facts.path, facts.size, facts.mtime_ns, dict(facts.fields), known]
    found = item.item
    return [found.uri, found.path, found.size, found.mtime_ns, dict(found.fields)]


def unpack_reference(packed: Packed) -> Wanted | Unchanged:
    """What `pack_reference` was given."""
    uri, path, size, mtime_ns, fields, *known = packed
    if known:
        image_id, sha256 = known[0]
        return Unchanged(SourceFacts(uri, path, sha256, size, mtime_ns, fields), image_id)
    return Wanted(SourceItem(uri, path, size, mtime_ns, fields))


def facts_of(packed: Packed) -> SourceFacts:
    """What the catalog keeps of a reference whose bytes are not known."""
    uri, path, size, mtime_ns, fields = packed[:5]
    return SourceFacts(uri, path, "", size, mtime_ns, fields)


def uris_of(payload: Mapping[str, Any]) -> Iterator[str]:
    """The URIs of a piece of work."""
    for packed in payload.get("items", ()):
        yield packed[0]


class UriSource:
    """Reads what any scan found, by URI, on any machine that can reach it. Thread-safe."""

    def __init__(self, limits: SourceLimits) -> None:
        self._reader = UriReader(limits)
        self._lock = threading.Lock()

    def read(self, item: SourceItem) -> bytes:
        """Raises UnreadableSource or ImageTooLarge."""
        if split_member_uri(item.uri) is None:
            return self._reader.read(item.uri)
        with self._lock:  # it keeps one archive open, for all that read its members
            return self._reader.read(item.uri)

    def exists(self, uri: str) -> bool:
        """False only when it is surely no longer there."""
        member = split_member_uri(uri)
        try:
            path = path_from_uri(uri) if member is None else member[1]
            Path(path).stat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        except (OSError, ValueError):
            return True
        return True

    def close(self) -> None:
        self._reader.close()


class Remaining:
    """A source without what an earlier attempt of its scan has handed out already."""

    def __init__(self, source: Source, handed_out: SeenUris, seen: SeenUris) -> None:
        self._source, self._handed_out, self._seen = source, handed_out, seen
        self.hidden = 0

    def scan(self) -> Iterator[SourceItem | SourceProblem]:
        """What is left. Hidden items count as seen, so that they are not taken for vanished."""
        for found in self._source.scan():
            hide = (
                isinstance(found, SourceItem)
                and found.uri in self._handed_out
                and found.uri not in self._seen
            )
            if hide:
                assert isinstance(found, SourceItem)
                self._seen.add(found.uri)
                self.hidden += 1
                continue
            yield found
