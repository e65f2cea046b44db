"""Lists of paths and URLs: text, CSV or Parquet; the columns beside them become fields."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from indexer.sources.files import file_exists, read_file
from indexer.sources.interface import (
    NO_FIELDS,
    Closing,
    Fields,
    ProblemKind,
    SourceItem,
    SourceLimits,
    SourceProblem,
)
from indexer.sources.remote.opening import is_remote, store_of
from indexer.sources.remote.stores import Store
from indexer.sources.samples import cell, field_value
from indexer.sources.uris import file_uri, object_uri, path_from_uri, shown
from indexer.sources.web import is_url
from likeness.errors import SourceError, UnreadableSource

COLUMNS = ("path", "url", "file", "image", "filename", "file_name", "image_path", "image_url")
"""Looked for in this order, ignoring case, when no column is named."""

_BATCH = 4096
Row = tuple[str, Fields]


class ListSource(Closing):
    """The images that a list names, in its order. Says of none that it vanished."""

    root: str | None = None
    unreadable: tuple[str, ...] = ()

    def __init__(
        self, path: str | Path, limits: SourceLimits, *, column: str | None = None
    ) -> None:
        """column: of paths or URLs in a .csv or .parquet; None looks for one of `COLUMNS`.

        Raises SourceError when there is no such file, or the column is not there.
        """
        self._path, self._limits = Path(path).absolute(), limits
        self._column = column
        if not self._path.is_file():
            raise SourceError(shown(path), "there is no such list", "check its name")
        self._stores: dict[str, Store] = {}
        self._kind = self._path.suffix.lower()
        if self._kind in {".csv", ".tsv", ".parquet"}:
            self._column = _choose(self._header(), column, shown(path))
        elif column is not None:
            raise SourceError(shown(path), "a text list has no columns", "leave --column out")

    def scan(self) -> Iterator[SourceItem | SourceProblem]:
        seen: set[str] = set()
        for entry, fields in self._rows():
            found = self._item(entry, fields)
            if isinstance(found, SourceItem):
                if found.uri in seen:
                    continue
                seen.add(found.uri)
            yield found

    def read(self, item: SourceItem) -> bytes:
        if not is_remote(item.uri):
            return read_file(path_from_uri(item.uri), self._limits)
        scheme = item.uri.partition("://")[0].lower()
        try:
            if scheme not in self._stores:
                self._stores[scheme] = store_of(item.uri, self._limits)
            return self._stores[scheme].read(item.uri, None)
        except SourceError as error:  # no credentials, say
            raise UnreadableSource(item.path, error.reason, error.remedy) from error

    def exists(self, uri: str) -> bool:
        return is_remote(uri) or file_exists(uri)

    def close(self) -> None:
        for store in self._stores.values():
            store.close()
        self._stores.clear()

    def _item(self, entry: str, fields: Fields) -> SourceItem | SourceProblem:
        if is_url(entry):
            return SourceItem(entry, entry, None, None, fields)
        if is_remote(entry):
            scheme, _, rest = entry.partition("://")
            bucket, _, key = rest.partition("/")
            return SourceItem(object_uri(scheme.lower(), bucket, key), entry, None, None, fields)
        if entry.startswith("file:///"):
            path = path_from_uri(entry)
        elif "://" in entry or "\x00" in entry:
            reason = "it is neither a path nor a URL that can be read"
            return SourceProblem(entry[:500], reason, ProblemKind.SKIPPED)
        else:
            path = os.path.normpath(self._path.parent / Path(entry).expanduser())
        try:
            facts = Path(path).stat()
        except (OSError, ValueError):
            return SourceItem(file_uri(path), shown(path), None, None, fields)  # reading will tell
        return SourceItem(file_uri(path), shown(path), facts.st_size, facts.st_mtime_ns, fields)

    def _rows(self) -> Iterator[Row]:
        try:
            if self._kind in {".csv", ".tsv"}:
                yield from self._csv_rows()
            elif self._kind == ".parquet":
                yield from self._parquet_rows()
            else:
                yield from self._text_rows()
        except (OSError, UnicodeError, csv.Error) as error:
            raise SourceError(shown(self._path), f"the list cannot be read: {error}") from error

    def _text_rows(self) -> Iterator[Row]:
        with self._path.open(encoding="utf-8-sig", errors="surrogateescape") as lines:
            for line in lines:
                entry = line.strip("\r\n")
                if entry.strip() and not entry.lstrip().startswith("#"):
                    yield entry.strip() if is_url(entry.strip()) else entry, NO_FIELDS

    def _csv_rows(self) -> Iterator[Row]:
        with self._path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as lines:
            for row in csv.DictReader(lines, delimiter=self._delimiter()):
                entry = (row.get(str(self._column)) or "").strip()
                values = {
                    key: cell(value)
                    for key, value in row.items()
                    if isinstance(value, str) and key and key != self._column and value.strip()
                }
                if entry:
                    yield entry, values

    def _parquet_rows(self) -> Iterator[Row]:
        with self._parquet() as table:
            for batch in table.iter_batches(batch_size=_BATCH):
                for row in batch.to_pylist():
                    entry = row.pop(self._column)
                    if isinstance(entry, str) and entry.strip():
                        yield entry.strip(), _fields(row)

    def _header(self) -> list[str]:
        if self._kind == ".parquet":
            with self._parquet() as table:
                return [str(name) for name in table.schema_arrow.names]
        try:
            with self._path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as f:
                return next(csv.reader(f, delimiter=self._delimiter()), [])
        except (OSError, csv.Error) as error:
            raise SourceError(shown(self._path), f"the list cannot be read: {error}") from error

    def _delimiter(self) -> str:
        return "\t" if self._kind == ".tsv" else ","

    def _parquet(self) -> Any:
        import pyarrow as pa  # slow to import, and few lists need it
        import pyarrow.parquet as pq

        try:
            return pq.ParquetFile(self._path)
        except (OSError, pa.ArrowException) as error:
            raise SourceError(shown(self._path), f"the list cannot be read: {error}") from error


def _choose(header: list[str], column: str | None, path: str) -> str:
    if column is not None:
        if column in header:
            return column
        raise SourceError(path, f"it has no column {column!r}", f"it has {', '.join(header)}")
    lower = {name.lower(): name for name in reversed(header)}
    for name in COLUMNS:
        if name in lower:
            return lower[name]
    have = ", ".join(header) or "none"
    raise SourceError(
        path, f"no column is named {', '.join(COLUMNS[:4])}", f"name it with --column (has: {have})"
    )


def _fields(row: Mapping[str, Any]) -> Fields:
    values = ((key, field_value(value)) for key, value in row.items())
    return {key: value for key, value in values if value is not None}
