"""What a snapshot is and covers, kept beside it in a file that vouches for its own bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from likeness.errors import SnapshotDamaged, SnapshotError
from likeness.vectors.files import FileFacts

FORMAT = 3
"""Of the files on disk; raised when an older version of the code could misread them."""

MANIFEST_NAME = "manifest.json"
_MAGIC = "likeness-snapshot"


@dataclass(frozen=True, slots=True)
class Manifest:
    """fingerprint: of the encoder. dim: d. revision: it covers every embedding up to it.

    digest: over the chunks covered, so that a snapshot of another history is noticed.
    files: by name. options: how the kind was built. recall: what was measured of it at publish.
    made_with: versions of the libraries that wrote it.
    """

    kind: str
    fingerprint: str
    dim: int
    revision: int
    digest: str
    count: int
    created_at: str
    files: Mapping[str, FileFacts]
    options: Mapping[str, Any] = field(default_factory=dict)
    recall: Mapping[str, Any] = field(default_factory=dict)
    made_with: Mapping[str, str] = field(default_factory=dict)
    format: int = FORMAT

    def as_dict(self) -> dict[str, Any]:
        """JSON-able, for the file and for the catalog."""
        return {
            "format": self.format,
            "kind": self.kind,
            "fingerprint": self.fingerprint,
            "dim": self.dim,
            "revision": self.revision,
            "digest": self.digest,
            "count": self.count,
            "created_at": self.created_at,
            "files": {name: facts.as_dict() for name, facts in sorted(self.files.items())},
            "options": dict(self.options),
            "recall": dict(self.recall),
            "made_with": dict(self.made_with),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Manifest:
        """Raises KeyError, TypeError or ValueError for what no version wrote."""
        return cls(
            format=int(values["format"]),
            kind=str(values["kind"]),
            fingerprint=str(values["fingerprint"]),
            dim=int(values["dim"]),
            revision=int(values["revision"]),
            digest=str(values["digest"]),
            count=int(values["count"]),
            created_at=str(values["created_at"]),
            files={name: FileFacts.from_dict(facts) for name, facts in values["files"].items()},
            options=dict(values["options"]),
            recall=dict(values["recall"]),
            made_with=dict(values["made_with"]),
        )

    def encode(self) -> bytes:
        """The file: a line with the SHA-256 of all that follows it, then JSON."""
        body = json.dumps(self.as_dict(), indent=1, sort_keys=True).encode() + b"\n"
        return f"{_MAGIC} {hashlib.sha256(body).hexdigest()}\n".encode() + body

    @classmethod
    def decode(cls, data: bytes, path: str) -> Manifest:
        """Raises SnapshotDamaged when a bit is wrong, SnapshotError for a newer format."""
        head, _, body = data.partition(b"\n")
        if head != f"{_MAGIC} {hashlib.sha256(body).hexdigest()}".encode():
            raise SnapshotDamaged(path, f"the bytes of {MANIFEST_NAME} are not those written")
        try:
            values = json.loads(body)
            if values["format"] > FORMAT:
                raise SnapshotError(
                    f"index {path} has format {values['format']}, this version reads up to "
                    f"{FORMAT}; update Likeness, or let it write its own: "
                    "`likeness reindex --index-only`"
                )
            if values["format"] < FORMAT:
                raise SnapshotError(
                    f"index {path} has format {values['format']} of an older version; the next "
                    "publish replaces it, or now: `likeness reindex --index-only`"
                )
            return cls.from_dict(values)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise SnapshotDamaged(path, f"{MANIFEST_NAME} lacks what it should say") from error
