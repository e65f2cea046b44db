"""Names to encoders. Listing and finding import neither torch nor a model library."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import cast

from likeness.encoders.records import EncoderName, EncoderRecord, HubFile, Pooling, Purpose, Shape
from likeness.encoders.table import RECORDS
from likeness.errors import UnknownEncoder

__all__ = [
    "RECORDS",
    "EncoderName",
    "EncoderRecord",
    "HubFile",
    "Pooling",
    "Purpose",
    "Shape",
    "find",
    "is_sole",
    "parse_name",
]

_BY_NAME: Mapping[str, EncoderRecord] = MappingProxyType({r.name: r for r in RECORDS})

# Functions that make a record for a name outside the table from the library's own config.
_DERIVE = {
    "timm": "likeness.encoders.deriving:timm_record",
    "open_clip": "likeness.encoders.deriving:open_clip_record",
}
_LIBRARIES = (*_DERIVE, "likeness")


def parse_name(name: str) -> EncoderName:
    """Take `LIBRARY:MODEL/WEIGHTS@PATH` apart (`timm:MODEL.WEIGHTS@PATH`).

    Raises UnknownEncoder when the library is missing or not one of ours.
    """
    base, at, path = name.partition("@")
    library, colon, model = base.partition(":")
    if not colon or library not in _LIBRARIES or not model or (at and not path):
        raise UnknownEncoder(name, _similar(base))
    separator = "." if library == "timm" else "/"
    architecture, _, tag = model.partition(separator)
    return EncoderName(library, architecture, tag, Path(path) if at else None)


def find(name: str) -> EncoderRecord:
    """The record of an encoder, `@path` ignored.

    Names in the table are found without importing a library; of others the record is derived
    from the library's own configuration. Raises UnknownEncoder with close matches.
    """
    parsed = parse_name(name)
    record = _BY_NAME.get(parsed.base) or _sole_weights(parsed)
    if record is not None:
        return record
    derive = _DERIVE.get(parsed.library)
    if derive is None:
        raise UnknownEncoder(name, _similar(parsed.base))
    module, _, function = derive.partition(":")
    found = cast(EncoderRecord | None, getattr(importlib.import_module(module), function)(parsed))
    if found is None:
        raise UnknownEncoder(name, _similar(parsed.base))
    return found


def is_sole(record: EncoderRecord) -> bool:
    """Whether a record of the table is the only one of its architecture there, so that a file
    named for the architecture alone can only mean this one."""
    same = [r.name for r in RECORDS if (r.library, r.architecture) == _identity(record)]
    return same == [record.name]


def _identity(record: EncoderRecord) -> tuple[str, str]:
    return record.library, record.architecture


def _sole_weights(parsed: EncoderName) -> EncoderRecord | None:
    """The table's record for an architecture named without weights, if there is just one.

    `timm:vit_tiny_patch16_224@file` names no weights; its file brings them.
    """
    if parsed.tag:
        return None
    wanted = parsed.library, parsed.architecture
    matches = [record for record in RECORDS if _identity(record) == wanted]
    return matches[0] if len(matches) == 1 else None


def _similar(base: str) -> list[str]:
    close = difflib.get_close_matches(base, _BY_NAME, n=3, cutoff=0.5)
    if close:
        return close
    models = {name.partition(":")[2]: name for name in _BY_NAME}
    return [models[m] for m in difflib.get_close_matches(base, models, n=3, cutoff=0.4)]
