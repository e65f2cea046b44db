"""What a backup holds, in a file that vouches for its own words and for every other file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from likeness.catalog.backup.copies import DatabaseCopy
from likeness.catalog.backup.postgresql import TableCopy
from likeness.errors import BackupError

FORMAT = 1
MANIFEST_NAME = "backup.json"
HOME_FOLDER = "home"
DATABASE_FOLDER = "database"

_BLOCK = 1 << 22


@dataclass(frozen=True, slots=True)
class FileSum:
    """sha256: lower-case hex, as `sha256sum` prints it."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class BackupManifest:
    """home: where it was taken from. files: by path in the backup, `/` between names.

    settings: those in force, without passwords, for people. version: of Likeness.
    """

    created_at: str
    version: str
    home: str
    database: DatabaseCopy
    files: Mapping[str, FileSum]
    settings: Mapping[str, Any]
    left_out: tuple[str, ...] = ()
    format: int = FORMAT

    @property
    def total_bytes(self) -> int:
        return sum(file.size for file in self.files.values())

    def encode(self) -> bytes:
        """JSON; `digest` is the SHA-256 of the document without it, keys sorted."""
        document = asdict(self)
        return json.dumps(document | {"digest": _digest(document)}, indent=1).encode() + b"\n"

    @classmethod
    def read(cls, folder: Path) -> BackupManifest:
        """Raises BackupError when there is no backup, a damaged one or a newer one."""
        path = folder / MANIFEST_NAME
        try:
            document = json.loads(path.read_bytes())
            digest = document.pop("digest")
            if _digest(document) != digest:
                raise BackupError(str(path), "its words are not those that were written", _OTHER)
            if document["format"] > FORMAT:
                raise BackupError(
                    str(folder),
                    f"it has format {document['format']}, this version reads up to {FORMAT}",
                    "upgrade Likeness",
                )
            tables = tuple(
                TableCopy(**{**table, "columns": tuple(table["columns"])})
                for table in document["database"].pop("tables")
            )
            return cls(
                **{
                    **document,
                    "database": DatabaseCopy(**document["database"], tables=tables),
                    "files": {name: FileSum(**facts) for name, facts in document["files"].items()},
                    "left_out": tuple(document["left_out"]),
                }
            )
        except FileNotFoundError as error:
            reason = f"there is no backup here ({MANIFEST_NAME} is missing)"
            raise BackupError(str(folder), reason, "name the folder that was given") from error
        except OSError as error:
            raise BackupError(str(path), f"it cannot be read: {error.strerror}") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BackupError(str(path), "it is no list of a backup", _OTHER) from error


def file_sum(path: Path) -> FileSum:
    """Size and SHA-256 of a file. Raises OSError."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while part := file.read(_BLOCK):
            digest.update(part)
            size += len(part)
    return FileSum(size, digest.hexdigest())


def check_files(folder: Path, manifest: BackupManifest) -> None:
    """Every file is there and as it was written; BackupError names the first that is not."""
    for name, expected in manifest.files.items():
        path = folder / name
        try:
            found = file_sum(path)
        except OSError as error:
            raise BackupError(str(path), f"it cannot be read: {error.strerror}", _OTHER) from error
        if found != expected:
            raise BackupError(str(path), "its bytes are not those that were written", _OTHER)


def _digest(document: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


_OTHER = "take another backup; nothing was changed here"
