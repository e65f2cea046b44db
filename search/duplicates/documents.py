"""Groups as JSON documents and as one HTML page."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

from likeness.catalog.records import ImageRow
from likeness.imaging.thumbnails import MEDIA_TYPE, thumbnail
from likeness.types import RgbImage
from search.duplicates.calibrate import Calibration
from search.duplicates.geometry import Evidence
from search.duplicates.planning import evidence_document
from search.duplicates.relations import Pair, Relation
from search.duplicates.report import DuplicateReport, Group, Member

_THUMBNAIL_SIDE = 200
_WHOLE = 0.95
"""Share of a picture from which on it counts as all of it."""


def report_document(report: DuplicateReport, limit: int | None = None) -> dict[str, Any]:
    """The report as `likeness duplicates --json` prints it."""
    return {
        "schema": "likeness.duplicates/1",
        "images": report.images,
        "candidates": report.candidates,
        "compared": report.compared,
        "unreadable": [row.path for row in report.unreadable],
        "calibration": calibration_document(report.calibration),
        "groups": [group_document(group) for group in report.groups[:limit]],
        "group_count": len(report.groups),
    }


def group_document(group: Group) -> dict[str, Any]:
    return {
        "certainty": group.certainty.value,
        "removable_bytes": sum(member.image.size or 0 for member in group.removable),
        "images": [_member_document(member) for member in group.members],
    }


def calibration_document(calibration: Calibration | None) -> dict[str, Any] | None:
    return None if calibration is None else calibration.to_json()


def _member_document(member: Member) -> dict[str, Any]:
    row, pair = member.image, member.pair
    return {
        "id": row.id,
        "path": row.path,
        "uri": row.uri,
        "sha256": row.sha256,
        "size": row.size,
        "width": row.facts.width if row.facts else None,
        "height": row.facts.height if row.facts else None,
        "protected": member.protected,
        "relation": member.relation.value if member.relation else None,
        "score": None if pair is None else round(pair.score, 4),
        "cosine": None if pair is None else round(pair.cosine, 4),
        "hash_bits": None if pair is None else pair.bits,
        "evidence": None if member.evidence is None else evidence_document(member.evidence),
    }


def html_sheet(
    groups: Sequence[Group], picture_of: Callable[[ImageRow], RgbImage | None], title: str
) -> str:
    """A page that needs nothing else: each group in a row, the one to keep first."""
    rows = "\n".join(_html_group(number, group, picture_of) for number, group in enumerate(groups))
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>
<style>
body {{ font: 14px/1.4 system-ui, sans-serif; margin: 2rem; color: #222; background: #fff; }}
section {{ border-top: 1px solid #ccc; padding: .8rem 0; }}
ul {{ display: flex; flex-wrap: wrap; gap: 1rem; list-style: none; padding: 0; margin: 0; }}
li {{ width: {_THUMBNAIL_SIDE}px; overflow-wrap: anywhere; }}
li:first-child img {{ outline: 3px solid #2a7; }}
img {{ max-width: {_THUMBNAIL_SIDE}px; max-height: {_THUMBNAIL_SIDE}px; display: block; }}
small {{ color: #555; }}
@media (prefers-color-scheme: dark) {{ body {{ color: #ddd; background: #111; }}
 small {{ color: #aaa; }} }}
</style></head><body><h1>{escape(title)}</h1>
<p>{len(groups):,} groups. The image outlined in green is the one to keep.</p>
{rows}
</body></html>
"""


def _html_group(
    number: int, group: Group, picture_of: Callable[[ImageRow], RgbImage | None]
) -> str:
    items = "\n".join(_html_member(member, picture_of) for member in group.members)
    head = f"{number + 1}. {group.certainty.value}, {len(group.members)} images"
    return f"<section><h2>{escape(head)}</h2><ul>\n{items}\n</ul></section>"


def _html_member(member: Member, picture_of: Callable[[ImageRow], RgbImage | None]) -> str:
    row, pixels = member.image, picture_of(member.image)
    if pixels is None:
        image = "<p>(cannot be read)</p>"
    else:
        data = base64.b64encode(thumbnail(pixels, _THUMBNAIL_SIDE)).decode()
        image = f'<img alt="{escape(row.path)}" src="data:{MEDIA_TYPE};base64,{data}">'
    size = f"{row.facts.width}×{row.facts.height}" if row.facts else ""
    proof = "to keep" if member.relation is None else proof_text(member)
    return f"<li>{image}{escape(row.path)}<br><small>{escape(f'{size} · {proof}')}</small></li>"


def proof_text(member: Member) -> str:
    """The relation to the first image and what shows it, in words."""
    if member.pair is None:
        return ""
    words = [pair_text(member.pair, member.evidence)]
    if member.protected:
        words.append("protected")
    return ", ".join(words)


def pair_text(pair: Pair, evidence: Evidence | None) -> str:
    """The relation of a pair and what shows it, in words. evidence: told from the first image.

    The first is the one to keep, or the new one; "this one" is the other.
    """
    words = [pair.relation.value]
    if evidence is not None:
        words.append(f"{evidence.agreement:.0%} agree")
        if evidence.area < _WHOLE:
            words.append(f"over {evidence.area:.0%} of the first")
        if evidence.other_area < _WHOLE:
            words.append(f"over {evidence.other_area:.0%} of this one")
        if evidence.mirrored:
            words.append("mirrored")
    elif pair.bits is not None and pair.relation is not Relation.SAME_BYTES:
        words.append(f"{pair.bits} bits of the hash differ")
    return ", ".join(words)
