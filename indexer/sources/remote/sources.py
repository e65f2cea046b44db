"""Sources over stores: everything below a prefix, one object, a listing of a web server."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from html.parser import HTMLParser
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

from indexer.sources.interface import (
    Closing,
    ProblemKind,
    SourceItem,
    SourceProblem,
)
from indexer.sources.patterns import ARCHIVES, Selection, extension
from indexer.sources.remote.stores import Entry, ListedStore, Store, WebStore
from likeness.errors import ImageTooLarge, SourceError, UnreadableSource

_NOT_OPENED = "an archive inside a folder is not opened; name it as a source of its own"


class PrefixSource(Closing):
    """Every object below a prefix of a store that may be an image, in the store's order."""

    root: str | None

    def __init__(self, prefix: str, store: ListedStore, selection: Selection) -> None:
        """prefix: a URI that ends with a slash."""
        self.root = self._prefix = prefix
        self._store, self._selection = store, selection
        self._unreadable: list[str] = []

    @property
    def unreadable(self) -> tuple[str, ...]:
        return tuple(self._unreadable)

    def scan(self) -> Iterator[SourceItem | SourceProblem]:
        self._unreadable.clear()
        try:
            for entry in self._store.entries(self._prefix):
                inside = unquote(entry.uri[len(self._prefix) :])
                if self._selection.takes_member(inside):
                    yield _offered(entry, inside)
        except UnreadableSource as error:
            self._unreadable.append(self._prefix)
            yield SourceProblem(
                self._prefix,
                f"the listing stopped: {error.reason}",
                ProblemKind.UNREADABLE,
                self._prefix,
            )

    def read(self, item: SourceItem) -> bytes:
        return _read(self._store, item)

    def exists(self, uri: str) -> bool:
        """Asks the store for what a scan did not meet; it may be there and left out by a pattern.

        Nothing is known to be gone when the listing stopped in the middle.
        """
        if self._unreadable:
            return True
        return _exists(self._store, uri)

    def close(self) -> None:
        self._store.close()


class ObjectSource(Closing):
    """One object or URL that was named by itself."""

    root: str | None = None
    unreadable: tuple[str, ...] = ()

    def __init__(self, uri: str, store: Store, entry: Entry | None = None) -> None:
        """entry: what the store says of it, where that was asked already."""
        self._uri, self._store, self._entry = uri, store, entry

    def scan(self) -> Iterator[SourceItem | SourceProblem]:
        if self._entry is not None:
            yield _offered(self._entry, "image")
        else:
            yield SourceItem(self._uri, self._uri, None, None)

    def read(self, item: SourceItem) -> bytes:
        return _read(self._store, item)

    def exists(self, uri: str) -> bool:
        return _exists(self._store, uri) if self._entry is not None else True

    def close(self) -> None:
        self._store.close()


class ListingSource(Closing):
    """The files that a web server lists below an address, as Apache, nginx and others show them.

    Only what lies below the address counts, wherever links lead. A line's date and size tell
    whether a file changed; where a server shows none, it is asked for each file's headers.
    """

    root: str | None

    def __init__(self, url: str, store: WebStore, selection: Selection) -> None:
        """url: ends with a slash."""
        self._named = url
        self.root = self._base = url
        self._store, self._selection = store, selection
        self._unreadable: list[str] = []

    @property
    def unreadable(self) -> tuple[str, ...]:
        return tuple(self._unreadable)

    def scan(self) -> Iterator[SourceItem | SourceProblem]:
        self._unreadable.clear()
        stack, visited = [self._base], {self._base}
        while stack:
            folder = stack.pop()
            try:
                links = self._links(folder)
            except (UnreadableSource, ImageTooLarge) as error:
                self._unreadable.append(folder)
                reason = f"the listing cannot be read: {error.reason}"
                yield SourceProblem(folder, reason, ProblemKind.UNREADABLE, folder)
                continue
            below = []
            for url, line in sorted(links.items()):
                inside = unquote(url[len(self._base) :])
                if not url.endswith("/"):
                    if self._selection.takes_member(inside):
                        yield self._offer(url, line, inside)
                elif url not in visited and self._selection.enters(inside.rstrip("/")):
                    visited.add(url)
                    below.append(url)
            stack.extend(reversed(below))

    def read(self, item: SourceItem) -> bytes:
        return _read(self._store, item)

    def exists(self, uri: str) -> bool:
        return _exists(self._store, uri)

    def close(self) -> None:
        self._store.close()

    def _links(self, folder: str) -> dict[str, str]:
        """URL → what stands behind it in its line."""
        answer = self._store.page(folder)
        if "html" not in answer.headers.get("content-type", "html"):
            raise UnreadableSource(folder, "it is no listing but a file")
        page = _Links()
        page.feed(answer.body.decode("utf-8", "replace"))
        page.close()
        found: dict[str, str] = {}
        for href, line in page.found:
            url = urldefrag(urljoin(answer.url, href)).url
            # A server may have moved us (http → https): its links are told in the terms asked for.
            if url.startswith(answer.url):
                url = folder + url[len(answer.url) :]
            if url.startswith(folder) and url != folder and not urlsplit(url).query:
                found.setdefault(_quoted(url), line)
        return found

    def _offer(self, url: str, line: str, inside: str) -> SourceItem | SourceProblem:
        if extension(inside) in ARCHIVES:
            return SourceProblem(url, _NOT_OPENED, ProblemKind.SKIPPED)
        match = _LINE.search(line)
        if match is not None:
            size = int(match[2]) if match[2].isdecimal() else None
            return SourceItem(url, unquote(url), size, _version_of_line(match[1], match[0]))
        try:
            entry = self._store.info(url)
        except UnreadableSource:
            entry = None  # reading will tell
        if entry is None:
            return SourceItem(url, unquote(url), None, None)
        return SourceItem(url, unquote(url), entry.size, entry.version)


class _Links(HTMLParser):
    """found: (address, text between this link and the next) of each link."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            href = next((value for name, value in attrs if name == "href" and value), None)
            self._inside = True
            if href is not None:
                self.found.append((href, ""))

    def handle_endtag(self, tag: str) -> None:
        if tag == "a":
            self._inside = False

    def handle_data(self, data: str) -> None:
        if self.found and not self._inside:
            href, line = self.found[-1]
            self.found[-1] = (href, (line + " " + data)[:500])


_LINE = re.compile(
    r"(\d{1,2}-[A-Z][a-z]{2}-\d{4} \d{2}:\d{2}|\d{4}-\d{2}-\d{2} \d{2}:\d{2})\s+([\d.]+[KMGkmg]?)"
)


def _version_of_line(date: str, line: str) -> int:
    """As `stores.version_of`, with the line in place of an ETag."""
    form = "%Y-%m-%d %H:%M" if date[4] == "-" else "%d-%b-%Y %H:%M"
    moment = datetime.strptime(date, form).replace(tzinfo=UTC)
    digest = hashlib.blake2b(" ".join(line.split()).encode(), digest_size=8).digest()
    fraction = int.from_bytes(digest, "little") % 1_000_000_000
    return int(moment.timestamp()) * 1_000_000_000 + fraction


def _quoted(url: str) -> str:
    """ASCII, for the catalog: what a page wrote plainly is escaped."""
    if url.isascii() and not re.search(r"\s", url):
        return url
    return "".join(
        c if c.isascii() and not c.isspace() else "".join(f"%{b:02X}" for b in c.encode())
        for c in url
    )


def _offered(entry: Entry, inside: str) -> SourceItem | SourceProblem:
    if extension(inside) in ARCHIVES:
        return SourceProblem(entry.path, _NOT_OPENED, ProblemKind.SKIPPED)
    return SourceItem(entry.uri, entry.path, entry.size, entry.version)


def _read(store: Store, item: SourceItem) -> bytes:
    try:
        return store.read(item.uri, item.size)
    except SourceError as error:  # credentials that ran out are a fault of this image's reading
        raise UnreadableSource(item.path, error.reason, error.remedy) from error


def _exists(store: Store, uri: str) -> bool:
    try:
        return store.info(uri) is not None
    except (UnreadableSource, SourceError):
        return True
