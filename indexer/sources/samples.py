"""Sidecar files and list cells → an image's fields: text stays text, numbers stay numbers."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from indexer.sources.interface import Fields

SIDECARS = frozenset({"txt", "caption", "json", "cls"})
_NUMBER = re.compile(r"[+-]?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?")
_MAX_TEXT = 10_000
_MAX_FIELDS = 200
_EXACT = 2**53


def fields_of(sidecars: Mapping[str, bytes]) -> Fields:
    """The fields of one sample from its sidecars by extension; what cannot be read is left out.

    `.txt` and `.caption` become `caption`, `.cls` becomes `cls`, a `.json` object its own keys.
    """
    fields: dict[str, str | float] = {}
    if (data := sidecars.get("json")) is not None:
        fields.update(_from_json(data))
    if (label := _text(sidecars.get("cls"))) is not None:
        fields["cls"] = cell(label)
    for kind in ("caption", "txt"):
        if (caption := _text(sidecars.get(kind))) is not None:
            fields["caption"] = caption
    return fields


def cell(text: str) -> str | float:
    """A number when `text` is one written plainly (no leading zeros, exact), else the text."""
    stripped = text.strip()
    if _NUMBER.fullmatch(stripped):
        number = float(stripped)
        if math.isfinite(number) and abs(number) <= _EXACT:
            return number
    return stripped[:_MAX_TEXT]


def field_value(value: Any) -> str | float | None:
    """A typed value (JSON, Parquet) as a field; None when it says nothing."""
    if value is None or value == "":
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return float(value) if math.isfinite(value) and abs(value) <= _EXACT else str(value)
    if isinstance(value, str):
        return value[:_MAX_TEXT]
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    if isinstance(value, bytes):
        return None
    return json.dumps(value, ensure_ascii=False, default=str)[:_MAX_TEXT]


def _from_json(data: bytes) -> dict[str, str | float]:
    try:
        parsed = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(parsed, dict):
        return {}
    values = ((str(key), field_value(value)) for key, value in list(parsed.items())[:_MAX_FIELDS])
    return {key: value for key, value in values if value is not None}


def _text(data: bytes | None) -> str | None:
    if data is None:
        return None
    return data.decode("utf-8", "replace").strip()[:_MAX_TEXT] or None
