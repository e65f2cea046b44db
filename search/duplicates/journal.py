"""The undo journal: a line before each step, on disk before the step begins."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from likeness.errors import PlanError

SCHEMA = "likeness.journal/1"


@dataclass(slots=True)
class Entry:
    """One step as the journal knows it. merged: what was written to the catalog, to take back."""

    number: int
    source: str
    destination: str
    sha256: str
    kept: str
    image_id: int
    kept_id: int
    link: bool
    done: bool = False
    undone: bool = False
    merged: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Journal:
    """header: of the plan. entries: in the order in which the steps were begun."""

    header: Mapping[str, Any]
    entries: Mapping[int, Entry]


class JournalWriter:
    """Appends lines, each on disk when the call returns."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def begun(self, entry: Entry) -> None:
        """The step is about to be done."""
        self._append(
            {
                "step": entry.number,
                "from": entry.source,
                "to": entry.destination,
                "sha256": entry.sha256,
                "kept": entry.kept,
                "image_id": entry.image_id,
                "kept_id": entry.kept_id,
                "link": entry.link,
            }
        )

    def done(self, number: int, merged: Mapping[str, Any]) -> None:
        self._append({"step": number, "done": True, "merged": dict(merged)})

    def undone(self, number: int) -> None:
        self._append({"step": number, "undone": True})

    def _append(self, line: Mapping[str, Any]) -> None:
        data = json.dumps(line, ensure_ascii=True).encode() + b"\n"
        written = 0
        while written < len(data):
            written += os.write(self._descriptor, data[written:])
        os.fsync(self._descriptor)


@contextmanager
def open_journal(
    path: Path, header: Mapping[str, Any] | None
) -> Iterator[tuple[Journal, JournalWriter]]:
    """The journal at path, for this process alone, and a writer to its end.

    header: of a journal to be begun; None: it must exist. What a killed process left as half a
    line is cut off: its step had not begun. Raises PlanError.
    """
    if header is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
    try:
        flags = os.O_RDWR | os.O_APPEND | (os.O_CREAT if header is not None else 0)
        descriptor = os.open(path, flags, 0o600)
    except OSError as error:
        raise PlanError(str(path), f"cannot be opened ({error.strerror})") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise PlanError(str(path), "is in use by another process", "wait for it") from error
        whole = _cut_half_line(descriptor)
        if not whole and header is not None:
            begin = {"schema": SCHEMA, **header}
            JournalWriter(descriptor)._append(begin)
            _sync_folders(path.parent)
            whole = json.dumps(begin).encode() + b"\n"
        yield parse_journal(whole, str(path)), JournalWriter(descriptor)
    finally:
        os.close(descriptor)


def parse_journal(data: bytes, name: str) -> Journal:
    """The journal in these lines. Raises PlanError naming the line that is wrong."""
    entries: dict[int, Entry] = {}
    header: Mapping[str, Any] | None = None
    for number, text in enumerate(data.splitlines(), start=1):
        try:
            line = json.loads(text)
            if header is None:
                if line["schema"] != SCHEMA:
                    raise PlanError(name, f"is no journal of schema {SCHEMA}")
                header = line
                continue
            step = int(line["step"])
            if "from" in line:
                entries[step] = Entry(
                    number=step,
                    source=line["from"],
                    destination=line["to"],
                    sha256=line["sha256"],
                    kept=line["kept"],
                    image_id=int(line["image_id"]),
                    kept_id=int(line["kept_id"]),
                    link=bool(line["link"]),
                )
            elif line.get("done"):
                entries[step].done, entries[step].merged = True, line["merged"]
            elif line.get("undone"):
                entries[step].undone = True
        except (ValueError, KeyError, TypeError) as error:
            raise PlanError(name, f"line {number} cannot be understood ({error})") from error
    if header is None:
        raise PlanError(name, "is empty: nothing was done under it")
    return Journal(header, entries)


def _cut_half_line(descriptor: int) -> bytes:
    size = os.fstat(descriptor).st_size
    data = b""
    while len(data) < size:
        data += os.pread(descriptor, size - len(data), len(data))
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data):
        os.ftruncate(descriptor, len(whole))
        os.fsync(descriptor)
    return whole


def _sync_folders(folder: Path) -> None:
    """The folder and the one that names it are on disk."""
    for each in (folder, folder.parent):
        descriptor = os.open(each, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
