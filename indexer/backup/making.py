"""Making a backup while everything goes on working.

The database is copied as of one moment. Uploads are written before the rows that name them and
never changed, so files are copied before that moment and, what is new, after it: every row of the
copy has its file. What is derived (indexes, thumbnails) is left out: it is made anew.
"""

from __future__ import annotations

import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from indexer.backup.manifest import (
    DATABASE_FOLDER,
    HOME_FOLDER,
    MANIFEST_NAME,
    BackupManifest,
    FileSum,
    file_sum,
)
from likeness import __version__
from likeness.catalog.backup.copies import copy_out, sync_files
from likeness.catalog.inspection import inspect_database
from likeness.errors import BackupError
from likeness.settings import Settings
from likeness.vectors.files import sync_directory

DERIVED = frozenset({"index", "thumbnails", "evaluation", "listings"})
"""Folders of the home that are made anew from the catalog and the sources."""

_DATABASE_ENDINGS = ("", "-wal", "-shm", "-journal")


@dataclass(frozen=True, slots=True)
class BackupReport:
    path: Path
    manifest: BackupManifest


def back_up(settings: Settings, target: Path) -> BackupReport:
    """`target` is a whole backup of home and database, or is not there.

    Raises BackupError when it exists, lies in the home or cannot be written; CatalogError.
    """
    target = target.expanduser().absolute()
    home = settings.home
    _check_target(home, target)
    if inspect_database(settings.catalog_url).revision is None:
        raise BackupError(str(home), "there is nothing to back up yet: no catalog", "index first")
    partial = target.with_name(f".partial-{target.name}-{secrets.token_hex(4)}")
    try:
        (partial / HOME_FOLDER).mkdir(parents=True)
        (partial / DATABASE_FOLDER).mkdir()
        copied: dict[str, tuple[int, int]] = {}
        _copy_home(settings, partial / HOME_FOLDER, copied)
        database = copy_out(settings.catalog_url, partial / DATABASE_FOLDER)
        left_out = _copy_home(settings, partial / HOME_FOLDER, copied)
        manifest = BackupManifest(
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            version=__version__,
            home=str(home),
            database=database,
            files=_sums(partial),
            settings=settings.model_dump(mode="json", exclude={"database_url", "broker_url"}),
            left_out=tuple(left_out),
        )
        (partial / MANIFEST_NAME).write_bytes(manifest.encode())
        sync_files([path for path in _files_below(partial) if path.is_file()])
        for folder, _, _ in os.walk(partial):
            sync_directory(Path(folder))
        partial.rename(target)
        sync_directory(target.parent)
    except OSError as error:
        reason = f"the backup cannot be written: {error.strerror or error}"
        raise BackupError(str(target), reason, "make room or name another folder") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return BackupReport(target, manifest)


def _check_target(home: Path, target: Path) -> None:
    if target == home or home in target.parents:
        raise BackupError(str(target), "it lies in the home itself", "name a folder elsewhere")
    if target.is_dir() and not any(target.iterdir()):
        return
    if target.exists() or target.is_symlink():
        raise BackupError(str(target), "it exists already", "name a folder that does not exist")


def _copy_home(settings: Settings, into: Path, copied: dict[str, tuple[int, int]]) -> list[str]:
    """Copy what is new or changed since `copied` was filled; returns what no backup can hold."""
    left_out: list[str] = []
    for path in _kept(settings):
        name = path.relative_to(settings.home).as_posix()
        try:
            facts = path.lstat()
            if not stat.S_ISREG(facts.st_mode):
                left_out.append(name)
                continue
            stamp = (facts.st_size, facts.st_mtime_ns)
            if copied.get(name) == stamp:
                continue
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, into / name, follow_symlinks=False)
        except FileNotFoundError:  # removed meanwhile
            continue
        copied[name] = stamp
    return left_out


def _kept(settings: Settings) -> Iterator[Path]:
    """The files of the home that nothing can make again. Hidden ones are half-written."""
    home = settings.home
    database = {
        settings.catalog_url.removeprefix("sqlite:///") + ending for ending in _DATABASE_ENDINGS
    }
    if not home.is_dir():
        return
    for top in sorted(home.iterdir()):
        if top.name in DERIVED or top.name.startswith(".") or str(top) in database:
            continue
        if top.is_dir() and not top.is_symlink():
            hides = top == settings.uploads_root
            yield from (
                path
                for path in _files_below(top)
                if not (hides and path.name.startswith(".")) and str(path) not in database
            )
        else:
            yield top


def _files_below(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder):
        folders.sort()
        linked = [name for name in folders if (Path(parent) / name).is_symlink()]
        for name in sorted(files + linked):
            yield Path(parent) / name


def _sums(partial: Path) -> dict[str, FileSum]:
    return {path.relative_to(partial).as_posix(): file_sum(path) for path in _files_below(partial)}
