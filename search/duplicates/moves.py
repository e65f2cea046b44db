"""Files moved so that at every moment at least one whole copy of each is on disk."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from pathlib import Path

_READ_BYTES = 1 << 20


def sha256_of(path: Path) -> str | None:
    """Hex SHA-256 of a regular file's bytes; None where there is no such file."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(_READ_BYTES):
                digest.update(block)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    return digest.hexdigest()


def move(source: Path, destination: Path, sha256: str, *, replace: bool = False) -> None:
    """The file is at destination and no longer at source, on disk, with all its times and modes.

    replace: destination may be there and is replaced at once. Across file systems the copy is
    whole, synced and read back before the source goes. Raises OSError; source stays then.
    """
    if not replace and os.path.lexists(destination):
        raise FileExistsError(errno.EEXIST, "is there already", str(destination))
    destination.parent.mkdir(parents=True, exist_ok=True)
    try:
        source.rename(destination)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _copy_over(source, destination, sha256)
        source.unlink()
    sync_folder(destination.parent)
    sync_folder(source.parent)


def sync_folder(folder: Path) -> None:
    """The names in the folder are on disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _copy_over(source: Path, destination: Path, sha256: str) -> None:
    partial = destination.with_name(f".{destination.name}.partial")
    try:
        shutil.copy2(source, partial)
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        if sha256_of(partial) != sha256:
            raise OSError(errno.EIO, "the copy does not read back as it was", str(partial))
        partial.replace(destination)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    sync_folder(destination.parent)
