"""Restoring a backup: everything is verified before anything is touched, and nothing is deleted."""

from __future__ import annotations

import os
import shutil
import tomllib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from indexer.backup.manifest import (
    DATABASE_FOLDER,
    HOME_FOLDER,
    BackupManifest,
    check_files,
)
from indexer.sources.uris import folder_prefix
from likeness.catalog import Catalog
from likeness.catalog.backup.copies import check_target, copy_in, sync_files
from likeness.catalog.backup.relocation import relocate
from likeness.catalog.serving.spaces import all_spaces
from likeness.errors import BackupError
from likeness.runtime import Runtime
from likeness.settings import SETTINGS_FILE, Settings
from likeness.vectors.files import sync_directory

_ASIDE = ".replaced-"


@dataclass(frozen=True, slots=True)
class RestoreReport:
    """aside: where what was here before lies now. moved: uploads whose URI names the new home."""

    manifest: BackupManifest
    aside: Path | None
    moved: int
    notices: tuple[str, ...]


def check_backup(source: Path) -> BackupManifest:
    """Every byte of the backup is as it was written. Raises BackupError when not."""
    manifest = BackupManifest.read(source)
    check_files(source, manifest)
    return manifest


def restore(settings: Settings, source: Path, *, replace: bool = False) -> RestoreReport:
    """Home and database are what they were when the backup was made; indexes are still to build.

    replace: move what the home holds into its `.replaced-…` folder, and replace the rows of a
    PostgreSQL database. Raises BackupError (damaged; the home is not empty), CatalogError (the
    database is not empty, or in use), SettingsError (the database is of the other engine). All of
    that is found out before anything is changed.
    """
    source = source.expanduser().absolute()
    manifest = check_backup(source)
    home = settings.home
    held = _held(home)
    if held and not replace:
        raise BackupError(
            str(home),
            f"the home is not empty ({', '.join(path.name for path in held[:3])})",
            "restore into another --home, or say --replace to have it moved aside",
        )
    check_target(settings.catalog_url, manifest.database, replace=replace)
    aside = _move_aside(home, held)
    try:
        _copy_home(source, home, manifest)
    except OSError as error:
        raise BackupError(str(home), f"it cannot be written: {error.strerror or error}") from error
    copy_in(settings.catalog_url, source / DATABASE_FOLDER, manifest.database)
    with Catalog.open(settings.catalog_url) as catalog:
        moved = _relocate(catalog, Path(manifest.home), settings)
        _forget_indexes(catalog, settings)
    return RestoreReport(manifest, aside, moved, tuple(_settings_notices(settings)))


def _held(home: Path) -> list[Path]:
    if not home.is_dir():
        return []
    return sorted(path for path in home.iterdir() if not path.name.startswith(_ASIDE))


def _move_aside(home: Path, held: list[Path]) -> Path | None:
    if not held:
        return None
    # Within the home: a home that is a mounted volume cannot be renamed itself.
    aside = home / f"{_ASIDE}{datetime.now(UTC):%Y%m%d-%H%M%S}"
    try:
        aside.mkdir()
        for path in held:
            path.rename(aside / path.name)
        sync_directory(home)
    except OSError as error:
        raise BackupError(str(home), f"it cannot be moved aside: {error.strerror}") from error
    return aside


def _copy_home(source: Path, home: Path, manifest: BackupManifest) -> None:
    home.mkdir(parents=True, exist_ok=True)
    written = []
    for name in manifest.files:
        top, _, inside = name.partition("/")
        if top != HOME_FOLDER:
            continue
        if ".." in Path(inside).parts or Path(inside).is_absolute():
            raise BackupError(name, "it would be written outside the home")
        target = home / inside
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source / name, target)
        written.append(target)
    sync_files(written)
    for folder, _, _ in os.walk(home):
        sync_directory(Path(folder))


def _relocate(catalog: Catalog, old_home: Path, settings: Settings) -> int:
    old, new = old_home / "uploads", settings.uploads_root
    if old == new:
        return 0
    return relocate(
        catalog, (folder_prefix(old), f"{old}{os.sep}"), (folder_prefix(new), f"{new}{os.sep}")
    )


def _forget_indexes(catalog: Catalog, settings: Settings) -> None:
    """Indexes are not in the backup: their rows would only be reported as missing."""
    with Runtime(settings) as runtime:
        for space in all_spaces(catalog):
            for row in catalog.snapshots(space.id):
                if not (runtime.index_dir(space) / row.name).is_dir():
                    catalog.forget(space.id, row.name)


def _settings_notices(settings: Settings) -> list[str]:
    """A settings file that names another database would lead the next command away from here."""
    path = settings.home / SETTINGS_FILE
    if not path.is_file():
        return []
    try:
        named = tomllib.loads(path.read_text()).get("database_url", "")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        return [f"{path} is not valid TOML; mend it"]
    if named and named != settings.database_url:
        aside = path.with_name(f"{SETTINGS_FILE}.restored")
        path.rename(aside)
        notice = (
            f"the backup's {SETTINGS_FILE} names another database; it was kept as {aside.name}, "
            "take from it what you want"
        )
        return [notice]
    return []
