"""The one tree of errors.

LikenessError
├── InputError                  the caller can mend it: exit status 2, HTTP 4xx
│   ├── SettingsError
│   ├── SourceError             a folder, archive or list that cannot be read
│   ├── QueryError
│   │   └── WhereError          a filter that does not parse, with its position
│   ├── CollectionNotFound
│   ├── ImageNotFound
│   ├── JobNotFound, KeyNotFound
│   ├── SpaceMismatch           vectors of different encoders never meet
│   ├── BackupError             a backup that cannot be made, is damaged, or does not belong here
│   ├── PlanError                a plan or undo journal that cannot be carried out as it is
│   ├── UnknownEncoder
│   ├── NoTextTower, NoAttentionMap, NoPatchTokens
│   └── WeightsError
│       ├── WeightsNotFound
│       ├── WeightsUnreadable
│       └── WeightsMismatch
├── ImageError                  one image cannot be used; recorded with its reason, the run goes on
│   ├── UnsupportedFormat
│   ├── ImageTooLarge
│   ├── CorruptImage
│   ├── UnreadableSource
│   ├── DecodeTimeout
│   └── DecoderCrashed
├── DecoderUnavailable          no decode worker can be started: the machine's fault, no image's
├── VectorError                 NaN, zero norm or wrong dimension, refused at the door
├── SnapshotError               an index on disk that must not answer
│   ├── SnapshotDamaged
│   │   └── SnapshotMissing     it is not on this machine at all
│   └── SnapshotNotWritten      publishing failed (full disk, say); the old one serves on
├── CatalogError                the database cannot be used as it is
│   └── CatalogUnavailable      it cannot be reached or is locked; trying again later is safe
├── WorkError                   a piece of queued work that this worker must not finish
│   ├── LeaseLost               another worker has it by now
│   └── AlreadyDone             this very lease has completed it before
└── ServiceError                a Likeness service answered with a problem, or not at all

Errors carry values as attributes; messages name the offender, the reason and the remedy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class LikenessError(Exception):
    """Root of everything this project raises on purpose."""


class InputError(LikenessError):
    """The caller can mend it."""


class SettingsError(InputError):
    """A setting has a value that cannot be used."""


class SourceError(InputError):
    """A folder, archive, list or URL given as a source cannot be read."""

    def __init__(self, source: str, reason: str, remedy: str = "") -> None:
        self.source, self.reason, self.remedy = source, reason, remedy
        super().__init__(f"{source}: {reason}" + (f"; {remedy}" if remedy else ""))


class QueryError(InputError):
    """A query that cannot be asked."""


class WhereError(QueryError):
    """A filter that does not parse. position: 0-based index of the offending character."""

    def __init__(self, text: str, position: int, reason: str) -> None:
        self.text, self.position, self.reason = text, position, reason
        super().__init__(f"{reason}\n  {text}\n  {' ' * position}^")


class CollectionNotFound(InputError):
    def __init__(self, name: str, known: Sequence[str]) -> None:
        self.name, self.known = name, tuple(known)
        have = ", ".join(known) if known else "none yet"
        super().__init__(
            f"there is no collection {name!r} (collections: {have}); "
            f"make it with `likeness index --collection {name} SOURCE`"
        )


class ImageNotFound(InputError):
    def __init__(self, image_id: int, collection: str) -> None:
        self.image_id, self.collection = image_id, collection
        super().__init__(
            f"there is no image {image_id} in collection {collection!r}; "
            "`likeness images` lists what there is"
        )


class JobNotFound(InputError):
    def __init__(self, job_id: int) -> None:
        self.job_id = job_id
        super().__init__(f"there is no job {job_id}")


class KeyNotFound(InputError):
    def __init__(self, public_id: str) -> None:
        self.public_id = public_id
        super().__init__(f"there is no key {public_id!r}; `likeness keys list` shows them")


class SpaceMismatch(InputError):
    """Vectors of two encoders were about to be compared."""

    def __init__(self, asked: str, stored: str) -> None:
        self.asked, self.stored = asked, stored
        super().__init__(
            f"the query was encoded by {asked}, the collection by {stored}: their vectors cannot "
            f"be compared; search with {stored}, or add a space with "
            f"`likeness reindex --encoder {asked}`"
        )


class PlanError(InputError):
    """A plan or an undo journal that cannot be carried out as it is."""

    def __init__(self, path: str, reason: str, remedy: str = "") -> None:
        self.path, self.reason, self.remedy = path, reason, remedy
        super().__init__(f"{path}: {reason}" + (f"; {remedy}" if remedy else ""))


class BackupError(InputError):
    """A backup that cannot be made, is damaged, or may not be restored here."""

    def __init__(self, path: str, reason: str, remedy: str = "") -> None:
        self.path, self.reason, self.remedy = path, reason, remedy
        super().__init__(f"{path}: {reason}" + (f"; {remedy}" if remedy else ""))


class UnknownEncoder(InputError):
    def __init__(self, name: str, similar: Sequence[str] = ()) -> None:
        self.name, self.similar = name, tuple(similar)
        hint = f"; did you mean {', '.join(similar)}?" if similar else ""
        super().__init__(f"there is no encoder {name!r}{hint} `likeness models` lists them")


class NoTextTower(InputError):
    def __init__(self, encoder: str) -> None:
        self.encoder = encoder
        super().__init__(
            f"{encoder} embeds images only, so it cannot answer words; add a space that can with "
            "`likeness reindex --encoder likeness:tiny` (or any CLIP or SigLIP encoder)"
        )


class NoAttentionMap(InputError):
    def __init__(self, encoder: str, reason: str) -> None:
        self.encoder, self.reason = encoder, reason
        super().__init__(f"{encoder} has no attention map of a CLS token: {reason}")


class NoPatchTokens(InputError):
    def __init__(self, encoder: str, reason: str) -> None:
        self.encoder, self.reason = encoder, reason
        super().__init__(f"{encoder} has no patch tokens: {reason}")


class WeightsError(InputError):
    """Weights that cannot be used."""


class WeightsNotFound(WeightsError):
    """looked: where the weights were looked for, in order, each with what was found there."""

    def __init__(self, encoder: str, weights: str, looked: Sequence[str]) -> None:
        self.encoder, self.weights, self.looked = encoder, weights, tuple(looked)
        places = "\n".join(f"  - {place}" for place in looked)
        super().__init__(
            f"the weights of {encoder} ({weights}) are not on this machine. Looked in:\n{places}\n"
            "Supply them in one of three ways:\n"
            f"  - a file: --encoder {encoder.split('@')[0]}@/path/to/weights.safetensors\n"
            "  - a mirror: set LIKENESS_WEIGHTS to a folder that holds them "
            "(`likeness models --json` names the file)\n"
            "  - the hub: run once where it can be reached (HF_HUB_OFFLINE unset); the cache is "
            "kept"
        )


class WeightsUnreadable(WeightsError):
    """A file that is damaged, of another kind, or not safe to read."""

    def __init__(self, path: str, reason: str) -> None:
        self.path, self.reason = path, reason
        super().__init__(
            f"the weights in {path} cannot be read: {reason}; give a whole .safetensors file, or a "
            ".pt file that holds tensors only"
        )


class WeightsMismatch(WeightsError):
    def __init__(self, path: str, encoder: str, mismatches: Sequence[str]) -> None:
        self.path, self.encoder, self.mismatches = path, encoder, tuple(mismatches)
        shown = "; ".join(mismatches[:5])
        more = f"; and {len(mismatches) - 5} more" if len(mismatches) > 5 else ""
        super().__init__(
            f"{path} does not fit {encoder}: {shown}{more}; nothing was loaded. "
            "Name the architecture that the file was made for (`likeness models` lists them)"
        )


class ImageError(LikenessError):
    """One image cannot be used. code: stable, for grouping failures; name: path or URI."""

    code = "image_error"

    def __init__(self, name: str, reason: str, remedy: str = "") -> None:
        self.name, self.reason, self.remedy = name, reason, remedy
        super().__init__(f"{name}: {reason}" + (f"; {remedy}" if remedy else ""))


class UnsupportedFormat(ImageError):
    code = "unsupported_format"


class ImageTooLarge(ImageError):
    code = "too_large"


class CorruptImage(ImageError):
    code = "corrupt"


class UnreadableSource(ImageError):
    code = "unreadable"


class DecodeTimeout(ImageError):
    code = "timeout"


class DecoderCrashed(ImageError):
    code = "decoder_crashed"


class DecoderUnavailable(LikenessError):
    """No decode worker process can be started: the machine's fault, not an image's."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(
            f"a decode worker process cannot be started: {reason}; "
            "check free memory and the limit on processes (`ulimit -u`)"
        )


class VectorError(LikenessError):
    """A vector that would spoil its neighbours: NaN, zero norm or wrong dimension."""


class SnapshotError(LikenessError):
    """An index on disk that must not answer."""


class SnapshotDamaged(SnapshotError):
    def __init__(self, path: str, reason: str) -> None:
        self.path, self.reason = path, reason
        super().__init__(
            f"index {path} is damaged: {reason}; it was set aside and is rebuilt from the catalog "
            "by `likeness reindex` or the next publish"
        )


class SnapshotMissing(SnapshotDamaged):
    """The whole folder is absent: deleted by hand, or written by another machine."""


class SnapshotNotWritten(SnapshotError):
    """A new index could not be written; what was there before is untouched."""

    def __init__(self, path: str, reason: str) -> None:
        self.path, self.reason = path, reason
        super().__init__(
            f"index {path} could not be written: {reason}; nothing was lost: images are in the "
            "catalog and the index before it answers on. Mend the cause, then "
            "`likeness reindex --index-only`"
        )


class CatalogError(LikenessError):
    """The database cannot be used as it is."""


class CatalogUnavailable(CatalogError):
    """The database cannot be reached or stays locked; nothing was written, trying again is safe."""


class WorkError(LikenessError):
    """A piece of queued work that this worker must not finish; nothing was stored of it."""

    def __init__(self, work_id: int, kind: str, reason: str) -> None:
        self.work_id, self.kind = work_id, kind
        super().__init__(f"work {work_id} ({kind}): {reason}")


class LeaseLost(WorkError):
    def __init__(self, work_id: int, kind: str) -> None:
        super().__init__(work_id, kind, "its lease is another worker's by now")


class AlreadyDone(WorkError):
    def __init__(self, work_id: int, kind: str) -> None:
        super().__init__(work_id, kind, "it was completed by this lease before")


class ServiceError(LikenessError):
    """A Likeness service answered with a problem, or not at all.

    status: of HTTP, 0 when there was no answer. code: the problem's, stable; see `/v1/problems`.
    problem: the whole document.
    """

    def __init__(
        self,
        url: str,
        status: int,
        code: str,
        detail: str,
        problem: Mapping[str, Any] | None = None,
    ) -> None:
        self.url, self.status, self.code, self.detail = url, status, code, detail
        self.problem = dict(problem or {})
        super().__init__(f"{url}: {detail}" + (f" ({status} {code})" if status else ""))
